import { readFileSync } from 'node:fs';
import { formatAddress, parseAddress } from '@latchkey/runtime';
import { type Operator, operatorAt } from './operator.ts';

/** A server that this run did not start. */
export type Target = {
  /** Its gateway listener, `host:port`. */
  readonly address: string;
  readonly operator: Operator;
};

/** What is said of a server elsewhere. */
export type TargetFlags = {
  readonly target?: string;
  readonly admin?: string;
  readonly tokenFile?: string;
};

/** The server elsewhere, if there is one. Throws when something about it is missing or cannot be read. */
export function targetOf({ target, admin, tokenFile }: TargetFlags): Target | undefined {
  if (target === undefined) {
    if (admin === undefined && tokenFile === undefined) return undefined;
    throw new Error('--admin and --token-file belong to --target HOST:PORT');
  }
  if (admin === undefined || tokenFile === undefined) {
    throw new Error(
      '--target needs --admin URL and --token-file FILE: its devices are registered there, and deleted at the end',
    );
  }
  const { protocol, origin } = URL.canParse(admin) ? new URL(admin) : { protocol: '', origin: '' };
  if (protocol !== 'http:' && protocol !== 'https:') throw new Error(`--admin is no URL of http or https: "${admin}"`);
  return { address: formatAddress(parseAddress(target)), operator: operatorAt(origin, tokenIn(tokenFile)) };
}

function tokenIn(file: string): string {
  const token = readFileSync(file, 'utf8').trim();
  if (token === '') throw new Error(`--token-file ${file} is empty`);
  return token;
}
