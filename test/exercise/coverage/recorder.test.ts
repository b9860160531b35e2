import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';
import fc from 'fast-check';
import { CoverageRecorder } from '../../../src/exercise/coverage/recorder.ts';
import { cbFlags, cbOperations, DRM_IOCTL_HL_CB } from '../../../src/uapi/habanalabs/cb.ts';
import { DRM_IOCTL_HL_CS, hl_cs_chunk } from '../../../src/uapi/habanalabs/cs.ts';
import { ioctls } from '../../../src/uapi/habanalabs/index.ts';
import { DRM_IOCTL_HL_INFO, infoOperations } from '../../../src/uapi/habanalabs/info.ts';
import { FakeDriver, refuse } from '../../runtime/fake-driver.ts';
import { seed } from '../../seed.ts';

const COMPUTE = '/dev/accel/accel0';
const CONTROL = '/dev/accel/accel_controlD0';
const CB = DRM_IOCTL_HL_CB;

let fake: FakeDriver;
let recorder: CoverageRecorder;
beforeEach(() => {
  fake = new FakeDriver();
  recorder = new CoverageRecorder(fake);
  recorder.begin();
});

/** Makes a call of the command buffer ioctl. @returns the errno, or `ok` */
function cb(fd: number, value: Parameters<typeof CB.argument.encode>[0]): string {
  try {
    recorder.driver.ioctl(fd, CB.request, CB.argument.encode(value));
    return 'ok';
  } catch (error) {
    return (error as { code: string }).code;
  }
}

const create = (cb_size: number, flags = 0) => ({ in: { op: cbOperations.HL_CB_OP_CREATE.value, cb_size, flags } });
const handled = (op: keyof typeof cbOperations, cb_handle: bigint) => ({
  in: { op: cbOperations[op].value, cb_handle },
});

test('a call that succeeds reaches the operation, and the limit at which it was made', () => {
  fake.on(CB.request, () => CB.argument.encode({ out: { cb_handle: 7n } }));
  const fd = recorder.driver.open(COMPUTE, 0);
  cb(fd, create(1));
  assert.deepEqual(recorder.points(), ['CB CREATE cb_size a byte', 'CB CREATE success', 'FILE OPEN success']);
});

test('a call that is refused reaches the errno, and what was wrong, but not the operation', () => {
  fake.on(CB.request, () => refuse('EINVAL'));
  const fd = recorder.driver.open(COMPUTE, 0);
  recorder.begin();
  assert.equal(cb(fd, create(0x7fff_ffff)), 'EINVAL');
  assert.deepEqual(recorder.points(), ['CB CREATE EINVAL', 'CB CREATE cb_size too large']);
});

test('a flag that this chip refuses is reached by its refusal only', () => {
  fake.on(
    CB.request,
    () => undefined,
    () => refuse('ENOMEM'),
  );
  const fd = recorder.driver.open(COMPUTE, 0);
  const flag = 'CB CREATE flag MAP refused with ENOMEM';
  cb(fd, create(4096, cbFlags.HL_CB_FLAGS_MAP.value));
  assert.ok(!recorder.points().includes(flag));
  cb(fd, create(4096, cbFlags.HL_CB_FLAGS_MAP.value));
  assert.ok(recorder.points().includes(flag));
});

test('the order of calls counts on one handle of one open file', () => {
  fake.on(
    CB.request,
    () => undefined,
    () => refuse('EINVAL'),
  );
  const fd = recorder.driver.open(COMPUTE, 0);
  cb(fd, handled('HL_CB_OP_DESTROY', 1n));
  cb(fd, handled('HL_CB_OP_DESTROY', 2n));
  const twice = 'ORDER cb CB DESTROY > CB DESTROY EINVAL';
  assert.ok(!recorder.points().includes(twice), 'another handle');
  cb(fd, handled('HL_CB_OP_DESTROY', 1n));
  assert.ok(recorder.points().includes(twice));
});

test('what a test reaches does not count for the next', () => {
  const fd = recorder.driver.open(COMPUTE, 0);
  cb(fd, create(4096));
  recorder.begin();
  assert.deepEqual(recorder.points(), []);
  cb(fd, create(4096));
  assert.deepEqual(recorder.points(), ['CB CREATE success']);
});

test('the control node is told apart', () => {
  const fd = recorder.driver.open(CONTROL, 0);
  const argument = DRM_IOCTL_HL_INFO.argument.encode({
    op: infoOperations.HL_INFO_DEVICE_STATUS.value,
    return_size: 4,
  });
  recorder.driver.ioctl(fd, DRM_IOCTL_HL_INFO.request, argument);
  assert.ok(recorder.points().includes('INFO DEVICE_STATUS control node'));
  assert.ok(!recorder.points().includes('INFO DEVICE_STATUS success'));
});

test('an open that is refused reaches its errno', () => {
  fake.openAnswers = [undefined, 'EBUSY'];
  recorder.driver.open(COMPUTE, 0);
  assert.throws(() => recorder.driver.open(COMPUTE, 0));
  assert.ok(recorder.points().includes('FILE OPEN EBUSY'));
  assert.ok(recorder.points().includes('ORDER node FILE OPEN > FILE OPEN EBUSY'));
});

test('a submission is looked at with its first chunk, where it is in memory of the program', () => {
  const fd = recorder.driver.open(COMPUTE, 0);
  const memory = recorder.driver.allocate(4096);
  memory.bytes.set(hl_cs_chunk.encode({ queue_index: 0, cb_size: 8 }), 64);
  const submit = (chunks_execute: bigint) =>
    recorder.driver.ioctl(
      fd,
      DRM_IOCTL_HL_CS.request,
      DRM_IOCTL_HL_CS.argument.encode({ in: { chunks_execute, num_chunks_execute: 1 } }),
    );
  submit(memory.address + 64n);
  assert.ok(recorder.points().includes('CS EXECUTE cb_size smallest'));
  recorder.begin();
  submit(0x10n);
  assert.ok(recorder.points().includes('CS EXECUTE success'));
  assert.ok(!recorder.points().includes('CS EXECUTE cb_size smallest'));
});

test('no argument disturbs the call, whatever is in it and however long it is', () => {
  const argument = fc.record({
    ioctl: fc.constantFrom(...ioctls),
    bytes: fc.uint8Array({ maxLength: 96 }),
    errno: fc.boolean(),
  });
  fc.assert(
    fc.property(fc.array(argument, { maxLength: 20 }), (calls) => {
      const driver = new FakeDriver();
      const own = new CoverageRecorder(driver);
      own.begin();
      const fd = own.driver.open(COMPUTE, 0);
      for (const { ioctl, bytes, errno } of calls) {
        driver.on(ioctl.request, () => (errno ? refuse('EINVAL') : undefined));
        const before = bytes.slice();
        try {
          own.driver.ioctl(fd, ioctl.request, bytes);
        } catch (error) {
          assert.equal((error as { code?: string }).code, 'EINVAL');
        }
        assert.deepEqual(driver.requests.at(-1)?.bytes, before);
      }
      own.points();
    }),
    { seed: seed(), numRuns: 200 },
  );
});
