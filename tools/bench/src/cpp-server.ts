import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, globSync, mkdirSync, readFileSync, renameSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import type { Plan } from './plan.ts';
import { whatIsMissing } from './programs.ts';

const execute = promisify(execFile);

const ROOT = resolve(import.meta.dirname, '../../..');
const SOURCE = resolve(import.meta.dirname, '../cpp/empty_server.cc');
const BUF = join(ROOT, 'node_modules/.bin/buf');
const CACHE = join(ROOT, 'node_modules/.cache/latchkey-bench');

/** A step of the build takes half a minute on a free core. */
const STEP_DEADLINE_MS = 300_000;

/** Protos that Authenticate is made of; what they import comes with Debian's protobuf. */
const PROTOS = ['latchkey/v1/authentication.proto', 'latchkey/v1/types.proto', 'buf/validate/validate.proto'];
const SERVICE = PROTOS.slice(0, 1);

const PACKAGES = {
  'g++': 'g++',
  'pkg-config': 'pkg-config',
  protoc: 'protobuf-compiler',
  grpc_cpp_plugin: 'protobuf-compiler-grpc',
  '/usr/include/grpcpp/grpcpp.h': 'libgrpc++-dev',
};

/** The empty C++ server's program, built when there is none for these sources; or what is missing for it. */
export async function cppServer(plan: Plan): Promise<{ readonly program: string } | { readonly missing: string }> {
  const missing = whatIsMissing(PACKAGES);
  if (missing !== undefined) return { missing };
  const program = join(CACHE, `cpp-empty-server-${await fingerprint()}`);
  if (!existsSync(program)) {
    plan.say('building the C++ server, which takes a minute, once');
    await build(plan.processes.directory(), program);
  }
  return { program };
}

/** Another compiler, library, proto or source is another program. */
async function fingerprint(): Promise<string> {
  const versions = await run('pkg-config', ['--modversion', 'grpc++', 'protobuf']);
  const compiler = await run('g++', ['--version']);
  const sources = [SOURCE, import.meta.filename, ...globSync(join(ROOT, 'proto/latchkey/v1/*.proto'))].sort();
  const sum = createHash('sha256').update(versions.stdout).update(compiler.stdout);
  for (const source of sources) sum.update(readFileSync(source));
  return sum.digest('hex').slice(0, 16);
}

async function build(folder: string, program: string): Promise<void> {
  const descriptors = join(folder, 'descriptors.binpb');
  // Debian's protoc is older than some options in the protos: buf reads them, and what protoc does not know it leaves alone.
  await run(BUF, ['build', 'proto', '--as-file-descriptor-set', '-o', descriptors]);
  await run('protoc', [`--descriptor_set_in=${descriptors}`, `--cpp_out=${folder}`, ...PROTOS]);
  const plugin = await run('sh', ['-c', 'command -v grpc_cpp_plugin']);
  const grpc = [`--plugin=protoc-gen-grpc=${plugin.stdout.trim()}`, `--grpc_out=${folder}`];
  await run('protoc', [`--descriptor_set_in=${descriptors}`, ...grpc, ...SERVICE]);
  const { stdout: flags } = await run('pkg-config', ['--cflags', '--libs', 'grpc++', 'protobuf']);
  const generated = globSync(join(folder, '**/*.pb.cc'));
  const built = join(folder, 'server');
  const libraries = flags.trim().split(/\s+/);
  await run('g++', ['-std=c++17', '-O2', '-pthread', `-I${folder}`, SOURCE, ...generated, '-o', built, ...libraries]);
  mkdirSync(CACHE, { recursive: true });
  await run('cp', [built, `${program}.part`]);
  renameSync(`${program}.part`, program);
}

function run(program: string, args: readonly string[]) {
  return execute(program, args, { cwd: ROOT, timeout: STEP_DEADLINE_MS });
}
