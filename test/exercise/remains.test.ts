import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import { count, remains } from '../../src/exercise/remains.ts';

const root = mkdtempSync(path.join(tmpdir(), 'remains-test-'));
after(() => rmSync(root, { recursive: true }));

function write(file: string, text: string): void {
  mkdirSync(path.dirname(path.join(root, file)), { recursive: true });
  writeFileSync(path.join(root, file), text);
}

test('a system that tells nothing is not asked for anything', () => {
  const none = count(path.join(root, 'empty'));
  assert.equal(none.size, 0);
  assert.deepEqual(remains(none, none), []);
});

test('what is more than before is told, and what is less is not', () => {
  write('sys/module/habanalabs/refcnt', '0\n');
  write('sys/kernel/debug/accel/0/command_buffers', '');
  write('proc/vmstat', 'nr_free_pages 12\nnr_foll_pin_acquired 100\nnr_foll_pin_released 90\n');
  const before = count(root);
  write('sys/module/habanalabs/refcnt', '2\n');
  write(
    'sys/kernel/debug/accel/0/command_buffers',
    `\n CB ID   CTX ID   CB size\n${'-'.repeat(60)}\n   001        1    0x00001000\n   002        1    0x00001000\n\n`,
  );
  write('proc/vmstat', 'nr_foll_pin_acquired 120\nnr_foll_pin_released 110\n');
  const now = count(root);
  assert.deepEqual(remains(before, now), ['2 users of the module habanalabs', '2 command buffers of card 0']);
  assert.deepEqual(remains(now, before), []);
  write('proc/vmstat', 'nr_foll_pin_acquired 121\nnr_foll_pin_released 110\n');
  assert.deepEqual(remains(now, count(root)), ['1 pages pinned for devices']);
});
