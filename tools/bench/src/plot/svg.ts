/** Attributes of an element; numbers are written with a tenth of a pixel. */
export type Attributes = Readonly<Record<string, string | number>>;

const ENTITIES: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' };

/** An element around its children, which are markup already. */
export function element(name: string, attributes: Attributes, ...children: readonly string[]): string {
  const head = Object.entries(attributes).map(([key, value]) => ` ${key}="${escaped(coordinate(value))}"`);
  const open = `<${name}${head.join('')}`;
  return children.length === 0 ? `${open}/>` : `${open}>${children.join('')}</${name}>`;
}

/** A text at a place. */
export function label(text: string, at: Attributes): string {
  return element('text', at, escaped(text));
}

/** A text as markup. */
export function escaped(text: string): string {
  return text.replace(/[&<>"]/g, (character) => ENTITIES[character] ?? character);
}

/** The `d` of a path through these points. */
export function through(points: readonly (readonly [x: number, y: number])[]): string {
  return points.map(([x, y], index) => `${index === 0 ? 'M' : 'L'}${coordinate(x)} ${coordinate(y)}`).join('');
}

function coordinate(value: string | number): string {
  return typeof value === 'string' ? value : String(Math.round(value * 10) / 10);
}
