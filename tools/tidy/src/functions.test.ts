import { describe, expect, it } from 'vitest';
import { findFunctions } from './functions.ts';

const found = (source: string) => findFunctions(source).map(({ name, lines }) => `${name} ${lines}`);

describe('findFunctions', () => {
  it('sees declarations, methods, arrows and generics, whatever their return type', () => {
    const source = `
      export function plain(a: { b: number }) {
        if (a) { go(); }
      }
      async function typed<T extends string>(a: T): Promise<{ a: T } | 'b'> {
        for (const x of y) { x; }
      }
      class Table {
        constructor() {
        }
        get size(): number {
          return 1;
        }
        #clear(): asserts this is Table {

        }
      }
      const arrow = async (a: string): Promise<void> => {
        return;
      };
      const short = a => {
      };
      const built = { make: () => ({
        a: 1,
      }) };
    `;
    expect(found(source)).toEqual([
      'plain 3',
      'typed 3',
      'constructor 2',
      'size 3',
      '#clear 3',
      'arrow 3',
      'short 2',
      'make 3',
    ]);
  });

  it('takes no other block for a function', () => {
    const source = `
      switch (a) { case f(x): { break; } default: {} }
      try { a(); } catch (error) { b(); } finally {}
      const o: { a: number } = c(d) ? { a: 1 } : { a: 2 };
      const t = f(x) ? f(y) : \`a\${{ b: 1 }.b}\`;
      do { x; } while (y)
      label: while (a) { break label; }
    `;
    expect(found(source)).toEqual([]);
  });

  it('is not misled by braces in strings, templates, comments and regular expressions', () => {
    const source = `
      function tricky() {
        const a = '{' + "}}" + \`}\${\`{\${b}\`}{\`; // }
        /* } */ const r = /[/}"]\\}/g;
        return a.replace(/'{/, '') / 2 / 3;
      }
      function after() {}
    `;
    expect(found(source)).toEqual(['tricky 5', 'after 1']);
  });

  it('counts the callback of a test by itself', () => {
    const source = `
      export function suite(make: () => Store) {
        describe.each([1, 2])('over %i', (n) => {
          it('works', async () => {
            a();
          });
          const inner = () => {
            b();
          };
        });
      }
    `;
    expect(found(source)).toEqual(['suite 3', ' 6', ' 3', 'inner 3']);
  });
});
