/** Records of errors and events, and being told of them; what questions about them want. */

import assert from 'node:assert/strict';
import { setImmediate } from 'node:timers/promises';
import { events as eventRows } from '../../../specs/gaudi/events.ts';
import { EFD_NONBLOCK, POLLIN } from '../../driver/driver.ts';
import { CommandStream } from '../../runtime/command-stream.ts';
import type { ControlDevice, Device } from '../../runtime/device.ts';
import type { Submission } from '../../runtime/submission.ts';
import { fenceAddress } from '../../runtime/sync.ts';
import { gaudi_engine_id } from '../../uapi/habanalabs/gaudi.ts';
import { DRM_IOCTL_HL_INFO, hl_passthrough_type, type InfoName, infoOperations } from '../../uapi/habanalabs/info.ts';
import { hl_user_mapping, razwiFlags } from '../../uapi/habanalabs/info-results.ts';
import { type Declare, suite, type TestContext } from '../suite.ts';
import { counted, EVENT, FAULT, told } from './events-lib.ts';
import { assertErrno, KiB, MiB, run } from './lib.ts';
import { asNew, control, KILLING, LATE_EVENT, recovered, resets, SLOW } from './reset-lib.ts';
import { assertValue } from './sync-lib.ts';

const DOWN = 'DMA_0_0';
const UP = 'DMA_1_0';
const NOWHERE = 0x1000n;
/** Programs have no memory here: it is the kernel's half of the addresses. */
const KERNEL = 0xffff_8000_0000_0000n;

/** Questions that do not mind having no room for the answer, as long as there is none. */
const roomless: readonly InfoName[] = [
  'HL_INFO_REGISTER_EVENTFD',
  'HL_INFO_UNREGISTER_EVENTFD',
  'HL_INFO_USER_MAPPINGS',
  'HL_INFO_HW_ERR_EVENT',
  'HL_INFO_FW_ERR_EVENT',
  'HL_INFO_USER_ENGINE_ERR_EVENT',
  'HL_INFO_FW_GENERIC_REQ',
];
const names = Object.keys(infoOperations) as InfoName[];

/** Any question with any pointer. @returns the argument as the driver leaves it. @throws SystemError */
function ask(
  t: TestContext,
  { fd }: Device | ControlDevice,
  name: InfoName,
  pointer: bigint,
  size: number,
  more: object = {},
): { readonly array_size: number; readonly error: unknown } {
  const { argument: layout, request } = DRM_IOCTL_HL_INFO;
  const op = infoOperations[name].value;
  const argument = layout.encode({ return_pointer: pointer, return_size: size, op, ...more });
  let error: unknown;
  try {
    t.target.driver.ioctl(fd, request, argument);
  } catch (failure) {
    error = failure;
  }
  return { array_size: layout.decode(argument).array_size, error };
}

function refused(
  t: TestContext,
  code: string,
  device: Device | ControlDevice,
  name: InfoName,
  pointer: bigint,
  size: number,
  more = {},
) {
  const { error } = ask(t, device, name, pointer, size, more);
  assert.equal(
    (error as NodeJS.ErrnoException | undefined)?.code,
    code,
    `${name}, ${size} bytes at 0x${pointer.toString(16)}`,
  );
}

function questions(test: Declare): void {
  test('a question wants room for its answer', (t) => {
    const memory = t.target.driver.allocate(4096);
    t.use({ [Symbol.dispose]: () => memory.unmap() });
    for (const name of names.filter((each) => !roomless.includes(each))) {
      refused(t, 'EINVAL', t.device, name, memory.address, 0);
      refused(t, 'EINVAL', t.device, name, 0n, 4096);
    }
  });

  test('an answer that cannot be written is refused', (t) => {
    for (const pointer of [NOWHERE, KERNEL])
      for (const name of [
        'HL_INFO_HW_IP_INFO',
        'HL_INFO_DEVICE_STATUS',
        'HL_INFO_CS_COUNTERS',
        'HL_INFO_GET_EVENTS',
      ] as const)
        refused(t, 'EFAULT', t.device, name, pointer, 4096);
  });

  test('an answer is cut to the room there is', (t) => {
    const memory = t.target.driver.allocate(4096);
    t.use({ [Symbol.dispose]: () => memory.unmap() });
    memory.bytes.fill(0xee);
    assert.equal(ask(t, t.device, 'HL_INFO_HW_IP_INFO', memory.address, 5).error, undefined);
    assert.notDeepEqual([...memory.bytes.subarray(0, 5)], [0xee, 0xee, 0xee, 0xee, 0xee]);
    assert.ok(memory.bytes.subarray(5).every((byte) => byte === 0xee));
  });

  test('padding must be zero', (t) => {
    const memory = t.target.driver.allocate(4096);
    t.use({ [Symbol.dispose]: () => memory.unmap() });
    for (const device of [t.device, control(t)])
      refused(t, 'EINVAL', device, 'HL_INFO_DEVICE_STATUS', memory.address, 4, { pad: 1 });
  });

  test('where nothing has failed there is no record, and no room is needed for it', (t) => {
    const memory = t.target.driver.allocate(4096);
    t.use({ [Symbol.dispose]: () => memory.unmap() });
    memory.bytes.fill(0xee);
    for (const name of [
      'HL_INFO_HW_ERR_EVENT',
      'HL_INFO_FW_ERR_EVENT',
      'HL_INFO_USER_ENGINE_ERR_EVENT',
      'HL_INFO_USER_MAPPINGS',
    ] as const) {
      refused(t, 'EINVAL', t.device, name, 0n, 4096);
      for (const pointer of [memory.address, NOWHERE])
        assert.equal(ask(t, t.device, name, pointer, 0).error, undefined, name);
    }
    for (const name of ['HL_INFO_RAZWI_EVENT', 'HL_INFO_PAGE_FAULT_EVENT'] as const)
      assert.equal(ask(t, t.device, name, memory.address, 4096).error, undefined);
    assert.ok(
      memory.bytes.every((byte) => byte === 0xee),
      'nothing is written',
    );
  });

  test('the status of all engines has a smallest and a largest room', (t) => {
    const memory = t.target.driver.allocate(4096);
    t.use({ [Symbol.dispose]: () => memory.unmap() });
    for (const size of [1, KiB - 1, MiB + 1, 0xffff_ffff])
      refused(t, 'EINVAL', t.device, 'HL_INFO_ENGINE_STATUS', memory.address, size);
    refused(t, 'EFAULT', t.device, 'HL_INFO_ENGINE_STATUS', NOWHERE, MiB);
  });

  test('requests to the firmware that do not exist, or are too long, are refused', (t) => {
    t.expectMessages(/buffer size cannot exceed 1MB/);
    const memory = t.target.driver.allocate(4096);
    t.use({ [Symbol.dispose]: () => memory.unmap() });
    for (const fw_sub_opcode of [0xffff, 3, 0x7fff_ffff].filter(
      (n) => !Object.values(hl_passthrough_type).some(({ value }) => value === n),
    ))
      refused(t, 'EINVAL', t.device, 'HL_INFO_FW_GENERIC_REQ', memory.address, 64, { fw_sub_opcode });
    const fw_sub_opcode = hl_passthrough_type.HL_PASSTHROUGH_VERSIONS.value;
    refused(t, 'EINVAL', t.device, 'HL_INFO_FW_GENERIC_REQ', memory.address, MiB + 1, { fw_sub_opcode });
    refused(t, 'EFAULT', t.device, 'HL_INFO_FW_GENERIC_REQ', NOWHERE, 64, { fw_sub_opcode });
  });
}

function notification(test: Declare): void {
  test('events are for who has the card', (t) => {
    const node = control(t);
    for (const name of ['HL_INFO_GET_EVENTS', 'HL_INFO_REGISTER_EVENTFD', 'HL_INFO_UNREGISTER_EVENTFD'] as const)
      refused(t, 'EOPNOTSUPP', node, name, NOWHERE, 8);
  });

  test('events are given whole', (t) => {
    const memory = t.target.driver.allocate(4096);
    t.use({ [Symbol.dispose]: () => memory.unmap() });
    refused(t, 'EINVAL', t.device, 'HL_INFO_GET_EVENTS', memory.address, 7);
    assert.equal(ask(t, t.device, 'HL_INFO_GET_EVENTS', memory.address, 8).error, undefined);
  });

  test('an eventfd may be closed once it is registered', (t) => {
    const { driver, info } = t.device;
    for (let i = 0; i < 3; i++) {
      const fd = driver.eventfd(0, EFD_NONBLOCK);
      info.registerEventfd(fd);
      driver.close(fd);
      info.unregisterEventfd();
    }
    assertErrno('EINVAL', () => info.unregisterEventfd());
  });

  test('events wait for who asks for them, once', async (t) => {
    t.expectMessages(/has not finished in/, /completed after \d+ \(s\)/);
    const { device } = t;
    const events = device.notifyEvents();
    const work = hung(device);
    const seen = await told(t, events, EVENT.HL_NOTIFIER_EVENT_CS_TIMEOUT);
    assert.equal(seen, EVENT.HL_NOTIFIER_EVENT_CS_TIMEOUT, 'and of no reset');
    assert.equal(device.info.getEvents(), 0n);
    const { seq, timestamp } = device.info.csTimeoutEvent();
    assert.equal(seq, work.sequence);
    assert.ok(timestamp > device.info.lastOpened());
    await release(t, device);
    await device.wait(work, { signal: t.signal });
  });

  test('an event does not take the place of another that nobody has asked for', async (t) => {
    t.expectMessages(
      /has not finished in/,
      /completed after \d+ \(s\)/,
      /DMA_IF_SEI/,
      /SEI Error: SOB Group \d+ overflow/,
    );
    const { device } = t;
    const { driver } = t.target;
    const events = device.notifyEvents();
    // the eventfd is looked at, and the events are not taken
    const rung = async () => {
      while (!(driver.poll(events.fd, POLLIN, 100) & POLLIN)) {
        t.signal.throwIfAborted();
        await setImmediate();
      }
      driver.read(events.fd, new Uint8Array(8));
    };
    const work = hung(device);
    await rung();
    const object = t.use(device.sync('E_N').syncObject());
    await run(t, UP, new CommandStream().set(object, 0x7fff).add(object, 1));
    await rung();
    assert.equal(
      Number(device.info.getEvents()),
      EVENT.HL_NOTIFIER_EVENT_CS_TIMEOUT | EVENT.HL_NOTIFIER_EVENT_USER_ENGINE_ERR,
    );
    await release(t, device);
    await device.wait(work, { signal: t.signal });
  });

  test(
    'of two that took too long the first is on record, and told of',
    async (t) => {
      t.expectMessages(/has not finished in/, /completed after \d+ \(s\)/, KILLING);
      const node = control(t);
      const before = resets(node);
      const device = t.open(0);
      try {
        const { HL_NOTIFIER_EVENT_CS_TIMEOUT: TIMEOUT, HL_NOTIFIER_EVENT_DEVICE_RESET: RESET } = EVENT;
        const events = device.notifyEvents();
        const first = hung(device);
        await told(t, events, TIMEOUT);
        const record = device.info.csTimeoutEvent();
        assert.equal(record.seq, first.sequence);
        await release(t, device);
        await device.wait(first, { signal: t.signal });
        // this one resets the card: when that is told the driver has done with it
        device.submit({ queue: DOWN, stream: new CommandStream().fence(0) }, { timeout: 1 });
        assert.equal((await told(t, events, RESET)) & TIMEOUT, 0);
        assert.deepEqual(device.info.csTimeoutEvent(), record);
      } finally {
        device.close();
      }
      assert.equal(await recovered(t, node, before), before + 1);
      await asNew(t);
    },
    SLOW,
  );
}

/** Work that is held for longer than it may take. */
function hung(device: Device): Submission {
  return device.submit({ queue: DOWN, stream: new CommandStream().fence(0) }, { timeout: 1, skipResetOnTimeout: true });
}

function countOf(counts: Uint32Array, name: string): number {
  const { id } = eventRows.find((event) => event.name === name) as (typeof eventRows)[number];
  return counts[id] ?? 0;
}

async function release(t: TestContext, device: Device): Promise<void> {
  const work = device.submit({ queue: 'DMA_1_0', stream: new CommandStream().write(fenceAddress(DOWN, 0), 1) });
  await device.wait(work, { signal: t.signal });
}

function faults(test: Declare): void {
  test('a sync object that overflows is told of, by its manager and group', async (t) => {
    const { device } = t;
    const notifier = device.notifyEvents();
    for (const dcore of ['E_N', 'E_S', 'W_N', 'W_S'] as const) {
      const object = t.use(device.sync(dcore).syncObject());
      const group = Math.floor(object.index / 8);
      t.expectMessages(/DMA_IF_SEI/, new RegExp(`${dcore} SEI Error: SOB Group ${group} overflow`));
      const before = device.info.hwEventsAggregate();
      const sinceReset = device.info.hwEvents();
      await run(t, DOWN, new CommandStream().set(object, 0x7fff).add(object, 1));
      const event = await told(t, notifier, EVENT.HL_NOTIFIER_EVENT_USER_ENGINE_ERR);
      assert.equal(event, EVENT.HL_NOTIFIER_EVENT_USER_ENGINE_ERR, 'and of no reset');
      const number = { W_S: 0, E_S: 1, W_N: 2, E_N: 3 }[dcore];
      const name = `DMA_IF_SEI_${number}`;
      assert.equal(await counted(t, device, name, before), 1);
      assert.equal(countOf(device.info.hwEvents(), name) - countOf(sinceReset, name), 1, 'since the last reset');
      await assertValue(t, object, 0, 'after its overflow', device);
    }
  });

  test(
    'of faults the first is recorded, with who did it and what was mapped',
    async (t) => {
      t.expectMessages(/page fault/, /RAZWI/, /H\/W interrupt/, /DMA\d?_?(CORE|QM)/i, /MMU/, KILLING, LATE_EVENT);
      const node = control(t);
      const before = resets(node);
      const device = t.open(0);
      const events = device.notifyEvents();
      const kept = [device.allocHost(4 * KiB), device.allocHost(8 * KiB), device.allocHost(4 * KiB)];
      const gone = device.allocHost(64 * KiB);
      const nowhere = gone.deviceAddress + 0x240n;
      // elsewhere in the page tables, so that unmapping begins at their root; beside `gone` others stay mapped
      kept.push(device.allocHost(4 * MiB));
      gone[Symbol.dispose]();
      const { address } = device.sram.allocate(4 * KiB);
      const eventsBefore = device.info.hwEventsAggregate();
      device.submit({ queue: DOWN, stream: new CommandStream().dma(address, nowhere, 4 * KiB) });
      await told(t, events, FAULT);
      assert.equal(await counted(t, device, 'MMU_PAGE_FAULT', eventsBefore), 1, 'the MMU tells of it itself');
      const { pageFaultEvent, razwiEvent } = {
        pageFaultEvent: device.info.pageFaultEvent(),
        razwiEvent: device.info.razwiEvent(),
      };
      assert.equal(pageFaultEvent?.addr, nowhere);
      assert.equal(razwiEvent?.flags, razwiFlags.HL_RAZWI_READ.value);
      const engines = razwiEvent?.engine_id.slice(0, razwiEvent.num_of_possible_engines);
      assert.ok(engines?.includes(gaudi_engine_id.GAUDI_ENGINE_ID_DMA_0.value), `engines ${engines}`);
      device.submit({ queue: 'DMA_1_0', stream: new CommandStream().dma(nowhere + 4096n, address, 4 * KiB) });
      await told(t, events, EVENT.HL_NOTIFIER_EVENT_PAGE_FAULT);
      assert.deepEqual(device.info.pageFaultEvent(), pageFaultEvent);
      assert.deepEqual(device.info.razwiEvent(), razwiEvent);
      const memory = t.target.driver.allocate(4096);
      t.use({ [Symbol.dispose]: () => memory.unmap() });
      const little = ask(t, device, 'HL_INFO_USER_MAPPINGS', memory.address, kept.length * hl_user_mapping.size - 1);
      assert.equal((little.error as NodeJS.ErrnoException).code, 'ENOMEM');
      assert.equal(little.array_size, kept.length, 'how many there are is told all the same');
      device.close();
      await recovered(t, node, before);
      assert.deepEqual(t.open(0).info.userMappings(), [], 'a new program begins with no records');
    },
    SLOW,
  );

  test(
    'an unknown packet is recorded with the stream and where it was',
    async (t) => {
      t.expectMessages(
        /H\/W interrupt/,
        /err cause: .*(CMD|undefined|opcode)/i,
        /TPC/,
        /PQE|CQ|stream/,
        KILLING,
        LATE_EVENT,
        /not idle/,
      );
      const node = control(t);
      const before = resets(node);
      const device = t.open(0);
      const events = device.notifyEvents();
      // the fence is never fetched, so that the queue is not idle when the program goes
      const host = device.allocHost(KiB);
      const stream = new CommandStream().raw(Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0x1e)).fence(0);
      host.bytes.set(stream.bytes);
      const work = device.submit([
        { queue: 'TPC_5_2', place: host, size: stream.size },
        { queue: DOWN, stream: new CommandStream().nop() },
      ]);
      await device.wait(work, { signal: t.signal });
      await told(t, events, EVENT.HL_NOTIFIER_EVENT_UNDEFINED_OPCODE);
      const record = device.info.undefinedOpcodeEvent();
      assert.equal(record?.engine_id, gaudi_engine_id.GAUDI_ENGINE_ID_TPC_5.value);
      assert.equal(record?.stream_id, 2);
      assert.equal(record?.cb_addr_streams_len, 1);
      assert.equal(record?.cb_addr_streams[0]?.[0], host.deviceAddress, 'the buffer that the queue was last given');
      device.close();
      assert.equal(await recovered(t, node, before), before + 1);
      await asNew(t);
    },
    SLOW,
  );
}

export const records = suite('records', 'Records of errors and events, and being told of them.', (test) => {
  questions(test);
  notification(test);
  faults(test);
});
