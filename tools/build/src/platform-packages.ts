/** One entry of package-lock.json; what is not named here is kept as it is. */
export type LockEntry = {
  readonly dev?: boolean;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
  readonly [key: string]: unknown;
};

/** The part of package-lock.json (lockfileVersion 3) that matters here: entries by their place in the tree. */
export type Lock = { readonly packages: Readonly<Record<string, LockEntry>>; readonly [key: string]: unknown };

/** A lock and the names of the packages that it lacked. */
export type CompletedLock = { readonly lock: Lock; readonly added: readonly string[] };

const OS_NAMES = ['aix', 'android', 'darwin', 'freebsd', 'linux', 'netbsd', 'openbsd', 'openharmony', 'sunos', 'win32'];
const CPU_NAMES = ['arm', 'arm64', 'ia32', 'loong64', 'mips64el', 'ppc64', 'riscv64', 's390x', 'wasm32', 'x64'];
const CPU_ALIASES: Readonly<Record<string, string>> = { aarch64: 'arm64', armv7: 'arm' };

/** The place that `npm ci` looks in after `place`; '' is the root. */
function parentPlace(place: string): string {
  const cut = place.lastIndexOf('node_modules/');
  return cut <= 0 ? '' : place.slice(0, cut - 1);
}

function isLocked(lock: Lock, from: string, name: string): boolean {
  for (let place = from; place !== ''; place = parentPlace(place)) {
    if (`${place}/node_modules/${name}` in lock.packages) return true;
  }
  return `node_modules/${name}` in lock.packages;
}

/** What an entry says of its platform, read from the package's name; undefined when the name tells no platform. */
function platformOf(name: string): { cpu: string[]; os: string[]; libc?: string[] } | undefined {
  const words = name.split(/[^a-z0-9]+/).map((word) => CPU_ALIASES[word] ?? word);
  const os = OS_NAMES.filter((known) => words.includes(known));
  const cpu = CPU_NAMES.filter((known) => words.includes(known));
  if (os.length === 0 && cpu.length === 0) return undefined;
  return words.some((word) => word.startsWith('musl')) ? { cpu, os, libc: ['musl'] } : { cpu, os };
}

/**
 * Adds the optional platform packages that a lock names but does not hold. npm leaves those out that the registry
 * lacked when the lock was written, and `npm ci` then refuses the lock ("Missing: NAME@ from lock file").
 */
export function completeLock(lock: Lock): CompletedLock {
  const added = new Map<string, LockEntry>();
  for (const [place, entry] of Object.entries(lock.packages)) {
    for (const [name, version] of Object.entries(entry.optionalDependencies ?? {})) {
      const platform = platformOf(name);
      if (platform === undefined || isLocked(lock, place, name)) continue;
      added.set(name, { version, ...(entry.dev === true ? { dev: true } : {}), optional: true, ...platform });
    }
  }
  if (added.size === 0) return { lock, added: [] };
  const entries = [...added].map(([name, entry]) => [`node_modules/${name}`, entry] as const);
  const all = [...Object.entries(lock.packages), ...entries].sort(([a], [b]) => a.localeCompare(b, 'en'));
  return { lock: { ...lock, packages: Object.fromEntries(all) }, added: [...added.keys()] };
}
