/**
 * The programs of docs/findings on a kernel that has the defects: what they show is what the pages say. One that fails here may
 * well mean that the kernel has been repaired. A guest survives a thread that dies in its kernel, and its log says so.
 */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import path from 'node:path';
import { after, test } from 'node:test';
import { bundle } from '../src/exercise/bundle.ts';
import { bootVm, type Vm } from '../src/machine/vm/vm.ts';
import { cacheFolder } from '../src/os/cache.ts';
import { type Finding, findings } from './findings.ts';

/** The one that is shown with `sagrada run`, as a page says it; the others share a guest. */
const BY_COMMAND = '0004.ts';

const root = path.dirname(import.meta.dirname);
const pages = path.join(root, 'docs', 'findings');
// not in /tmp: the guest has one of its own
mkdirSync(cacheFolder(), { recursive: true });
const folder = mkdtempSync(path.join(cacheFolder(), 'findings-'));
after(() => rmSync(folder, { recursive: true }));

async function show(vm: Vm, { file, onKernel, alarm }: Finding, card: number): Promise<void> {
  const known = vm.unexpected().length;
  const output: Buffer[] = [];
  const keep = (data: Buffer) => void output.push(Buffer.from(data));
  const command = [process.execPath, await bundle(path.join(pages, file), folder)];
  const env = { SAGRADA_RUN: '{"on":"linux"}', CARD: String(card) };
  const status = await vm.run(command, { env, onStdout: keep, onStderr: keep });
  const text = Buffer.concat(output).toString();
  const alarms = vm.unexpected().slice(known);
  const said = alarms.map((record) => record.text).join('\n');
  assert.match(text, onKernel, said);
  assert.equal(status, 0, text);
  if (alarm)
    assert.ok(
      alarms.some((record) => alarm.test(record.text)),
      `the log has no ${alarm}: ${said}`,
    );
  else assert.equal(said, '');
}

/** Each guest has two cards. What loses a card comes after what does not, and in pairs. */
const shared = findings.filter(({ file, machine }) => file !== BY_COMMAND && machine === undefined);
const harmless = shared.filter(({ losesCard }) => !losesCard).map((finding) => ({ finding, card: 0 }));
const harmful = shared.filter(({ losesCard }) => losesCard).map((finding, i) => ({ finding, card: 1 - (i % 2) }));
const guests = [{ machine: 'gaudi-x2', programs: [...harmless, ...harmful.slice(0, 2)] }];
for (let at = 2; at < harmful.length; at += 2) {
  guests.push({ machine: 'gaudi-x2', programs: harmful.slice(at, at + 2) });
}
const ofNic = findings.filter(({ machine }) => machine === 'gaudi-efa').map((finding) => ({ finding, card: 0 }));
guests.push({ machine: 'gaudi-efa', programs: ofNic });

for (const [number, { machine, programs }] of guests.entries()) {
  test(`defects of the drivers, guest ${number + 1}`, async (t) => {
    await using vm = await bootVm({ machine, kernel: 'backports', cache: cacheFolder(), say: () => {} });
    for (const { finding, card } of programs) await t.test(finding.file, () => show(vm, finding, card));
  });
}

test('a command of which a thread dies in the kernel is told of at once, and in full', () => {
  const program = path.join(pages, BY_COMMAND);
  const command = [path.join(root, 'bin', 'sagrada.js'), 'run', '--on', 'vm', '--machine', 'gaudi', program];
  const { status, stdout, stderr } = spawnSync(process.execPath, command, { encoding: 'utf8' });
  assert.equal(stdout, '16 TiB: the call does not return\n', stderr);
  assert.equal(status, 125);
  assert.match(stderr, /^sagrada: kernel: BUG: kernel NULL pointer dereference/m);
  assert.match(stderr, /^sagrada: kernel: Oops: .*\n(.*\n)*sagrada: .* have complained \(\d+ lines above\)$/m);
  assert.match(stderr, /^sagrada: the guest's log is in .*\.log$/m);
});
