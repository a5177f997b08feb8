import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

/** The processes that a process has started and that run, those of its children included (Linux, proc(5)). */
export function descendantsOf(pid: number): number[] {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean).map(Number);
  return children.flatMap((child) => [child, ...descendantsOf(child)]);
}

/** Halts a process that another one has started, as if it hung, or lets it go on. Throws when there is none. */
export function halt(starter: number, script: string, halts: boolean): void {
  const isIt = (pid: number) => readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0')[1]?.endsWith(script);
  const pid = descendantsOf(starter).find(isIt);
  if (pid === undefined) throw new Error(`${script} does not run`);
  process.kill(pid, halts ? 'SIGSTOP' : 'SIGCONT');
}

/** Whether a process runs. */
export function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

/** Local and remote addresses of all TCP and UDP sockets of a process, as in proc(5): hex, a colon, the port. */
export function socketsOf(pid: number): { readonly local: string; readonly remote: string }[] {
  const inodes = new Set(readdirSync(`/proc/${pid}/fd`).map((fd) => inodeOf(`/proc/${pid}/fd/${fd}`)));
  const lines = ['tcp', 'tcp6', 'udp', 'udp6'].flatMap((table) =>
    readFileSync(`/proc/${pid}/net/${table}`, 'utf8').trim().split('\n').slice(1),
  );
  return lines
    .map((line) => line.trim().split(/\s+/))
    .filter((columns) => inodes.has(columns[9]))
    .map(([, local = '', remote = '']) => ({ local, remote }));
}

function inodeOf(path: string): string | undefined {
  try {
    return /^socket:\[(\d+)\]$/.exec(readlinkSync(path))?.[1];
  } catch {
    return undefined; // closed meanwhile
  }
}
