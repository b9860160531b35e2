import assert from 'node:assert/strict';
import { test } from 'node:test';
import { placePatch } from '../../src/machine/vm/driver-source.ts';
import { refusals } from '../../src/machine/vm/driver-tree.ts';
import { readPatch } from '../../src/machine/vm/patch-file.ts';
import { UserError } from '../../src/sim/errors.ts';

const DRIVER = 'drivers/accel/habanalabs/';

/** A patch of one hunk. */
function change(before: string, after = before): string {
  return `--- ${before}\n+++ ${after}\n@@ -1,3 +1,3 @@\n a\n-b\n+c\n d\n`;
}

/** What the source has. */
const exists = (file: string) =>
  [`${DRIVER}common/memory.c`, `${DRIVER}common/device.c`, 'drivers/infiniband/hw/efa/efa_main.c'].includes(file);
const place = (text: string) => placePatch(text, 'fix.patch', exists);
const refused = (text: string, why: RegExp) =>
  assert.throws(
    () => place(text),
    (error: Error) => error instanceof UserError && why.test(error.message),
  );

test('what is no patch, or a damaged one, is told with the line', () => {
  refused('', /fix\.patch: there is no unified diff in it/);
  refused('int main(void) { return 0; }\n', /no unified diff/);
  refused('*** a/x.c\n--- b/x.c\n***************\n', /no unified diff/);
  refused('--- a/x.c\n+++ b/x.c\n@@ -1,3 +1,3 @@\n a\n-b\n', /line 6: the hunk that begins in line 3 is cut off/);
  refused('--- a/x.c\n+++ b/x.c\n@@ -1,3 +1,3 @@\n a\nwhat\n', /line 5: the hunk .* damaged/);
  refused('diff --git a/x b/x\nGIT binary patch\nliteral 3\n', /line 2: it changes a binary file/);
  refused('diff --cc x.c\n', /a diff of a merge cannot be applied/);
});

test('a patch that leaves the tree is refused', () => {
  refused(change(`a/${DRIVER}../../../etc/passwd`, `a/${DRIVER}common/memory.c`), /not the name of a file/);
});

test('what is not built alone needs a kernel, and is named', () => {
  refused(
    change(`a/${DRIVER}common/memory.c`) + change('a/drivers/dma-buf/dma-buf.c'),
    /changes drivers\/dma-buf\/dma-buf\.c, .*--kernel/,
  );
  refused(change('a/include/linux/dma-buf.h'), /include\/linux\/dma-buf\.h/);
  refused(change('a/Documentation/accel/index.rst'), /changes no driver: Documentation/);
  refused(change('a/somewhere/else.c'), /names no file that the drivers have \(a\/somewhere\/else\.c\)/);
});

test('a patch is placed wherever it was made, with prefixes or without', () => {
  const placed = (name: string) => {
    const { strip, base, parts, drivers } = place(change(name));
    return [strip, base, parts.map(({ file }) => file).join(), drivers.map((driver) => driver.name).join()];
  };
  const memory = `${DRIVER}common/memory.c`;
  assert.deepEqual(placed(`a/${memory}`), [1, '', memory, 'habanalabs']);
  assert.deepEqual(placed(memory), [0, '', memory, 'habanalabs']);
  assert.deepEqual(placed(`/home/me/linux/${memory}`), [4, '', memory, 'habanalabs']);
  assert.deepEqual(placed('a/common/memory.c'), [1, DRIVER, memory, 'habanalabs']);
  assert.deepEqual(placed('common/memory.c'), [0, DRIVER, memory, 'habanalabs']);
  const efa = 'drivers/infiniband/hw/efa/';
  assert.deepEqual(placed('a/efa_main.c'), [1, efa, `${efa}efa_main.c`, 'efa']);
});

test('a series as git sends it: mails between the parts, lines that look like heads, files that come and go', () => {
  const text = `From 1234 Mon Sep 17 00:00:00 2001
Subject: [PATCH 1/2] x

---
 drivers/x | 2 +-

diff --git a/${DRIVER}common/memory.c b/${DRIVER}common/memory.c
--- a/${DRIVER}common/memory.c
+++ b/${DRIVER}common/memory.c
@@ -1,3 +1,3 @@ static int f(void)
 a
--- a/not/a/head.c
+++ b/not/a/head.c
 d
--${' '}
2.40

diff --git a/${DRIVER}common/new.c b/${DRIVER}common/new.c
new file mode 100644
--- /dev/null
+++ b/${DRIVER}common/new.c
@@ -0,0 +1 @@
+int x;
\\ No newline at end of file
diff --git a/Documentation/x.rst b/Documentation/x.rst
${change('a/Documentation/x.rst')}`;
  const parts = readPatch(text, 'series');
  assert.deepEqual(
    parts.map(({ before }) => before),
    [`a/${DRIVER}common/memory.c`, undefined, 'a/Documentation/x.rst'],
  );
  assert.match(parts[0]?.text ?? '', /not\/a\/head\.c\n d\n$/);
  const { unused, parts: used } = place(text);
  assert.deepEqual(unused, ['Documentation/x.rst']);
  assert.deepEqual(
    used.map(({ file }) => file),
    [`${DRIVER}common/memory.c`, `${DRIVER}common/new.c`],
  );
});

test('hunks that do not apply are told with file and line, by their names in the kernel’s source', () => {
  const said = `patching file common/memory.c
Hunk #1 succeeded at 12 (offset 2 lines).
Hunk #2 FAILED at 345.
1 out of 2 hunks FAILED
patching file common/device.c
Reversed (or previously applied) patch detected!  Skipping patch.
2 out of 2 hunks ignored
can't find file to patch at input line 40
|--- a/common/gone.c
|+++ b/common/gone.c
`;
  assert.deepEqual(
    refusals(said, DRIVER, 1).map((line) => line.trim()),
    [
      `${DRIVER}common/memory.c: hunk 2, at line 345, is not what the source has there`,
      `${DRIVER}common/device.c: it seems to be in the source already`,
      `${DRIVER}common/gone.c: the source has no such file`,
    ],
  );
});
