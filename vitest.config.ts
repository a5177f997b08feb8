import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { defineConfig } from 'vitest/config';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

/** Most of what the tests do is to wait for processes, leases and links, so there are more workers than cores. */
const WORKERS = 4;

/** A test may start processes, on a machine that is busy with as many others. */
const TEST_DEADLINE_MS = 60_000;
const HOOK_DEADLINE_MS = 120_000;

/** How long it is looked for what must come about. */
const POLL_DEADLINE_MS = 20_000;

/** The longest ones, which begin first: at the end the others would wait for them. */
const LONGEST = [
  ...['tools/chaos/src/chaos', 'tools/chaos/src/scenes', 'libs/store-redis/src/failover', 'tools/e2e/src/replicas'],
  ...['tools/bench/src/main', 'tools/chaos/src/mutants', 'tools/e2e/src/outage', 'libs/store/src/embedded/kill'],
  ...['tools/e2e/src/readme', 'tools/e2e/src/certificates-page', 'libs/store-redis/src/contract'],
  ...['services/auth/src/process', 'tools/e2e/src/road', 'tools/e2e/src/cases'],
].map((name) => join(import.meta.dirname, `${name}.test.ts`));

class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files);
    const first = LONGEST.flatMap((path) => sorted.filter(({ moduleId }) => moduleId === path));
    return [...new Set([...first, ...sorted])];
  }
}

const projects = ['libs', 'services', 'tools'].flatMap((folder) =>
  readdirSync(join(import.meta.dirname, folder)).map((name) => {
    const root = join(import.meta.dirname, folder, name);
    return { root, test: { name: JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')).name as string } };
  }),
);

export default defineConfig({
  test: {
    projects,
    maxWorkers: WORKERS,
    testTimeout: TEST_DEADLINE_MS,
    hookTimeout: HOOK_DEADLINE_MS,
    expect: { poll: { timeout: POLL_DEADLINE_MS } },
    sequence: { sequencer: LongestFirst },
    // Tests start hundreds of processes: each loads compiled code instead of sources.
    env: { NODE_COMPILE_CACHE: join(import.meta.dirname, 'node_modules/.cache/latchkey/compiled') },
  },
});
