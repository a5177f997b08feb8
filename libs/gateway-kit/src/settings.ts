import {
  type Address,
  addressesOption,
  addressOption,
  formatAddress,
  isLoopback,
  type LogLevel,
  requireLoopback,
  SettingsError,
} from '@latchkey/runtime';
import type { Option } from 'commander';
import { type LimitFlags, type Limits, limitOptions, limitsOf } from './limits.ts';

/** What every gateway is told. */
export type GatewaySettings = {
  /** The replicas of the auth service. */
  readonly auth: readonly Address[];
  readonly metrics: Address;
  readonly limits: Limits;
  readonly logLevel: LogLevel;
};

/** The same as the command line has it. */
export type GatewayFlags = LimitFlags &
  Omit<GatewaySettings, 'limits'> & {
    readonly insecureListen: boolean;
  };

/** The options of every gateway; each may come from the environment. `--insecure-listen` is the gateway's own. */
export function gatewayOptions(metrics: { readonly fallback: string; readonly env: string }): readonly Option[] {
  return [
    addressesOption(
      '--auth <address,...>',
      'the auth service: all its replicas, with commas between them or given again',
      '127.0.0.1:7410',
    ).env('LATCHKEY_AUTH'),
    addressOption('--metrics <address>', 'HTTP listener for /metrics, /healthz and /readyz', metrics.fallback).env(
      metrics.env,
    ),
    ...limitOptions(),
  ];
}

/** What the flags say. Throws a SettingsError when it can be read on the way; `what` would be then, beside the metrics. */
export function gatewaySettings(flags: GatewayFlags, what: string): GatewaySettings {
  const { auth, metrics, insecureListen, logLevel } = flags;
  requireLoopback('--metrics', metrics, insecureListen);
  const outside = auth.find(({ host }) => !isLoopback(host));
  if (!insecureListen && outside !== undefined) {
    throw new SettingsError(
      `--auth ${formatAddress(outside)} is on another machine, and ${what} would travel in clear: ` +
        'use a loopback address, or say --insecure-listen if the network itself is closed',
    );
  }
  return { auth, metrics, limits: limitsOf(flags), logLevel };
}
