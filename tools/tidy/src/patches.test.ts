import { expect, it } from 'vitest';
import { patchesFit } from './patches.ts';
import { repoOf } from './repo.ts';

const PATCH = `diff --git a/a.ts b/a.ts
--- a/a.ts
+++ b/a.ts
@@ -1,3 +1,3 @@
 one
-two
+2
 three
@@ -9,1 +9,2 @@
 nine
+ten
diff --git a/b.ts b/b.ts
--- a/b.ts
+++ b/b.ts
@@ -1,2 +1,1 @@
-first

`;

const check = (a: string, b = 'first\n\n') => patchesFit(repoOf({ 'm/x.patch': PATCH, 'a.ts': a, 'b.ts': b }));

it('takes a patch whose lines are there, wherever that is', () => {
  expect(check('zero\none\ntwo\nthree\nfour\nnine\n')).toEqual([]);
});

it('finds each hunk that does not fit, and a file that is gone', () => {
  const problem = (target: string, lines: string) =>
    `m/x.patch does not fit ${target} any more, where it looks for: ${lines}`;
  expect(check('one\n2\nthree\nnine\n')).toEqual([problem('a.ts', 'one / two / three')]);
  expect(check('one\ntwo\nthree\n')).toEqual([problem('a.ts', 'nine')]);
  expect(check('xone\ntwo\nthree\nnine\n')).toHaveLength(1);
  expect(check('one\ntwo\nthree\nnine\n', 'first\nsecond\n')).toEqual([problem('b.ts', 'first /')]);
  const alone = repoOf({ 'm/x.patch': PATCH, 'a.ts': 'one\ntwo\nthree\nnine\n' });
  expect(patchesFit(alone)).toEqual(['m/x.patch changes b.ts, which is not there']);
});
