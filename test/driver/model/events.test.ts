/** What the firmware reports, and what becomes of it: log, records, notification, resets. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { events } from '../../../specs/gaudi/events.ts';
import { type Driver, EFD_NONBLOCK, O_RDWR, SystemError } from '../../../src/driver/driver.ts';
import { ModelMachine } from '../../../src/machine/model.ts';
import { DRM_IOCTL_HL_INFO, type InfoName, infoOperations } from '../../../src/uapi/habanalabs/info.ts';
import {
  hl_info_clk_throttle,
  hl_info_fw_err_event,
  hl_info_hw_err_event,
  notifierEvents,
} from '../../../src/uapi/habanalabs/info-results.ts';
import { values } from '../../../src/uapi/rows.ts';

const EVENT = values(notifierEvents);
const SECOND = 1e9;
const COMPUTE = '/dev/accel/accel0';
const CONTROL = '/dev/accel/accel_controlD0';

/** @param size bytes that the program says it has room for. @returns the answer */
function ask(driver: Driver, fd: number, name: InfoName, size = 4096, more: object = {}): Uint8Array {
  const memory = driver.allocate(4096);
  const op = infoOperations[name].value;
  const argument = DRM_IOCTL_HL_INFO.argument.encode({
    return_pointer: memory.address,
    return_size: size,
    op,
    ...more,
  });
  try {
    driver.ioctl(fd, DRM_IOCTL_HL_INFO.request, argument);
    return memory.bytes.slice();
  } finally {
    memory.unmap();
  }
}

function errno(body: () => unknown): string {
  try {
    body();
    return 'done';
  } catch (error) {
    assert.ok(error instanceof SystemError, String(error));
    return error.code;
  }
}

function make() {
  const machine = new ModelMachine({ machine: 'gaudi' });
  const { driver } = machine;
  const [card] = machine.cards;
  assert.ok(card);
  driver.messages();
  return {
    machine,
    driver,
    raise: (name: string, payload?: Uint8Array) => {
      card.raiseEvent(name, payload);
      driver.sleep(1e6);
    },
    status: () => driver.accelerators()[0]?.status(),
    log: () => driver.messages().map(({ text }) => text.replace(/^habanalabs \S+ /, '')),
    [Symbol.dispose]: () => machine[Symbol.dispose](),
  };
}

/** The card, open, with an eventfd that is told. */
function listening(driver: Driver) {
  const fd = driver.open(COMPUTE, O_RDWR);
  const eventfd = driver.eventfd(0, EFD_NONBLOCK);
  ask(driver, fd, 'HL_INFO_REGISTER_EVENTFD', 0, { eventfd });
  const told = () => new DataView(ask(driver, fd, 'HL_INFO_GET_EVENTS').buffer).getBigUint64(0, true);
  return { fd, told, signalled: () => errno(() => driver.read(eventfd, new Uint8Array(8))) === 'done' };
}

describe('events of the firmware', () => {
  it('each is counted, and the card works after it or after its reset', () => {
    using card = make();
    const { driver } = card;
    const fd = driver.open(CONTROL, O_RDWR);
    // not those by which the host talks to the firmware
    for (const { name, id } of events.filter((event) => event.id < 600 || event.id > 640)) {
      card.raise(name, new Uint8Array(56));
      driver.sleep(20 * SECOND);
      assert.equal(card.status(), 'Operational', name);
      const counts = new DataView(ask(driver, fd, 'HL_INFO_HW_EVENTS_AGGREGATE', 4096).buffer);
      assert.equal(counts.getUint32(id * 4, true), 1, name);
    }
  });

  it('records are empty while there is nothing to record, however small the room', () => {
    using card = make();
    const fd = card.driver.open(COMPUTE, O_RDWR);
    for (const name of ['HL_INFO_HW_ERR_EVENT', 'HL_INFO_FW_ERR_EVENT', 'HL_INFO_USER_ENGINE_ERR_EVENT'] as const) {
      assert.equal(
        errno(() => ask(card.driver, fd, name, 4096, { return_pointer: 0n })),
        'EINVAL',
      );
      assert.deepEqual(ask(card.driver, fd, name, 0), new Uint8Array(4096));
    }
  });

  it('an error that needs a reset is recorded once, and who listens may look before the reset', () => {
    using card = make();
    const { driver } = card;
    const { fd, told, signalled } = listening(driver);
    const ecc = new Uint8Array(24);
    new DataView(ecc.buffer).setBigUint64(0, 0x1234n, true);
    new DataView(ecc.buffer).setBigUint64(8, 0x56n, true);
    ecc[16] = 7;
    card.raise('DMA3_DERR_ECC', ecc);
    card.raise('GIC500');
    assert.ok(signalled());
    const all =
      EVENT.HL_NOTIFIER_EVENT_GENERAL_HW_ERR |
      EVENT.HL_NOTIFIER_EVENT_CRITICL_HW_ERR |
      EVENT.HL_NOTIFIER_EVENT_DEVICE_RESET;
    assert.equal(told(), BigInt(all));
    assert.equal(
      errno(() => ask(driver, fd, 'HL_INFO_HW_ERR_EVENT', hl_info_hw_err_event.size - 1)),
      'ENOMEM',
    );
    const record = hl_info_hw_err_event.decode(ask(driver, fd, 'HL_INFO_HW_ERR_EVENT'));
    assert.equal(record.event_id, events.find(({ name }) => name === 'DMA3_DERR_ECC')?.id);
    assert.ok(record.timestamp > 0n);
    assert.ok(card.log().includes('ECC error detected. address: 0x1234. Syndrom: 0x56. block id 7'));
    assert.equal(card.status(), 'Operational');
    driver.sleep(31 * SECOND);
    assert.equal(card.status(), 'In reset');
    driver.sleep(20 * SECOND);
    assert.equal(card.status(), 'Operational');
    const again = driver.open(COMPUTE, O_RDWR);
    assert.deepEqual(ask(driver, again, 'HL_INFO_HW_ERR_EVENT'), new Uint8Array(4096), 'a new program begins anew');
  });

  it('what the firmware says of itself is a firmware error', () => {
    using card = make();
    const { driver } = card;
    const { fd, told } = listening(driver);
    card.raise('FW_ALIVE_S');
    assert.equal(told(), BigInt(EVENT.HL_NOTIFIER_EVENT_CRITICL_FW_ERR | EVENT.HL_NOTIFIER_EVENT_DEVICE_RESET));
    const { err_type, event_id } = hl_info_fw_err_event.decode(ask(driver, fd, 'HL_INFO_FW_ERR_EVENT'));
    assert.deepEqual({ err_type, event_id }, { err_type: 1, event_id: 645 });
  });

  it('two fatal errors in a row disable the card', () => {
    using card = make();
    const { driver } = card;
    card.raise('GIC500');
    // until the card is back, but its first heartbeat is not
    while (card.status() !== 'Operational') driver.sleep(SECOND / 10);
    card.raise('GIC500');
    driver.sleep(20 * SECOND);
    assert.equal(card.status(), 'Disabled');
    assert.ok(card.log().some((line) => /Consecutive fatal errors, stopping hard reset$/.test(line)));
    assert.equal(
      errno(() => driver.open(COMPUTE, O_RDWR)),
      'EPERM',
    );
    assert.equal(
      errno(() => driver.open(CONTROL, O_RDWR)),
      'EPERM',
    );
  });

  it('a heartbeat between two fatal errors forgives the first', () => {
    using card = make();
    card.raise('GIC500');
    card.driver.sleep(30 * SECOND);
    card.raise('GIC500');
    card.driver.sleep(30 * SECOND);
    assert.equal(card.status(), 'Operational');
  });

  it('clock throttling is told with its reasons and how long it lasts', () => {
    using card = make();
    const { driver } = card;
    const fd = driver.open(CONTROL, O_RDWR);
    const throttle = () => hl_info_clk_throttle.decode(ask(driver, fd, 'HL_INFO_CLK_THROTTLE_REASON'));
    assert.deepEqual(throttle().clk_throttling_timestamp_us, [0n, 0n]);
    card.raise('FIX_POWER_ENV_S');
    card.raise('FIX_THERMAL_ENV_S');
    driver.sleep(SECOND);
    assert.equal(throttle().clk_throttling_reason, 3);
    card.raise('FIX_POWER_ENV_E');
    const [lasted = 0n] = throttle().clk_throttling_duration_ns;
    assert.ok(lasted >= BigInt(SECOND));
    driver.sleep(SECOND);
    const after = throttle();
    assert.equal(after.clk_throttling_reason, 2);
    assert.equal(after.clk_throttling_duration_ns[0], lasted);
  });
});
