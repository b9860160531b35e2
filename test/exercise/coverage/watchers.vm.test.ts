/**
 * The kernel `coverage`, where it has been built ("sagrada vm setup --kernel coverage"; nothing else builds it): a driver with a mistake
 * of each kind that it watches for, each in another operation. The tests of that operation fail, by the report that the mistake
 * provokes, and what ran is counted by line.
 */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import { coverageKernel, coverageParts } from '../../../src/machine/vm/coverage-kernel.ts';
import { cacheFolder } from '../../../src/os/cache.ts';

const sagrada = path.join(import.meta.dirname, '..', '..', '..', 'bin', 'sagrada.js');
const SOURCE = 'drivers/accel/habanalabs/common/habanalabs_ioctl.c';

interface Mistake {
  readonly name: string;
  /** What is performed by a call, and the operation that it is put before. */
  readonly code: string;
  readonly operation: string;
  /** Tests that make it, and what the kernel says. */
  readonly tests: RegExp;
  readonly report: RegExp;
}

// lockdep ends with its first report, and with any that KASAN makes: it comes before them
const mistakes: readonly Mistake[] = [
  {
    name: 'locks_in_both_orders',
    code: `static DEFINE_MUTEX(first); static DEFINE_MUTEX(second);
      mutex_lock(&first); mutex_lock(&second); mutex_unlock(&second); mutex_unlock(&first);
      mutex_lock(&second); mutex_lock(&first); mutex_unlock(&first); mutex_unlock(&second);`,
    operation: 'CLK_RATE',
    tests: /clock rate/,
    report: /WARNING: possible circular locking dependency detected/,
  },
  {
    name: 'shift_by_too_much',
    code: 'static int bits = 40; static volatile int result; result = 1 << bits;',
    operation: 'PLL_FREQUENCY',
    tests: /PLL/,
    report: /UBSAN: shift-out-of-bounds/,
  },
  {
    name: 'unmapped_by_another_size',
    code: `void *memory = kmalloc(256, GFP_KERNEL);
      dma_addr_t at = dma_map_single(hdev->pdev ? &hdev->pdev->dev : NULL, memory, 128, DMA_TO_DEVICE);
      dma_unmap_single(&hdev->pdev->dev, at, 64, DMA_TO_DEVICE); kfree(memory);`,
    operation: 'POWER',
    tests: /power is drawn/,
    report: /DMA-API: habanalabs .* frees DMA memory with different size|WARNING: .*dma\/debug\.c/,
  },
  {
    name: 'lost',
    // several: what is left on a stack counts as known to it (mm/kmemleak.c, kmemleak_scan)
    code: 'for (int i = 0; i < 16; i++) { char *memory = kmalloc(200, GFP_KERNEL); if (memory) memset(memory, i, 200); }',
    operation: 'PCI_COUNTERS',
    tests: /PCIe counters/,
    // of the allocator’s size, with who allocated it
    report: /unreferenced object .*\n(.*\n)*.*lost\b/,
  },
  {
    name: 'read_after_free',
    code: 'static volatile u8 result; u8 *memory = kmalloc(64, GFP_KERNEL); kfree(memory); result = *(volatile u8 *)memory;',
    operation: 'OPEN_STATS',
    tests: /opening is counted|open statistics/,
    report: /BUG: KASAN: slab-use-after-free in read_after_free/,
  },
];

const cache = cacheFolder();
const built = await coverageKernel({ cache, say: () => {} }).then(
  () => true,
  () => false,
);

if (built)
  test('mistakes of a driver that only this kernel sees fail the tests that made them; lines that ran are counted', () => {
    const folder = mkdtempSync(path.join(tmpdir(), 'watchers-'));
    after(() => rmSync(folder, { recursive: true }));
    cpSync(path.join(coverageParts(cache).tree, 'pristine'), folder, { recursive: true });
    const file = path.join(folder, SOURCE);
    writeFileSync(file, withMistakes(readFileSync(file, 'utf8')));
    const lcov = path.join(folder, 'code.lcov');
    const run = ['exercise', 'info', '--on', 'vm', '--kernel', 'coverage', '--driver', folder, '--coverage', '--json'];
    const more = ['--lcov', lcov, '--results', path.join(folder, 'results.sqlite'), '--machine', 'gaudi'];
    const { status, stdout, stderr } = spawnSync(process.execPath, [sagrada, ...run, ...more], { encoding: 'utf8' });
    assert.equal(status, 1, stdout + stderr);
    const results = stdout
      .split('\n')
      .filter((line) => line.startsWith('{"type":"result"'))
      .map(
        (line) =>
          JSON.parse(line) as { name: string; status: string; failure?: { message: string }; messages: string[] },
      );
    for (const { name, tests, report } of mistakes) {
      const said = results
        .filter((result) => tests.test(result.name) && result.status === 'failed')
        .flatMap(({ failure, messages }) => [failure?.message ?? '', ...messages]);
      assert.match(said.join('\n') + (name === 'lost' ? stdout + stderr : ''), report, name);
    }
    const noticed = mistakes.map(({ tests }) => tests);
    const others = results.filter(
      (result) => result.status === 'failed' && !noticed.some((tests) => tests.test(result.name)),
    );
    assert.deepEqual(others, []);
    const record = readFileSync(lcov, 'utf8')
      .split('end_of_record\n')
      .find((text) => text.includes(`SF:${SOURCE}\n`));
    assert.match(record ?? '', /^FNDA:[1-9]\d*,read_after_free$/m);
  });

/** The source of the calls for information, with each mistake before an operation. */
function withMistakes(source: string): string {
  const begin = source.indexOf('static int device_status_info(');
  assert.ok(begin > 0);
  const functions = mistakes.map(
    ({ name, code }) => `static noinline void ${name}(struct hl_device *hdev)\n{\n${code}\n}\n`,
  );
  const text = `${source.slice(0, begin)}${functions.join('\n')}\n${source.slice(begin)}`;
  return mistakes.reduce((changed, { name, operation }) => {
    const label = `case HL_INFO_${operation}:`;
    assert.ok(changed.includes(label), label);
    return changed.replace(label, `${label} ${name}(hdev);`);
  }, text);
}
