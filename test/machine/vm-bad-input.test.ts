import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';

const root = path.join(import.meta.dirname, '..', '..');
const folder = mkdtempSync(path.join(tmpdir(), 'vm-bad-input-'));
after(() => rmSync(folder, { recursive: true }));
const cache = path.join(folder, 'cache');

function sagrada(args: readonly string[], env: NodeJS.ProcessEnv = {}) {
  return spawnSync(process.execPath, [path.join(root, 'bin/sagrada.js'), 'vm', ...args], {
    encoding: 'utf8',
    env: { ...process.env, SAGRADA_CACHE: cache, TMPDIR: folder, ...env },
  });
}

/** One line that says what is wrong, a status that is not 0, no stack, nothing on standard output. */
function complains(args: readonly string[], what: RegExp, env: NodeJS.ProcessEnv = {}): void {
  const { status, stdout, stderr } = sagrada(args, env);
  assert.match(stderr, what);
  assert.notEqual(status, 0);
  assert.equal(stdout, '');
  assert.doesNotMatch(stderr, /^\s+at /m);
  assert.equal(
    stderr
      .trim()
      .split('\n')
      .filter((line) => !line.startsWith('Fetching')).length,
    1,
    stderr,
  );
}

const run = (...args: string[]) => ['run', ...args, '--', 'true'];

test('an impossible machine', () => complains(run('--machine', 'gaudy'), /no machine "gaudy".*gaudi/));

test('a program of the RDMA packages on a machine without a NIC', () => {
  const command = (...args: string[]) => ['run', ...args, '--', 'ib_write_bw', '-c', 'SRD'];
  // where the host has no such program
  const env = { PATH: path.dirname(process.execPath) };
  complains(command(), /ib_write_bw: machine gaudi has no NIC.*--machine gaudi-efa$/m, env);
  complains(
    command('--machine', 'gaudi-x2'),
    /ib_write_bw: machine gaudi-x2 has no NIC.*--machine gaudi-x2-efa-x2$/m,
    env,
  );
});

test('a kernel that is not there, is none, or was not built', () => {
  complains(run('--kernel', '/nowhere/bzImage'), /no kernel at \/nowhere\/bzImage/);
  const text = path.join(folder, 'text');
  writeFileSync(text, 'not a kernel'.repeat(100));
  complains(run('--kernel', text), /text is no kernel image/);
  const empty = path.join(folder, 'linux');
  mkdirSync(empty);
  complains(run('--kernel', empty), /has no arch\/x86\/boot\/bzImage: build the kernel first/);
});

test('a kernel without modules', () => {
  const image = path.join(folder, 'bzImage');
  const bytes = Buffer.alloc(4096);
  bytes.write('HdrS', 0x202);
  bytes.writeUInt16LE(0x20c, 0x206);
  bytes.writeUInt16LE(0x400, 0x20e);
  bytes.write('9.9.9-none (x@y) #1', 0x600);
  writeFileSync(image, bytes);
  complains(run('--kernel', image), /no modules for .*\(9\.9\.9-none\).*--modules PATH/);
  complains(run('--kernel', image, '--modules', '/nowhere'), /no modules for/);
  const none = path.join(folder, 'none');
  mkdirSync(none);
  complains(run('--kernel', image, '--modules', none), /no kernel modules in/);
});

test('--modules with a kernel of Debian', () =>
  complains(run('--modules', '/lib/modules'), /--modules goes with a kernel/));

test('a QEMU that is not there, cannot be run, or has no vfio-user', () => {
  complains(run('--qemu', '/nowhere/qemu'), /no QEMU at \/nowhere\/qemu/);
  const file = path.join(folder, 'qemu');
  writeFileSync(file, '#!/bin/sh\necho \'name "virtio-9p-pci", bus PCI\'\n');
  complains(run('--qemu', file), /cannot run .*qemu: EACCES/);
  chmodSync(file, 0o755);
  complains(run('--qemu', file), /has no vfio-user-pci device: QEMU 10\.1 or later/);
  writeFileSync(file, '#!/bin/sh\necho "broken" >&2; exit 3\n');
  complains(run('--qemu', file), /is no QEMU: broken/);
});

test('folders and sizes that make no sense', () => {
  complains(run('--bind', '/nowhere'), /--bind \/nowhere: no such folder/);
  complains(run('--memory', 'lots'), /2\.5G or 900M is expected/);
  complains(run('--memory', '1M'), /at least 256 MiB/);
  complains(run('--cpus', '0'), /at least 1/);
  complains(run('--delay', 'DMA0'), /ENGINE:MICROSECONDS/);
  complains(run('--module-param', 'x'), /NAME=VALUE/);
  complains(run('--timeout', '-1'), /number of seconds/);
  complains(['run'], /missing required argument/);
});

test('set-up without apt, without network, with an archive that is none, or where nothing can be written', () => {
  const tools = path.join(folder, 'bin');
  mkdirSync(tools);
  complains(['setup'], /no apt-get, apt-config, dpkg-deb on this system: pass --qemu, --kernel and --modules/, {
    PATH: tools,
  });
  complains(['setup', '--mirror', 'http://127.0.0.1:9/debian'], /package lists cannot be fetched.*--mirror URI/);
  complains(['setup', '--mirror', 'not a uri'], /not the URI of an archive/);
  const file = path.join(folder, 'file');
  writeFileSync(file, '');
  complains(['setup', '--cache', path.join(file, 'cache')], /cannot make the cache folder .*ENOTDIR/);
});

test('none of this leaves half-made parts or folders behind', () => {
  const left = readdirSync(folder).filter((name) => name.startsWith('sagrada-'));
  assert.deepEqual(left, []);
  assert.deepEqual(
    readdirSync(cache).filter((name) => !['apt', 'lock'].includes(name)),
    [],
  );
});
