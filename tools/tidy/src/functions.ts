import { type Token, tokenize } from './tokens.ts';

/** A function with a body: its name ('' when it has none) and how many lines are its own. */
export type FoundFunction = { readonly name: string; readonly line: number; readonly lines: number };

const CLOSER_OF: Readonly<Record<string, string>> = { '(': ')', '[': ']', '{': '}', '${': '}' };
const CONTROL = new Set(['if', 'for', 'while', 'switch', 'catch', 'with']);
/** Words that end the way back over a return type: what stands before them is no part of it. */
const NEVER_IN_A_TYPE = new Set(
  'await case catch class const do else export finally function import interface let new return throw try type yield'.split(
    ' ',
  ),
);
/** What a type cannot end with, so that a brace after it opens one more type and no body. */
const INSIDE_A_TYPE = new Set(['.', '|', '&', '<', '(', '[', '{', ',', '=>', ':', ';', '=', '?']);
const TEST_CALLS = new Set(['describe', 'it', 'test']);
const TYPE_MARKS = new Set(['.', '|', '&', '<', '>', '[', ']', '(', ')', '{', '}', ',', '=>']);

type Span = { readonly name: string; readonly first: number; readonly last: number; readonly isTest: boolean };

/** A source in tokens, and for each bracket the index of its partner. */
type Code = { readonly tokens: readonly Token[]; readonly partner: ReadonlyMap<number, number> };

/**
 * The functions of a TypeScript source. A callback given to describe, it or test counts by itself and not towards the
 * function around it: a suite is a list, not a long function.
 */
export function findFunctions(source: string): FoundFunction[] {
  const tokens = tokenize(source);
  const code = { tokens, partner: matchBrackets(tokens) };
  const spans = tokens.flatMap((_, at) => spanAt(code, at) ?? []);
  return spans.map((span) => {
    const inner = spans.filter((other) => other.isTest && contains(span, other));
    const outermost = inner.filter((other) => !inner.some((third) => contains(third, other)));
    const foreign = outermost.reduce((sum, { first, last }) => sum + last - first, 0);
    return { name: span.name, line: span.first, lines: span.last - span.first + 1 - foreign };
  });
}

function contains(outer: Span, inner: Span): boolean {
  return outer !== inner && outer.first <= inner.first && inner.last <= outer.last;
}

function matchBrackets(tokens: readonly Token[]): Map<number, number> {
  const partner = new Map<number, number>();
  const open: number[] = [];
  tokens.forEach(({ kind, text }, at) => {
    if (kind !== 'mark') return;
    if (text in CLOSER_OF) open.push(at);
    if (!Object.values(CLOSER_OF).includes(text)) return;
    const opener = open.pop();
    if (opener === undefined) return;
    partner.set(opener, at);
    partner.set(at, opener);
  });
  return partner;
}

/** The function whose body opens at a token, if one does. An arrow's body may also be an expression in parentheses. */
function spanAt(code: Code, at: number): Span | undefined {
  const { tokens, partner } = code;
  const text = tokens[at]?.text;
  const end = partner.get(at);
  if (end === undefined || tokens[at]?.kind !== 'mark') return undefined;
  const isArrow = tokens[at - 1]?.text === '=>';
  if (!(text === '{' || (text === '(' && isArrow))) return undefined;
  const params = isArrow ? arrowParameters(code, at - 1) : declaredParameters(code, at);
  if (params === undefined) return undefined;
  return {
    name: nameBefore(tokens, params),
    first: tokens[params]?.line ?? 0,
    last: tokens[end]?.line ?? 0,
    isTest: isArrow && isTestCall(code, params),
  };
}

/** Where an arrow function's parameters begin. */
function arrowParameters({ tokens, partner }: Code, arrow: number): number {
  if (tokens[arrow - 1]?.kind === 'word' && tokens[arrow - 2]?.text !== ':') return arrow - 1;
  const close = tokens[arrow - 1]?.text === ')' ? arrow - 1 : closeBeforeType({ tokens, partner }, arrow);
  return (close === undefined ? undefined : partner.get(close)) ?? arrow - 1;
}

/** Where the parameters of a function or method begin whose body opens at `brace`; undefined for any other block. */
function declaredParameters({ tokens, partner }: Code, brace: number): number | undefined {
  const close = tokens[brace - 1]?.text === ')' ? brace - 1 : closeBeforeType({ tokens, partner }, brace);
  const open = close === undefined ? undefined : partner.get(close);
  if (open === undefined) return undefined;
  const before = tokens[open - 1];
  return before?.kind === 'word' && CONTROL.has(before.text) ? undefined : open;
}

/** Goes back over a return type, `): TYPE {`, to its closing parenthesis; undefined when there is no such type. */
function closeBeforeType({ tokens, partner }: Code, end: number): number | undefined {
  if (INSIDE_A_TYPE.has(tokens[end - 1]?.text ?? '')) return undefined;
  for (let at = end - 1; at > 0; at -= 1) {
    const token = tokens[at];
    if (token === undefined) return undefined;
    if (token.text === ':' && token.kind === 'mark') return tokens[at - 1]?.text === ')' ? at - 1 : undefined;
    const isType = token.kind === 'mark' ? TYPE_MARKS.has(token.text) : !NEVER_IN_A_TYPE.has(token.text);
    if (!isType || (token.kind === 'mark' && token.text in CLOSER_OF)) return undefined;
    if (token.kind === 'mark' && [')', ']', '}'].includes(token.text)) at = partner.get(at) ?? 0;
  }
  return undefined;
}

/** `function NAME(`, `NAME(` of a method, `NAME = (`, `NAME: (`; type parameters and `async` are passed over. */
function nameBefore(tokens: readonly Token[], params: number): string {
  let at = params - 1;
  if (tokens[at]?.text === '>') {
    while (at > 0 && tokens[at]?.text !== '<') at -= 1;
    at -= 1;
  }
  if (tokens[at]?.text === 'async') at -= 1;
  if (tokens[at]?.text === '=' || tokens[at]?.text === ':') at -= 1;
  const name = tokens[at];
  return name?.kind === 'word' && name.text !== 'function' ? name.text : '';
}

/** Do these parameters belong to a callback of `describe(`, `it.each(...)(`, `test.prop(...)(` or the like? */
function isTestCall({ tokens, partner }: Code, params: number): boolean {
  let at = params - 1;
  while (at >= 0 && tokens[at]?.text !== '(') {
    const closes = [')', ']', '}'].includes(tokens[at]?.text ?? '');
    if (tokens[at]?.kind === 'mark' && (tokens[at]?.text === ';' || (tokens[at]?.text ?? '') in CLOSER_OF))
      return false;
    at = (closes ? (partner.get(at) ?? 0) : at) - 1;
  }
  for (at -= 1; at >= 0; at -= 1) {
    const text = tokens[at]?.text ?? '';
    if (text === ')') at = partner.get(at) ?? 0;
    else if (TEST_CALLS.has(text) && tokens[at - 1]?.text !== '.') return true;
    else if (!(text === '.' || (tokens[at]?.kind === 'word' && tokens[at - 1]?.text === '.'))) return false;
  }
  return false;
}
