import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';

/** Debian keeps servers in folders that not every user searches. */
export const WITH_SBIN = { ...process.env, PATH: `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin` };

/** Whether there is such a program or, by its whole path, such a file. */
export function isInstalled(program: string): boolean {
  if (program.startsWith('/')) return existsSync(program);
  return WITH_SBIN.PATH.split(delimiter).some((folder) => existsSync(join(folder, program)));
}

/** What to install, of programs by the Debian packages that hold them; undefined: nothing is missing. */
export function whatIsMissing(packages: Readonly<Record<string, string>>): string | undefined {
  const missing = Object.keys(packages).filter((program) => !isInstalled(program));
  if (missing.length === 0) return undefined;
  const names = [...new Set(missing.map((program) => packages[program]))];
  return `there is no ${missing.join(', no ')} here (apt-get install ${names.join(' ')})`;
}
