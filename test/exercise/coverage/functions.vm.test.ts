/** A short run with --coverage on a stock kernel. */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';

const sagrada = path.join(import.meta.dirname, '..', '..', '..', 'bin', 'sagrada.js');
const folder = mkdtempSync(path.join(tmpdir(), 'functions-'));
after(() => rmSync(folder, { recursive: true }));

test('functions of the driver that were called are told of, those of its start among them, each by its file', () => {
  const lcov = path.join(folder, 'code.lcov');
  const results = path.join(folder, 'results.sqlite');
  const args = ['exercise', 'info', '--on', 'vm', '--coverage', '--lcov', lcov, '--results', results];
  const patience = ['--timeout', '300', '--grep', 'identity|idle'];
  const { status, stdout, stderr } = spawnSync(process.execPath, [sagrada, ...args, ...patience], { encoding: 'utf8' });
  assert.equal(status, 0, stdout + stderr);
  const counts = new Map<string, number>(
    readFileSync(lcov, 'utf8')
      .split('end_of_record\n')
      .flatMap((record) => {
        const file = /^SF:drivers\/accel\/habanalabs\/(.*)$/m.exec(record)?.[1];
        return [...record.matchAll(/^FNDA:(\d+),(.*)$/gm)].map(
          ([, count, name]) => [`${file} ${name}`, Number(count)] as [string, number],
        );
      }),
  );
  for (const name of [
    'common/habanalabs_ioctl.c hl_info_ioctl',
    'common/device.c hl_device_init',
    'gaudi/gaudi.c gaudi_hw_init',
  ])
    assert.ok((counts.get(name) ?? 0) > 0, name);
  // of another chip, and of what these tests do not do
  assert.equal(counts.get('goya/ goya_hw_init'), 0);
  assert.equal(counts.get('common/command_buffer.c hl_cb_ioctl'), 0);
  assert.deepEqual(
    [...counts.keys()].filter((name) => /not known|^undefined /.test(name)),
    [],
  );
  const report = spawnSync(process.execPath, [sagrada, 'report', '--results', results], { encoding: 'utf8' }).stdout;
  assert.match(report, /\n {2}common\/device\.c +\d+\/\d+\n/);
});
