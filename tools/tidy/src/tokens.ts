/** A piece of TypeScript. Strings and regular expressions keep their delimiters; comments are left out. */
export type Token = {
  readonly kind: 'word' | 'text' | 'regex' | 'mark';
  readonly text: string;
  /** From 1. */
  readonly line: number;
};

const WORD = /[\p{L}\p{N}_$#]+/uy;
const SPACE = /\s+/y;
const LINE_COMMENT = /\/\/[^\n]*/y;
const BLOCK_COMMENT = /\/\*[\s\S]*?\*\//y;
const QUOTED = /'(?:[^'\\\n]|\\[\s\S])*'|"(?:[^"\\\n]|\\[\s\S])*"/y;
const REGEX = /\/(?:[^/\\[\n]|\\.|\[(?:[^\]\\\n]|\\.)*\])+\/[a-z]*/y;
/** Text of a template up to its end or to the next `${`. */
const TEMPLATE_PART = /(?:[^`\\$]|\\[\s\S]|\$(?!\{))*(?:`|\$\{)/y;
const MARK = /=>|\.\.\.|[\s\S]/y;

/** After one of these words a slash begins a regular expression. */
const BEFORE_REGEX = new Set([
  'return',
  'typeof',
  'case',
  'in',
  'of',
  'delete',
  'void',
  'throw',
  'new',
  'else',
  'await',
  'yield',
]);

/**
 * Splits TypeScript into tokens, well enough to count functions and to find names. A template's `${` is one mark, its
 * `}` another. Known limit: a regular expression right after `)` or `}` is read as a division.
 */
export function tokenize(source: string): Token[] {
  const tokens: Token[] = [];
  /** For each open brace: does it close a template's `${`? */
  const braces: boolean[] = [];
  let at = 0;
  let line = 1;
  const take = (pattern: RegExp): string | undefined => {
    pattern.lastIndex = at;
    const text = pattern.exec(source)?.[0];
    if (text !== undefined) at += text.length;
    return text;
  };
  const add = (kind: Token['kind'], text: string) => {
    tokens.push({ kind, text, line });
    line += newlines(text);
  };
  const addTemplatePart = (opening: string) => {
    const part = take(TEMPLATE_PART) ?? '';
    const opens = part.endsWith('${');
    add('text', opening + (opens ? part.slice(0, -2) : part));
    if (opens) {
      add('mark', '${');
      braces.push(true);
    }
  };
  while (at < source.length) {
    const skipped = take(SPACE) ?? take(LINE_COMMENT) ?? take(BLOCK_COMMENT);
    if (skipped !== undefined) {
      line += newlines(skipped);
      continue;
    }
    const word = take(WORD);
    if (word !== undefined) {
      add('word', word);
      continue;
    }
    const quoted = take(QUOTED);
    if (quoted !== undefined) {
      add('text', quoted);
      continue;
    }
    const regex = slashBeginsRegex(tokens.at(-1)) ? take(REGEX) : undefined;
    if (regex !== undefined) {
      add('regex', regex);
      continue;
    }
    const mark = take(MARK) ?? '';
    if (mark === '`') {
      addTemplatePart('`');
      continue;
    }
    add('mark', mark);
    if (mark === '{') braces.push(false);
    if (mark === '}' && braces.pop() === true) addTemplatePart('');
  }
  return tokens;
}

function newlines(text: string): number {
  return text.split('\n').length - 1;
}

function slashBeginsRegex(previous: Token | undefined): boolean {
  if (previous === undefined) return true;
  if (previous.kind === 'word') return BEFORE_REGEX.has(previous.text);
  return previous.kind === 'mark' && ![')', ']', '}'].includes(previous.text);
}

/** The string that a quoted token stands for, escapes left as they are; undefined for any other token. */
export function unquoted(token: Token | undefined): string | undefined {
  return token?.kind === 'text' && /^(['"]).*\1$/s.test(token.text) ? token.text.slice(1, -1) : undefined;
}
