/** Colours of lines and bars in their order, on a light page and on a dark one; told apart without red and green too. */
const COLOURS = [
  ['#0969da', '#58a6ff'],
  ['#c2410c', '#ffa657'],
  ['#1a7f5a', '#3fd0a0'],
  ['#8250df', '#c297ff'],
  ['#9a6700', '#e3b341'],
  ['#bf3989', '#ff8fd0'],
  ['#57606a', '#9da7b3'],
  ['#0e7490', '#5fd4ee'],
] as const;

/** The class of the line or bar with this index. */
export function colourClass(index: number): string {
  return `c${index % COLOURS.length}`;
}

/** What every plot looks like. */
export const STYLE = [
  'text{font:13px system-ui,"Segoe UI",Roboto,"Noto Sans","DejaVu Sans",sans-serif;fill:#1f2328}',
  '.title{font-size:16px;font-weight:600}',
  '.note{font-size:12px;fill:#57606a}',
  '.middle{text-anchor:middle}',
  '.end{text-anchor:end}',
  '.card{fill:#fff}',
  '.grid{stroke:#d8dee4;stroke-width:1}',
  '.axis{stroke:#8c959f;stroke-width:1}',
  '.line{fill:none;stroke-width:2;stroke-linejoin:round;stroke-linecap:round}',
  '.bar{fill-opacity:.6}',
  '.whisker{fill:none;stroke:#1f2328;stroke-width:1.2}',
  colours(0),
  `@media(prefers-color-scheme:dark){text{fill:#e6edf3}.note{fill:#9da7b3}.card{fill:#0d1117}.grid{stroke:#2b323b}.axis{stroke:#6e7681}.whisker{stroke:#e6edf3}${colours(1)}}`,
].join('\n');

function colours(page: 0 | 1): string {
  return COLOURS.map((pair, index) => `.line.c${index}{stroke:${pair[page]}}.fill.c${index}{fill:${pair[page]}}`).join(
    '',
  );
}
