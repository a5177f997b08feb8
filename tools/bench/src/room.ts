import { statfsSync } from 'node:fs';
import { freemem, tmpdir } from 'node:os';

/** Redis takes half of it, and may take it twice while it writes its append-only file. */
const MEMORY_BYTES = 1_000;

/** The append-only file, and the embedded store beside it. */
const DISK_BYTES = 1_000;

/** What a machine has left. */
export type Room = { readonly memoryBytes: number; readonly diskBytes: number };

/** What this machine lacks for a fleet; undefined: nothing. */
export function whatLacks(devices: number, room: Room = roomHere()): string | undefined {
  const gib = (bytes: number) => `${(bytes / 2 ** 30).toFixed(1)} GiB`;
  const [memory, disk] = [devices * MEMORY_BYTES, devices * DISK_BYTES];
  if (memory > room.memoryBytes) return `it takes ${gib(memory)} of memory, and ${gib(room.memoryBytes)} are left`;
  if (disk > room.diskBytes) return `it takes ${gib(disk)} of disk in ${tmpdir()}, and ${gib(room.diskBytes)} are left`;
  return undefined;
}

function roomHere(): Room {
  const { bavail, bsize } = statfsSync(tmpdir());
  return { memoryBytes: freemem(), diskBytes: bavail * bsize };
}
