import { isIP } from 'node:net';

/** Where a listener binds. Port 0 takes a free one. */
export type Address = { readonly host: string; readonly port: number };

/** Bad settings: the message says what to change. */
export class SettingsError extends Error {
  override readonly name = 'SettingsError';
}

/** Reads `host:port`, `[ipv6]:port` or `port` (on 127.0.0.1). Throws a SettingsError. */
export function parseAddress(text: string): Address {
  const match = /^(?:(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9.-]+)):)?([0-9]{1,5})$/.exec(text);
  const host = match?.[1] ?? match?.[2] ?? '127.0.0.1';
  const port = Number(match?.[3] ?? Number.NaN);
  if (match === null || port > 65_535) throw new SettingsError(`not an address: "${text}"; write HOST:PORT or PORT`);
  return { host, port };
}

/** `host:port`, with brackets round an IPv6 address. */
export function formatAddress({ host, port }: Address): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

/** Whether an address is reachable from this machine alone: 127.0.0.0/8, ::1 or localhost. */
export function isLoopback(host: string): boolean {
  if (isIP(host) === 4) return host.startsWith('127.');
  return host === '::1' || host === 'localhost';
}

/** Refuses an address that others can reach, for a listener that does not authenticate its callers yet. */
export function requireLoopback(flag: string, address: Address, insecureListen: boolean): void {
  if (insecureListen || isLoopback(address.host)) return;
  throw new SettingsError(
    `${flag} ${formatAddress(address)} can be reached from other machines, and its callers are not authenticated: ` +
      'use a loopback address, or say --insecure-listen if the network itself is closed',
  );
}
