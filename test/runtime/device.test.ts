import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ControlDevice, Device } from '../../src/runtime/device.ts';
import {
  DeviceInUseError,
  DisposedError,
  DriverError,
  InvalidArgumentError,
  NotOperationalError,
} from '../../src/runtime/errors.ts';
import { describeEvents } from '../../src/runtime/info.ts';
import { FakeDriver, refuse } from './fake-driver.ts';
import { assertGolden, DEBUG, INFO, open } from './lib.ts';

test('a card that is not there: the message says how many there are', () => {
  const driver = new FakeDriver();
  assert.throws(() => Device.open({ driver, index: 3 }), /there is no card 3: the driver has 1/);
  assert.deepEqual(driver.log, []);
});

test('a node that is in use: at once, with who uses it', () => {
  const driver = new FakeDriver();
  driver.openAnswers = ['EBUSY'];
  driver.holding = [{ pid: 12, command: 'python3' }];
  assert.throws(
    () => Device.open({ driver }),
    (error: unknown) => {
      assert.ok(error instanceof DeviceInUseError);
      assert.equal(error.code, 'EBUSY');
      assert.match(error.message, /^open \/dev\/accel\/accel0: EBUSY \(in use by python3 \(pid 12\); /);
      return true;
    },
  );
  assert.equal(driver.time, 0);
});

test('a node that is being released is tried again, until it opens or patience ends', () => {
  const patient = new FakeDriver();
  patient.openAnswers = ['EAGAIN', 'EAGAIN', undefined];
  const device = Device.open({ driver: patient });
  assert.equal(patient.log.filter((line) => line.startsWith('open')).length, 3);
  device.close();

  const endless = new FakeDriver();
  endless.openAnswers = new Array<string>(100_000).fill('EAGAIN');
  assert.throws(() => Device.open({ driver: endless, patience: 100 }), /EAGAIN \(the driver still cleans up/);
  assert.ok(endless.time >= 100e6 && endless.time < 200e6, `${endless.time} ns`);
});

test('other refusals keep their errno and say what it may mean', () => {
  const driver = new FakeDriver();
  driver.openAnswers = ['EINVAL'];
  assert.throws(
    () => Device.open({ driver }),
    (error: unknown) =>
      error instanceof DriverError && error.code === 'EINVAL' && /FOP_UNSIGNED_OFFSET/.test(error.message),
  );
});

test('the node that is opened: by index, by path, and the control node of the same card', () => {
  const driver = new FakeDriver();
  driver.cards = 2;
  Device.open({ driver, index: 1 }).close();
  ControlDevice.open({ driver, index: 1 }).close();
  Device.open({ driver, path: '/dev/accel/accel7' }).close();
  assert.deepEqual(
    driver.log.filter((line) => line.startsWith('open')),
    ['open /dev/accel/accel1', 'open /dev/accel/accel_controlD1', 'open /dev/accel/accel7'],
  );
  assert.equal(driver.open_.size, 0);
});

test('after close nothing works, and close can be repeated', async () => {
  const { driver, device } = open();
  device.close();
  device.close();
  assert.throws(() => device.info.status(), DisposedError);
  assert.throws(() => device.fd, DisposedError);
  assert.throws(() => device.allocHost(4096), DisposedError);
  assert.equal(driver.open_.size, 0);
  assert.equal(driver.memory.size, 0);
  await using other = Device.open({ driver });
  assert.ok(other.isOpen);
});

test('an interrupted ioctl is made again with the same bytes', () => {
  const { driver, device } = open();
  driver.on(
    INFO,
    () => refuse('EINTR'),
    (_argument, request) => {
      const pointer = new DataView(request.bytes.buffer).getBigUint64(0, true);
      driver.at(pointer, 4).set([1]);
      return undefined;
    },
  );
  assert.equal(device.info.status(), 'IN_RESET');
  const [first, second] = driver.asked(INFO);
  assert.deepEqual(first, second);
});

test('a refused question: class, errno, ioctl, operation, argument and reason', () => {
  const { driver, device } = open();
  driver.on(INFO, () => refuse('EINVAL'));
  assert.throws(
    () => device.info.syncManager('E_N'),
    (error: unknown) => {
      assert.ok(error instanceof InvalidArgumentError);
      assert.deepEqual(
        [error.errno, error.code, error.call, error.operation, error.arguments],
        [22, 'EINVAL', 'INFO', 'HL_INFO_SYNC_MANAGER', { dcore_id: 2 }],
      );
      assert.match(error.message, /^INFO HL_INFO_SYNC_MANAGER \{dcore_id: 2\}: EINVAL \(no buffer, or no such DCORE/);
      return true;
    },
  );
});

test('a card in reset is told from a bad argument', () => {
  const { driver, device } = open();
  driver.on(INFO, () => refuse('EBUSY'));
  assert.throws(() => device.info.idle(), NotOperationalError);
});

/** Answers a question by writing to where the argument points. */
function answer(driver: FakeDriver, bytes: Uint8Array): void {
  driver.on(INFO, (_argument, request) => {
    const pointer = new DataView(request.bytes.buffer).getBigUint64(0, true);
    driver.at(pointer, bytes.length).set(bytes);
    return undefined;
  });
}

test('questions are asked in the bytes of C, and answers read from memory', () => {
  const { driver, device } = open();
  answer(driver, Buffer.from('9000000048000000010000', 'hex'));
  const sync = device.info.syncManager('E_N');
  assert.deepEqual(sync, {
    first_available_sync_object: 144,
    first_available_monitor: 72,
    first_available_cq: 1,
    reserved: 0,
  });
  assertGolden(driver.asked(INFO)[0], 'infoSync');
  device.info.pllFrequency('TPC');
  assertGolden(driver.asked(INFO)[1], 'infoPll');
});

test('busy engines are named', () => {
  const { driver, device } = open();
  answer(driver, Buffer.from('00000000012000000120000000000000', 'hex'));
  assert.deepEqual(device.info.idle(), { idle: false, busy: ['DMA_0', 'TPC_1'], mask: 0x2001n, shortMask: 0x2001 });
});

test('a record that the driver has not written is undefined', () => {
  const { device } = open();
  assert.equal(device.info.pageFaultEvent(), undefined);
  assert.equal(device.info.razwiEvent(), undefined);
});

test('text and arrays end where the driver says', () => {
  const { driver, device } = open();
  driver.on(INFO, (argument, request) => {
    const view = new DataView(request.bytes.buffer);
    driver.at(view.getBigUint64(0, true), 6).set(Buffer.from('DMA ok'));
    new DataView(argument.buffer).setUint32(16, 3, true);
    return undefined;
  });
  assert.equal(device.info.engineStatus(), 'DMA');
});

test('events: one eventfd, unregistered and closed when it is disposed of', () => {
  const { driver, device } = open();
  {
    using events = device.notifyEvents();
    assert.equal(events.fd, 4);
    assertGolden(driver.asked(INFO)[0], 'infoEventfd');
    assert.equal(events.take(), 0n);
    driver.ready = 1;
    answer(driver, Uint8Array.of(0x80));
    assert.equal(describeEvents(events.take()), 'RAZWI');
  }
  assert.equal(driver.open_.size, 1);
  assert.equal(driver.asked(INFO).length, 3);
});

test('events: waiting for the next, for a while, or until the caller has enough', async () => {
  const { driver, device } = open();
  using events = device.notifyEvents();
  answer(driver, Uint8Array.of(0x8));
  const late = setTimeout(() => assert.fail('the wait does not end'), 60_000);
  const coming = events.next();
  setImmediate(() => {
    driver.ready = 1;
  });
  assert.equal(describeEvents(await coming), 'CS_TIMEOUT');
  driver.ready = 0;
  driver.pollTakes = 1e6;
  assert.equal(await events.next({ timeout: 5 }), 0n);
  await assert.rejects(events.next({ signal: AbortSignal.abort(new Error('enough')) }), /enough/);
  clearTimeout(late);
});

test('events: when the driver refuses, the eventfd is closed', () => {
  const { driver, device } = open();
  driver.on(INFO, () => refuse('EINVAL'));
  assert.throws(() => device.notifyEvents(), InvalidArgumentError);
  assert.equal(driver.open_.size, 1);
});

test('debug mode', () => {
  const { driver, device } = open();
  device.debug('HL_DEBUG_OP_SET_MODE', { enable: 1 });
  assertGolden(driver.asked(DEBUG)[0], 'debugMode');
  driver.on(DEBUG, (argument) => {
    const view = new DataView(argument.buffer);
    driver.at(view.getBigUint64(8, true), 2).set([8, 9]);
    return undefined;
  });
  const out = device.debug('HL_DEBUG_OP_SPMU', { reg_idx: 1 }, Uint8Array.of(1, 2, 3), 2);
  assert.deepEqual([...out], [8, 9]);
});
