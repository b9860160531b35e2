import assert from 'node:assert/strict';
import { MAX_CB_SIZE } from '../../runtime/command-buffer.ts';
import { cbOperations, DRM_IOCTL_HL_CB } from '../../uapi/habanalabs/cb.ts';
import { suite } from '../suite.ts';
import { assertErrno, assertSame, call, fill, KiB } from './lib.ts';

/** What an offset for mmap is of, in its upper five bits (common/habanalabs.h, HL_MMAP_TYPE_*). */
const BLOCK = 0x4n << 59n;

export const cb = suite('cb', 'Command buffers of the driver.', (test) => {
  test('a buffer keeps what is written into it', (t) => {
    using buffer = t.device.createCb(64 * KiB);
    const expected = new Uint8Array(64 * KiB);
    fill(expected, t.random);
    buffer.bytes.set(expected);
    assertSame(buffer.bytes, expected, 'command buffer');
  });

  test('every size up to the largest', ({ device }) => {
    for (const size of [1, 8, 4096, 4097, 100_000, MAX_CB_SIZE]) {
      using buffer = device.createCb(size);
      assert.equal(buffer.bytes.length, size);
    }
  });

  test('a buffer is fresh', (t) => {
    // what another program left in the memory must not be seen
    for (let i = 0; i < 8; i++) {
      using buffer = t.device.createCb(16 * KiB);
      assert.ok(
        buffer.bytes.every((byte) => byte === 0),
        'the buffer holds old data',
      );
      fill(buffer.bytes, t.random);
    }
  });

  test('a size above 2 MiB is refused', (t) => {
    t.expectMessages(/CB size .* must be less than/);
    assertErrno('EINVAL', () => t.device.createCb(MAX_CB_SIZE + 1));
  });

  test('handles differ', (t) => {
    const handles = Array.from({ length: 64 }, () => t.use(t.device.createCb(4096)).handle);
    assert.equal(new Set(handles).size, handles.length);
  });

  test('a buffer without work is not in use', ({ device }) => {
    using buffer = device.createCb(4096);
    assert.equal(buffer.usage(), 0);
  });

  test('a buffer is destroyed once', (t) => {
    t.expectMessages(/destroy|handle/i);
    const { handle } = t.device.createCb(4096, { mapped: false });
    call(t.device, DRM_IOCTL_HL_CB, { in: { op: cbOperations.HL_CB_OP_DESTROY.value, cb_handle: handle } });
    assertErrno('EINVAL', () =>
      call(t.device, DRM_IOCTL_HL_CB, { in: { op: cbOperations.HL_CB_OP_DESTROY.value, cb_handle: handle } }),
    );
    assertErrno('EINVAL', () =>
      call(t.device, DRM_IOCTL_HL_CB, { in: { op: cbOperations.HL_CB_OP_INFO.value, cb_handle: handle } }),
    );
  });

  test('a handle that was never given is refused', (t) => {
    t.expectMessages(/handle/i);
    assertErrno('EINVAL', () =>
      call(t.device, DRM_IOCTL_HL_CB, { in: { op: cbOperations.HL_CB_OP_DESTROY.value, cb_handle: 0x123_4567n } }),
    );
  });

  test('a handle that was never given cannot be mapped', (t) => {
    t.expectMessages(/handle|mmap/i);
    assertErrno('EINVAL', () => t.target.driver.mmap(t.device.fd, 4096, 3, 0x7f_ffff_f000n));
  });

  test('blocks of registers are for no program to map on this chip, whatever their number', (t) => {
    for (const block of [0n, 1n, 0xffffn])
      assertErrno('EPERM', () => t.target.driver.mmap(t.device.fd, 4 * KiB, 3, BLOCK + block * BigInt(4 * KiB)));
    for (const kind of [0n, 0x1n, 0x8n, 0x1fn])
      assertErrno('EINVAL', () => t.target.driver.mmap(t.device.fd, 4 * KiB, 3, kind << 59n));
  });

  test('only the whole buffer can be mapped', (t) => {
    t.expectMessages(/mmap|size/i);
    const buffer = t.use(t.device.createCb(8192, { mapped: false }));
    // 5000 bytes are two pages for who asks for them as for who maps them
    for (const size of [1, 4096, 8193, 0xf_ffff])
      assertErrno('EINVAL', () => t.target.driver.mmap(t.device.fd, size, 3, buffer.handle));
    t.target.driver.mmap(t.device.fd, 5000, 3, buffer.handle).unmap();
  });

  test('a buffer can be mapped once at a time', (t) => {
    t.expectMessages(/mmap/i);
    using buffer = t.device.createCb(4096);
    assertErrno('EINVAL', () => t.target.driver.mmap(t.device.fd, 4096, 3, buffer.handle));
  });

  test('a buffer that is unmapped in part is mapped until the rest is unmapped', (t) => {
    t.expectMessages(/mmap/i);
    const { handle } = t.use(t.device.createCb(4 * 4096, { mapped: false }));
    const map = () => t.target.driver.mmap(t.device.fd, 4 * 4096, 3, handle);
    const mapping = map();
    const expected = new Uint8Array(4096);
    fill(expected, t.random);
    mapping.bytes.set(expected);
    for (const kept of [3 * 4096, 4096]) {
      assert.ok(mapping.shrink);
      mapping.shrink(kept);
      assert.equal(mapping.bytes.length, kept);
      assertErrno('EINVAL', map);
    }
    assertSame(mapping.bytes, expected, 'the part that stays');
    mapping.unmap();
    map().unmap();
  });

  test('this chip does not map command buffers to the device', (t) => {
    t.expectMessages(/Mapping a CB to the device's MMU is not supported/, /Failure in buffer alloc callback/);
    assertErrno('ENOMEM', () => t.device.createCb(4096, { flags: 1, mapped: false }));
  });

  test('an unknown operation is refused', (t) => {
    assertErrno('EINVAL', () => call(t.device, DRM_IOCTL_HL_CB, { in: { op: 77 } }));
  });
});
