import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';

const run = promisify(execFile);
const MODULE = import.meta.resolve('./pretenuring.ts');

/** Objects that all outlive a collection and then die, as those of calls do. */
const CALLS = `
const open = new Array(30_000);
for (let index = 0; index < 2_000_000; index++) open[index % open.length] = { index, list: [index, index] };
`;

/** What V8 tells of the places that it watches, at each collection. */
async function told(code: string): Promise<string> {
  const flags = ['--trace-pretenuring-statistics', '--input-type=module'];
  const { stdout } = await run(process.execPath, [...flags, '-e', `${code}${CALLS}`]);
  return stdout;
}

test('V8 watches by itself which objects live long, and no longer once it is stopped', {
  timeout: 30_000,
}, async () => {
  const [before, after] = await Promise.all([
    told(''),
    told(`import { stopPretenuring } from '${MODULE}'; stopPretenuring();`),
  ]);
  expect(before).toContain('pretenuring:');
  expect(after).toBe('');
});
