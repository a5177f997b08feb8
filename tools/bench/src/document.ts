import { type Machine, machineLine } from './machine.ts';
import type { Findings, Ratio } from './measure.ts';
import { merged } from './report.ts';
import type { Entry } from './suites.ts';
import { aimOf, curveRows, latencyCells, metOf, NAMED_PERCENTS, spread } from './table.ts';

/** What a suite found, and how to find it again. */
export type Kept = {
  readonly command: string;
  readonly commit: string;
  /** YYYY-MM-DD. */
  readonly date: string;
  readonly machine: Machine;
  readonly findings: Findings;
};

/** What a document is made of. */
export type Sources = {
  /** In the order of their sections. */
  readonly suites: Readonly<Record<string, Pick<Entry, 'question' | 'reading'>>>;
  /** By suite. */
  readonly kept: Readonly<Record<string, Kept>>;
  /** By name of the ratio: why it is not met, or what a reader should know of it. */
  readonly notes: Readonly<Record<string, string>>;
};

/** The folder of the plots beside the document, and the file of the notes in it. */
export const FOLDER = 'benchmarks';
export const NOTES_FILE = 'notes.json';

/** With more of its cores in use than this, a machine was not free for a measurement. */
const MAX_LOAD_SHARE = 0.25;

const READING = `Every figure is the median of several rounds, with the least and the greatest of them: a wide spread means that something
else used the machine. Two sides of a ratio are measured in turns within one run, A B A B, after a warm-up, so that a slow minute falls
on both. "Load before" says how many processes wanted a core in the minute before the run began: well below the number of cores, or the
figures are of another machine. CPU time is that of the measured server process alone, all its threads, as the kernel counts it; "a second" in a rate
shares the machine with whoever asks. So ratios of CPU time carry over to another machine, rates do not.

Latency at a fixed rate counts from the moment at which a question was due, not from when it could be sent: a server that stops for a second is
charged with every question of that second. "Not started" are those that were due while too many were open already. The axis of a
latency plot gives each further nine the same length; where its line ends lies the longest time.`;

/** The whole document, in Markdown. */
export function documentOf({ suites, kept, notes }: Sources): string {
  const sections = Object.entries(suites).flatMap(([name, suite]) => {
    const one = kept[name];
    return one === undefined ? [] : [sectionOf(name, suite, one, notes)];
  });
  return `${[
    '# Benchmarks',
    `Written by \`npm run bench -- all --write\`, from the figures in [${FOLDER}/figures.json](${FOLDER}/figures.json); changes by hand are lost. Reasons and remarks come from [${FOLDER}/${NOTES_FILE}](${FOLDER}/${NOTES_FILE}).`,
    ...warningsOf(Object.values(kept)),
    '## At a glance',
    glanceOf(suites, kept),
    '## What is not met',
    unmetOf(kept, notes),
    '## How to read it',
    READING,
    '## Where and how it was measured',
    whereOf(suites, kept),
    ...withoutFigures(suites, kept),
    ...sections,
  ].join('\n\n')}\n`;
}

/** What makes figures worth less than they seem. */
function warningsOf(kept: readonly Kept[]): readonly string[] {
  const isShort = kept.some(({ command }) => /--(quick|rounds)/.test(command));
  const isBusy = kept.some(({ machine: { load, cores } }) => load > cores * MAX_LOAD_SHARE);
  return [
    ...(isShort ? ['**Not at full length**: some of it was measured with fewer devices or rounds.'] : []),
    ...(isBusy
      ? ['**On a busy machine**: others used it when some of it was measured, and rates and latencies show that.']
      : []),
  ];
}

function glanceOf(suites: Sources['suites'], kept: Sources['kept']): string {
  const rows = Object.keys(suites).flatMap((suite) =>
    Object.entries(kept[suite]?.findings.ratios ?? {}).map(([name, ratio]) => [
      `[${suite}](#${suite})`,
      ...ratioCells(name, ratio),
    ]),
  );
  return markdown(['suite', 'ratio', 'median', 'min', 'max', 'aim', 'met'], rows);
}

function unmetOf(kept: Sources['kept'], notes: Sources['notes']): string {
  const { ratios } = merged(Object.values(kept).map(({ findings }) => findings));
  const unmet = Object.entries(ratios).filter(([, { met }]) => !met);
  if (unmet.length === 0) return 'Every aim is met.';
  return unmet
    .map(([name, ratio]) => {
      const [median] = spread(ratio);
      return `- \`${name}\`, ${median} where ${aimOf(ratio)} is the aim: ${notes[name] ?? 'no reason is written down.'}`;
    })
    .join('\n');
}

/** One sentence where all was measured in one go, else a table. */
function whereOf(suites: Sources['suites'], kept: Sources['kept']): string {
  const all = Object.keys(suites).flatMap((name) => kept[name] ?? []);
  const places = all.map(({ commit, date, machine }) => [commit, date, machineLine(machine)]);
  const [first = []] = places;
  if (new Set(places.map(String)).size === 1) {
    const [commit, date, machine] = first;
    return `Everything on ${date}, at commit ${commit}, on: ${machine}. Each section begins with its command.`;
  }
  return markdown(
    ['command', 'commit', 'date', 'machine'],
    all.map(({ command }, index) => [`\`${command}\``, ...(places[index] ?? [])]),
  );
}

function withoutFigures(suites: Sources['suites'], kept: Sources['kept']): readonly string[] {
  const names = Object.keys(suites).filter((name) => kept[name] === undefined);
  return names.length === 0 ? [] : [`Not measured: ${names.join(', ')}.`];
}

function sectionOf(
  name: string,
  { question, reading }: Sources['suites'][string],
  kept: Kept,
  notes: Sources['notes'],
) {
  const found = merged([kept.findings]);
  const [ratios, rates] = [Object.entries(found.ratios), Object.entries(found.rates)];
  const remarks = ratios.filter(([ratio, { met }]) => met && notes[ratio] !== undefined);
  const distributions = Object.values(found.latencies).flatMap(({ series }) => Object.entries(series));
  const lines = (texts: readonly string[]) => (texts.length === 0 ? [] : [texts.join('\n')]);
  return [
    `## ${name}`,
    question,
    `\`${kept.command}\``,
    ...(reading === undefined ? [] : [reading]),
    ...table(
      ['ratio', 'median', 'min', 'max', 'aim', 'met'],
      ratios.map((each) => ratioCells(...each)),
    ),
    ...lines(remarks.map(([ratio]) => `- \`${ratio}\`: ${notes[ratio]}`)),
    ...lines(Object.entries(found.absent).map(([what, reason]) => `- \`${what}\` was not measured: ${reason}`)),
    ...plotsOf(found),
    ...table(
      ['latency, ms', ...NAMED_PERCENTS.map((percent) => `p${percent}`), 'max', 'count', 'not started', 'no answer'],
      distributions.map(([line, each]) => [line, ...latencyCells(each)]),
    ),
    ...Object.entries(found.curves).map(([curve, each]) => {
      const [head = [], ...rows] = curveRows(curve, each);
      return markdown(head, rows);
    }),
    ...table(
      ['rate', 'median', 'min', 'max'],
      rates.map(([rate, figure]) => [`\`${rate}\``, ...spread(figure)]),
    ),
  ].join('\n\n');
}

function plotsOf({ bars, latencies, curves }: Required<Findings>): readonly string[] {
  return Object.entries({ ...bars, ...latencies, ...curves }).map(
    ([name, { title }]) => `![${title}](${FOLDER}/${name}.svg)`,
  );
}

function ratioCells(name: string, ratio: Ratio): readonly string[] {
  return [`\`${name}\``, ...spread(ratio), aimOf(ratio), metOf(ratio)];
}

/** A table, or nothing when it has no rows. */
function table(head: readonly string[], rows: readonly (readonly string[])[]): readonly string[] {
  return rows.length === 0 ? [] : [markdown(head, rows)];
}

/** Names to the left, figures to the right. */
function markdown(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const row = (cells: readonly string[]) => `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
  const isText = (column: number) => rows.some((cells) => /[A-Za-z`]{2}/.test(cells[column] ?? ''));
  const rule = head.map((_, column) => (isText(column) ? '---' : '--:'));
  return [row(head), row(rule), ...rows.map(row)].join('\n');
}
