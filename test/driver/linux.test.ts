import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { EFD_CLOEXEC, EFD_NONBLOCK, O_RDONLY, O_RDWR, POLLIN, POLLNVAL, SystemError } from '../../src/driver/driver.ts';
import { discover, discoverRdma, holders } from '../../src/driver/linux/discover.ts';
import { LinuxDriver } from '../../src/driver/linux/driver.ts';
import { DRM_IOCTL_HL_INFO } from '../../src/uapi/habanalabs/info.ts';

const driver = new LinuxDriver();
const scratch = mkdtempSync(join(tmpdir(), 'sagrada-driver-'));
after(() => rmSync(scratch, { recursive: true }));

function errnoOf(body: () => unknown): string {
  try {
    body();
  } catch (error) {
    if (error instanceof SystemError) return error.code;
    throw error;
  }
  return 'none';
}

test('refused calls throw the errno under the name of the manual pages', () => {
  assert.equal(
    errnoOf(() => driver.open(join(scratch, 'missing'), O_RDONLY)),
    'ENOENT',
  );
  assert.equal(
    errnoOf(() => driver.close(-1)),
    'EBADF',
  );
  assert.equal(
    errnoOf(() => driver.ioctl(-1, DRM_IOCTL_HL_INFO.request, new Uint8Array(24))),
    'EBADF',
  );
  assert.equal(
    errnoOf(() => driver.mmap(-1, 4096, 3, 0n)),
    'EBADF',
  );
  assert.equal(
    errnoOf(() => driver.allocate(0)),
    'EINVAL',
  );
  const fd = driver.eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  assert.equal(
    errnoOf(() => driver.read(fd, new Uint8Array(8))),
    'EAGAIN',
  );
  assert.equal(
    errnoOf(() => driver.ioctl(fd, DRM_IOCTL_HL_INFO.request, new Uint8Array(24))),
    'ENOTTY',
  );
  driver.close(fd);
});

test('memory: zeroed, at an address, and empty once it is gone', () => {
  const memory = driver.allocate(3 * 4096);
  assert.equal(memory.bytes.length, 3 * 4096);
  assert.ok(memory.bytes.every((byte) => byte === 0));
  assert.equal(memory.address % 4096n, 0n);
  memory.bytes.fill(7);
  const { bytes } = memory;
  memory.unmap();
  memory.unmap();
  assert.equal(bytes.length, 0);
  assert.equal(bytes[0], undefined);
});

test('memory of a file: what is written is in the file, and offsets may be large', () => {
  const path = join(scratch, 'file');
  writeFileSync(path, Buffer.alloc(8192));
  const fd = driver.open(path, O_RDWR);
  const mapping = driver.mmap(fd, 4096, 3, 4096n);
  mapping.bytes.set([1, 2, 3]);
  mapping.unmap();
  const back = driver.mmap(fd, 8192, 1, 0n);
  assert.deepEqual([...back.bytes.subarray(4095, 4099)], [0, 1, 2, 3]);
  back.unmap();
  // 2^61 and a page, as a command buffer's handle: whatever the file system says, the number arrives
  errnoOf(() => driver.mmap(fd, 4096, 1, 0x2000_0000_0000_1000n).unmap());
  driver.close(fd);
});

test('an ioctl reads and writes its argument in place, also in the middle of a buffer', () => {
  const FIONREAD = 0x541b; // asm-generic/ioctls.h
  const path = join(scratch, 'length');
  writeFileSync(path, 'hello');
  const fd = driver.open(path, O_RDONLY);
  const whole = new Uint8Array(16).fill(0xaa);
  driver.ioctl(fd, FIONREAD, whole.subarray(4, 8));
  assert.deepEqual([...whole.subarray(2, 10)], [0xaa, 0xaa, 5, 0, 0, 0, 0xaa, 0xaa]);
  driver.close(fd);
});

test('eventfd and poll', () => {
  const fd = driver.eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  assert.equal(driver.poll(fd, POLLIN, 0), 0);
  assert.equal(driver.write(fd, Uint8Array.of(5, 0, 0, 0, 0, 0, 0, 0)), 8);
  assert.equal(driver.poll(fd, POLLIN, 0), POLLIN);
  const second = driver.dup(fd);
  driver.close(fd);
  const count = new Uint8Array(8);
  assert.equal(driver.read(second, count), 8);
  assert.equal(count[0], 5);
  assert.match(driver.describe(second), /eventfd/);
  driver.close(second);
  assert.equal(driver.poll(second, POLLIN, 0), POLLNVAL);
});

test('time goes forward, at least by what was slept', () => {
  const begin = driver.now();
  driver.sleep(2e6);
  assert.ok(driver.now() - begin >= 2e6);
});

/** A sysfs with these accelerators: number of the node to PCI address and driver. */
function sysfs(cards: Readonly<Record<number, readonly [string, string]>>): string {
  const root = mkdtempSync(join(scratch, 'sys-'));
  mkdirSync(join(root, 'class/accel'), { recursive: true });
  for (const [number, [address, name]] of Object.entries(cards)) {
    const device = join(root, 'devices', address);
    mkdirSync(join(root, 'drivers', name), { recursive: true });
    mkdirSync(device, { recursive: true });
    symlinkSync(join(root, 'drivers', name), join(device, 'driver'));
    writeFileSync(join(device, 'status'), 'Operational\n');
    for (const node of [`accel${number}`, `accel_controlD${number}`]) {
      mkdirSync(join(root, 'class/accel', node));
      symlinkSync(device, join(root, 'class/accel', node, 'device'));
    }
  }
  return root;
}

test('no accelerator class, or none in it: no cards', () => {
  assert.deepEqual(discover(join(scratch, 'nothing')), []);
  assert.deepEqual(discover(sysfs({})), []);
});

test('cards of this driver only, in the order of their numbers', () => {
  const root = sysfs({
    10: ['0000:0a:00.0', 'habanalabs'],
    2: ['0000:02:00.0', 'habanalabs'],
    0: ['0000:01:00.0', 'intel_vpu'],
  });
  const cards = discover(root, '/dev/accel');
  assert.deepEqual(
    cards.map(({ path, controlPath, pciAddress }) => [path, controlPath, pciAddress]),
    [
      ['/dev/accel/accel2', '/dev/accel/accel_controlD2', '0000:02:00.0'],
      ['/dev/accel/accel10', '/dev/accel/accel_controlD10', '0000:0a:00.0'],
    ],
  );
  assert.equal(cards[0]?.status(), 'Operational');
});

test('network cards with verbs, in the order of their numbers', () => {
  const root = join(mkdtempSync(join(scratch, 'rdma-')), 'sys');
  for (const [number, address] of [
    [10, '0000:0a:00.0'],
    [2, '0000:04:00.0'],
  ] as const) {
    const device = join(root, 'devices/pci0000:00/0000:00:10.0/0000:01:00.0', address);
    const folder = join(root, `class/infiniband_verbs/uverbs${number}`);
    mkdirSync(device, { recursive: true });
    mkdirSync(folder, { recursive: true });
    symlinkSync(device, join(folder, 'device'));
    writeFileSync(join(folder, 'ibdev'), `efa_${number}\n`);
  }
  // the class has a file of its own, and a card without a PCI device (rxe) is none of ours
  writeFileSync(join(root, 'class/infiniband_verbs/abi_version'), '6\n');
  mkdirSync(join(root, 'class/infiniband_verbs/uverbs0'));
  const bridges = ['0000:00:10.0', '0000:01:00.0'];
  assert.deepEqual(discoverRdma(root, '/dev/infiniband'), [
    { name: 'efa_2', path: '/dev/infiniband/uverbs2', pciAddress: '0000:04:00.0', bridges },
    { name: 'efa_10', path: '/dev/infiniband/uverbs10', pciAddress: '0000:0a:00.0', bridges },
  ]);
  assert.deepEqual(discoverRdma(join(root, 'nothing')), []);
});

test('who has a file open', () => {
  const path = join(scratch, 'held');
  writeFileSync(path, '');
  assert.deepEqual(holders(path), []);
  const fd = driver.open(path, O_RDONLY);
  const [holder] = holders(path);
  assert.equal(holder?.pid, process.pid);
  assert.ok(holder?.command);
  driver.close(fd);
});
