#!/usr/bin/env node
// Plain JavaScript that any Node understands: it finds a Node that can run the TypeScript sources.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const [major, minor] = process.versions.node.split('.').map(Number);
const main = new URL('../src/main.ts', import.meta.url);

if (major > 24 || (major === 24 && minor >= 15)) {
  await import(main.href);
} else {
  const pinned = fileURLToPath(new URL('../../../node_modules/.bin/node', import.meta.url));
  if (existsSync(pinned)) {
    const child = spawnSync(pinned, [fileURLToPath(main), ...process.argv.slice(2)], { stdio: 'inherit' });
    if (child.signal) process.kill(process.pid, child.signal);
    process.exitCode = child.status ?? 1;
  } else {
    console.error(
      `latchkey: Node ${process.version} (${process.execPath}) is too old: install 24.15 or newer, or run npm ci in the project for the pinned one`,
    );
    process.exitCode = 1;
  }
}
