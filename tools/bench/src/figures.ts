import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { documentOf, FOLDER, type Kept, NOTES_FILE, type Sources } from './document.ts';
import { barsSvg, curveSvg, latencySvg } from './plot/plots.ts';
import { merged } from './report.ts';
import { SCALE_PAGE, withTables } from './scale-page.ts';

const ROOT = resolve(import.meta.dirname, '../../..');
const FIGURES_FILE = 'figures.json';

/** Where the document goes unless told otherwise. */
export const DOCS = join(ROOT, 'docs');

/** A document in a folder, with the figures that it is made from: a suite that is measured again replaces its own. */
export class Document {
  readonly #docs: string;
  readonly #suites: Sources['suites'];

  constructor(docs: string, suites: Sources['suites']) {
    this.#docs = docs;
    this.#suites = suites;
  }

  /** Keeps what a suite found and writes everything anew. Throws when a file cannot be read or written. */
  add(suite: string, found: Kept): void {
    this.#write({ ...this.#kept(), [suite]: found });
  }

  /** Writes everything anew from the figures that are there. Throws when there are none. */
  render(): void {
    const kept = this.#kept();
    if (Object.keys(kept).length === 0) throw new Error(`${this.#file(FIGURES_FILE)} holds no figures; measure first`);
    this.#write(kept);
  }

  #kept(): Sources['kept'] {
    const kept = readJson<Sources['kept']>(this.#file(FIGURES_FILE));
    // What a suite that is no more had found is of no use.
    return Object.fromEntries(Object.entries(kept).filter(([name]) => Object.hasOwn(this.#suites, name)));
  }

  #write(kept: Sources['kept']): void {
    mkdirSync(join(this.#docs, FOLDER), { recursive: true });
    const notesFile = this.#file(NOTES_FILE);
    const notes = readJson<Sources['notes']>(notesFile);
    writeFileSync(notesFile, `${JSON.stringify(notes, undefined, 2)}\n`);
    writeFileSync(this.#file(FIGURES_FILE), linesOf(kept));
    const plots = plotsOf(kept);
    for (const old of readdirSync(join(this.#docs, FOLDER)).filter((name) => name.endsWith('.svg')))
      if (!plots.has(old)) rmSync(this.#file(old));
    for (const [name, svg] of plots) writeFileSync(this.#file(name), svg);
    writeFileSync(join(this.#docs, `${FOLDER}.md`), documentOf({ suites: this.#suites, kept, notes }));
    // Only where it lies: its text is written by hand.
    const page = join(this.#docs, SCALE_PAGE);
    if (existsSync(page)) writeFileSync(page, withTables(readFileSync(page, 'utf8'), kept));
  }

  #file(name: string): string {
    return join(this.#docs, FOLDER, name);
  }
}

/** The commit that is checked out, and whether the files are as it has them. */
export function describeCommit(): string {
  const git = (...args: readonly string[]) => execFileSync('git', args, { cwd: ROOT, encoding: 'utf8' }).trim();
  try {
    const commit = git('rev-parse', '--short=10', 'HEAD');
    // What an earlier run has written is no change of what is measured.
    return git('status', '--porcelain', '--', '.', ':!docs/benchmarks*') === '' ? commit : `${commit} with changes`;
  } catch {
    return 'unknown';
  }
}

/** Plots by name of the file. */
function plotsOf(kept: Sources['kept']): ReadonlyMap<string, string> {
  const { bars, latencies, curves } = merged(Object.values(kept).map(({ findings }) => findings));
  return new Map([
    ...Object.entries(bars).map(([name, each]) => [`${name}.svg`, barsSvg(each)] as const),
    ...Object.entries(latencies).map(([name, each]) => [`${name}.svg`, latencySvg(each)] as const),
    ...Object.entries(curves).map(([name, each]) => [`${name}.svg`, curveSvg(each)] as const),
  ]);
}

/** JSON with a line for each suite: a suite that is measured again changes one line. */
function linesOf(kept: Sources['kept']): string {
  const lines = Object.entries(kept).map(([name, one]) => `${JSON.stringify(name)}: ${JSON.stringify(one)}`);
  return `{\n${lines.join(',\n')}\n}\n`;
}

/** What a file holds; nothing when it is not there. Throws when it is no JSON object. */
function readJson<T extends Readonly<Record<string, unknown>>>(file: string): T {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return {} as T;
    throw error;
  }
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as T;
  } catch {
    // told below
  }
  throw new Error(`${file} is not a JSON object`);
}
