import type { Scale } from './scale.ts';
import { colourClass, STYLE } from './style.ts';
import { element, escaped, label } from './svg.ts';

/** Pixels. */
const WIDTH = 820;
const MARGIN = { left: 72, right: 28, bottom: 58 } as const;
const PADDING = 24;
const TITLE_AT = 34;
const LEGEND_AT = 60;
const LEGEND_ROW = 22;
const SWATCH = 22;
const LEGEND_GAP = 26;
/** A character's width on average, of the widest font that the style names. */
const CHARACTER = 7.6;
/** Room between legend and area, in which the label of the upright axis stands. */
const LABEL_ROOM = 32;

/** An axis with what stands beside it. */
export type Axis = { readonly scale: Scale; readonly label: string };

/** The part of a plot in which values lie. */
export type Area = {
  readonly left: number;
  readonly right: number;
  readonly top: number;
  readonly bottom: number;
  readonly x: (value: number) => number;
  readonly y: (value: number) => number;
};

/** A drawing with title, legend and two axes; `draw` fills the area. Coordinates are within its view box. */
export function framed(
  plot: {
    readonly title: string;
    readonly x: Axis;
    readonly y: Axis;
    /** Names of the lines, in the order of their colours. */
    readonly legend: readonly string[];
    readonly height: number;
  },
  draw: (area: Area) => readonly string[],
): string {
  const { legend, rows } = legendOf(plot.legend);
  const top = LEGEND_AT + rows * LEGEND_ROW + LABEL_ROOM;
  const bottom = top + plot.height;
  const [left, right] = [MARGIN.left, WIDTH - MARGIN.right];
  const area: Area = {
    ...{ left, right, top, bottom },
    x: (value) => left + plot.x.scale.at(value) * (right - left),
    y: (value) => bottom - plot.y.scale.at(value) * (bottom - top),
  };
  return drawing(plot.title, bottom + MARGIN.bottom, [
    ...legend,
    ...uprightAxis(area, plot.y),
    ...flatAxis(area, plot.x),
    ...draw(area),
  ]);
}

/** A whole document. */
export function drawing(title: string, height: number, content: readonly string[], width = WIDTH): string {
  const head = { xmlns: 'http://www.w3.org/2000/svg', viewBox: `0 0 ${width} ${Math.round(height)}`, role: 'img' };
  const parts = [
    element('title', {}, escaped(title)),
    element('style', {}, escaped(STYLE).replaceAll('&quot;', '"')),
    element('rect', { class: 'card', x: 0, y: 0, width, height: Math.round(height), rx: 12 }),
    label(title, { class: 'title', x: PADDING, y: TITLE_AT }),
    ...content,
  ];
  return `${element('svg', head, ...parts.map((part) => `\n${part}`), '\n')}\n`;
}

/** Names in rows, each behind a stroke of its colour. */
function legendOf(names: readonly string[]): { readonly legend: readonly string[]; readonly rows: number } {
  let [x, row] = [PADDING, 0];
  const legend = names.flatMap((name, index) => {
    const width = SWATCH + 8 + name.length * CHARACTER;
    if (x > PADDING && x + width > WIDTH - PADDING) [x, row] = [PADDING, row + 1];
    const [at, y] = [x, LEGEND_AT + row * LEGEND_ROW];
    x += width + LEGEND_GAP;
    return [
      element('path', { class: `line ${colourClass(index)}`, d: `M${at} ${y}h${SWATCH}` }),
      label(name, { x: at + SWATCH + 8, y: y + 4.5 }),
    ];
  });
  return { legend, rows: names.length === 0 ? 0 : row + 1 };
}

function uprightAxis(area: Area, { scale, label: text }: Axis): readonly string[] {
  return [
    label(text, { class: 'note', x: PADDING, y: area.top - 16 }),
    ...scale.ticks.flatMap((tick, index) => [
      element('path', {
        class: index === 0 ? 'axis' : 'grid',
        d: `M${area.left} ${area.y(tick.value).toFixed(1)}H${area.right}`,
      }),
      label(tick.label, { class: 'note end', x: area.left - 8, y: area.y(tick.value) + 4 }),
    ]),
  ];
}

function flatAxis(area: Area, { scale, label: text }: Axis): readonly string[] {
  return [
    ...scale.ticks.flatMap((tick) => [
      element('path', { class: 'grid', d: `M${area.x(tick.value).toFixed(1)} ${area.top}V${area.bottom}` }),
      label(tick.label, { class: 'note middle', x: area.x(tick.value), y: area.bottom + 18 }),
    ]),
    label(text, { class: 'note middle', x: (area.left + area.right) / 2, y: area.bottom + 42 }),
  ];
}
