/** `sagrada vm run` as a person or a script uses it, with the modelled devices. */

import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import { parts } from '../../src/machine/vm/cache-parts.ts';
import { cacheFolder } from '../../src/os/cache.ts';
import { processesWith } from './processes.ts';

const root = path.join(import.meta.dirname, '..', '..');
const program = path.join(root, 'bin/sagrada.js');
const folder = mkdtempSync(path.join(tmpdir(), 'vm-cli-'));
after(() => rmSync(folder, { recursive: true }));
const env = { ...process.env, TMPDIR: folder };

function vm(...args: string[]) {
  return spawnSync(process.execPath, [program, 'vm', 'run', ...args], { encoding: 'utf8', env });
}

/** Nothing of a run is left: no folder, no QEMU. */
function nothingLeft(): void {
  assert.deepEqual(
    readdirSync(folder).filter((name) => name.startsWith('sagrada-') && !name.endsWith('.log')),
    [],
  );
  assert.deepEqual(processesWith(folder), []);
}

const open = (node: string) => `exec 3<>/dev/accel/${node} && echo opened ${node}`;

for (const kernel of ['backports', 'stable']) {
  test(`the driver brings the card up and its compute node opens: ${kernel}`, () => {
    const { status, stdout, stderr } = vm('--kernel', kernel, '--', 'bash', '-c', `${open('accel0')}; exit 7`);
    assert.equal(stdout, 'opened accel0\n', stderr);
    assert.equal(status, 7);
    assert.match(stderr, /^sagrada: Linux .*helper module sagrada_helper \(docs\/findings\/0001\); 1 device up/m);
    nothingLeft();
  });

  test(`without fix-ups the compute node does not open, and the log says why: ${kernel}`, () => {
    const log = path.join(folder, `bare-${kernel}.log`);
    const { status, stderr } = vm('--kernel', kernel, '--no-fixups', '--log', log, '--', 'cat', '/dev/accel/accel0');
    assert.equal(status, 1);
    assert.match(stderr, /\/dev\/accel\/accel0: Invalid argument/);
    assert.doesNotMatch(stderr, /sagrada_helper/);
    assert.match(readFileSync(log, 'utf8'), /WARNING: .* drm_open_helper/);
  });
}

test('two cards come up under one switch', () => {
  const script = `${open('accel0')}; ${open('accel1')}; readlink -f /sys/class/accel/accel[01]/device`;
  const { status, stdout, stderr } = vm('--machine', 'gaudi-x2', '--', 'bash', '-c', script);
  assert.equal(status, 0, stderr);
  const [first, second, ...links] = stdout.trim().split('\n');
  assert.deepEqual([first, second], ['opened accel0', 'opened accel1']);
  const upstream = links.map((link) => path.dirname(path.dirname(link)));
  assert.equal(upstream.length, 2);
  assert.equal(upstream[0], upstream[1]);
});

test('a kernel given by its path, with a parameter of the driver and of the kernel', () => {
  const at = parts(cacheFolder()).kernel('stable');
  const image = path.join(at, existsSync(path.join(at, 'vmlinux')) ? 'vmlinux' : 'vmlinuz');
  const options = [
    '--kernel',
    image,
    '--modules',
    path.join(at, 'modules'),
    '--append',
    'sagrada.x=1',
    '--module-param',
  ];
  const script = 'cat /sys/module/habanalabs/parameters/timeout_locked; grep -o sagrada.x=1 /proc/cmdline';
  const { status, stdout, stderr } = vm(...options, 'timeout_locked=7', '--', 'sh', '-c', script);
  assert.equal(stdout, '7\nsagrada.x=1\n', stderr);
  assert.equal(status, 0);
  assert.match(stderr, /with the helper module/);
});

test("an error in the guest's log that no card causes makes a run fail, and says so", () => {
  const { status, stderr } = vm('--machine', 'none', '--', 'sh', '-c', 'echo "<3>oh dear" >/dev/kmsg');
  assert.equal(status, 125);
  assert.match(stderr, /sagrada: kernel: oh dear/);
  assert.match(stderr, /the guest's log is in .*\.log/);
});

test('a driver that the kernel does not load is told in one line, and nothing runs', () => {
  const { status, stdout, stderr } = vm('--append', 'module_blacklist=habanalabs', '--', 'echo', 'ran');
  assert.equal(status, 125);
  assert.equal(stdout, '');
  assert.match(stderr, /sagrada: the guest cannot be used: the kernel refuses habanalabs\.ko: /);
  nothingLeft();
});

test('a command that takes too long is ended', () => {
  const { status, stderr } = vm('--machine', 'none', '--timeout', '1', '--', 'sleep', '100');
  assert.equal(status, 124);
  assert.match(stderr, /has not ended within 1 s/);
  nothingLeft();
});

for (const when of ['while the guest boots', 'while the command runs'] as const) {
  for (const signal of ['SIGINT', 'SIGKILL'] as const) {
    test(`nothing is left after ${signal} ${when}`, async () => {
      const marker = path.join(folder, 'marker');
      rmSync(marker, { force: true });
      writeFileSync(path.join(folder, 'command'), `touch ${marker}; sleep 1000\n`);
      const args = [program, 'vm', 'run', '--machine', 'gaudi', '--bind', folder, '--', 'sh', `${folder}/command`];
      const child = spawn(process.execPath, args, { env, stdio: ['ignore', 'ignore', 'pipe'] });
      let errors = '';
      child.stderr.on('data', (data) => {
        errors += data;
      });
      const exited = new Promise<number | string | null>((resolve) => {
        child.on('close', (status, name) => resolve(status ?? name));
      });
      const running = () =>
        when === 'while the guest boots' ? processesWith(`${folder}/sagrada-`).length > 0 : existsSync(marker);
      while (!running() && child.exitCode === null) await new Promise((resolve) => setTimeout(resolve, 50));
      child.kill(signal);
      assert.equal(await exited, signal === 'SIGINT' ? 130 : 'SIGKILL');
      if (signal === 'SIGINT') {
        assert.match(errors, /sagrada: ended by SIGINT\n$/);
        nothingLeft();
        return;
      }
      // The kernel ends QEMU; the folder is removed by the next run.
      while (processesWith(folder).length > 0) await new Promise((resolve) => setTimeout(resolve, 50));
      assert.equal(vm('--machine', 'none', '--', 'true').status, 0);
      nothingLeft();
    });
  }
}
