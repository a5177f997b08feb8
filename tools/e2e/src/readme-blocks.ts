/** A block of commands in a Markdown page, and what the page says that it prints. */
export type Block = {
  /** Line of the page on which the commands begin. */
  readonly line: number;
  readonly commands: string;
  /** Lines of output; `...` stands for any text within a line, and alone for any lines. */
  readonly shows: readonly string[];
};

const BLOCK = /^<!-- runs: (\S+) -->\n```sh\n([\s\S]*?)^```\n(?:[^`]*?^<!-- shows -->\n```text\n([\s\S]*?)^```\n)?/gm;

/** The blocks marked `<!-- runs: NAME -->`, each with the `<!-- shows -->` block that follows it. */
export function blocksOf(page: string, name: string): readonly Block[] {
  return [...page.matchAll(BLOCK)]
    .filter(([, marked]) => marked === name)
    .map(({ index, 2: commands = '', 3: shows = '' }) => ({
      line: page.slice(0, index).split('\n').length + 2,
      commands,
      shows: shows.split('\n').filter((line) => line !== ''),
    }));
}

/** A pattern that the whole output matches when it is what the page shows. */
export function patternOf(shows: readonly string[]): RegExp {
  const lines = shows.map((line) => (line === '...' ? '(?:.*\\n)*?' : `${line.split('...').map(quote).join('.*')}\\n`));
  return new RegExp(`^${lines.join('')}$`);
}

function quote(text: string): string {
  return text.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&');
}
