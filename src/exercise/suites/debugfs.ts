/** Files of a card in debugfs: what the driver tells root of programs and of the card, and what root may set. */

import assert from 'node:assert/strict';
import { setImmediate } from 'node:timers/promises';
import { addressMap } from '../../../specs/gaudi/address-map.ts';
import { CommandStream } from '../../runtime/command-stream.ts';
import { HostBuffer } from '../../runtime/memory.ts';
import { queueRow } from '../../uapi/habanalabs/gaudi.ts';
import { type Declare, suite, type TestContext } from '../suite.ts';
import { cardFolder, readBytes } from './attributes-lib.ts';
import { debugDevice } from './debugfs-device.ts';
import { debugErrors } from './debugfs-errors.ts';
import { debugInput } from './debugfs-input.ts';
import { debugBytes, debugText, rowsOf, setDebug, writeDebug } from './debugfs-lib.ts';
import { debugMemory } from './debugfs-memory.ts';
import { debugStateDump } from './debugfs-state-dump.ts';
import { assertErrno, KiB, MiB, run } from './lib.ts';
import { release } from './sync-lib.ts';

const DOWN = 'DMA_0_0';
const UP = 'DMA_1_0';
/** Address spaces: that of programs, and the driver's own. */
const PROGRAM = 1n;
/** What is read only, what is written only, and what says nothing on this chip whenever it is asked. */
const READ = ['engines', 'vm', 'userptr', 'command_buffers', 'command_submission', 'command_submission_jobs', 'name'];
const WRITTEN = ['dma_size', 'monitor_dump_trig', 'memory_scrub', 'led0', 'led1', 'led2'];
const SILENT = ['clk_gate', 'dump_security_violations', 'dump_razwi_events'];
/** Numbers that are kept: by how many bits, and as what they are shown. */
const NUMBERS = [
  { name: 'i2c_bus', bits: 8, hex: false },
  { name: 'i2c_addr', bits: 8, hex: false },
  { name: 'i2c_reg', bits: 8, hex: false },
  { name: 'i2c_len', bits: 8, hex: false },
  { name: 'addr', bits: 64, hex: true },
  { name: 'memory_scrub_val', bits: 64, hex: true },
  { name: 'skip_reset_on_timeout', bits: 8, hex: true },
  { name: 'device_release_watchdog_timeout', bits: 32, hex: false },
] as const;
const NO_NUMBERS = ['x', ' 1', '-1', '0x', '1 2', '08', '1.5', '\n'];

/** Memory of the program that the card has, too, by both addresses. */
class Given implements Disposable {
  readonly size: number;
  readonly address: bigint;
  readonly deviceAddress: bigint;
  readonly #parts = new DisposableStack();

  constructor(t: TestContext, size: number, options: { readonly hugePages?: boolean } = {}) {
    this.size = size;
    const buffer = this.#parts.use(new HostBuffer(t.target.driver, size, options));
    this.address = buffer.address;
    this.deviceAddress = this.#parts.use(t.device.mapHost(buffer.address, size)).deviceAddress;
  }

  [Symbol.dispose](): void {
    this.#parts.dispose();
  }
}

/** Each level's table, the address of its entry, and that, as `mmu` tells them. */
function hopsOf(text: string): { readonly table: bigint; readonly at: bigint; readonly entry: bigint }[] {
  const values = [...text.matchAll(/^hop\d_(?:addr|pte_addr|pte): (0x[0-9a-f]+)$/gm)].map(([, value]) =>
    BigInt(value as string),
  );
  return Array.from({ length: values.length / 3 }, (_, i) => ({
    table: values[3 * i] as bigint,
    at: values[3 * i + 1] as bigint,
    entry: values[3 * i + 2] as bigint,
  }));
}

function settings(test: Declare): void {
  test('what is only read is not written, and what is only written is not read', (t) => {
    for (const name of READ) {
      debugText(t, name);
      assertErrno('EINVAL', () => writeDebug(t, name, '1'));
    }
    for (const name of WRITTEN) assertErrno('EINVAL', () => debugText(t, name));
    assertErrno('EACCES', () => writeDebug(t, 'server_type', '1'));
    assertErrno('ENOENT', () => debugText(t, 'no_such_file'));
    assert.match(debugText(t, 'name'), /^habanalabs /);
    assert.equal(debugText(t, 'server_type'), '0\n');
  });

  test('numbers are kept as they are written, of each file as many bits as it has', (t) => {
    for (const { name, bits, hex } of NUMBERS) {
      using _ = setDebug(t, name, '0');
      const shown = (value: bigint) => (hex ? `0x${value.toString(16).padStart(bits / 4, '0')}\n` : `${value}\n`);
      for (const [text, value] of [
        ['7', 7n],
        ['0x1f\n', 0x1fn],
        ['010', 8n],
        ['+5', 5n],
        [`${2n ** 64n - 1n}`, 2n ** BigInt(bits) - 1n],
        ['0x1234567890abcdef', BigInt.asUintN(bits, 0x1234_5678_90ab_cdefn)],
      ] as const) {
        writeDebug(t, name, text);
        assert.equal(debugText(t, name), shown(value), `${name} after ${JSON.stringify(text)}`);
      }
      for (const text of NO_NUMBERS) assertErrno('EINVAL', () => writeDebug(t, name, text));
      assertErrno('ERANGE', () => writeDebug(t, name, `${2n ** 64n}`));
      assert.equal(
        debugText(t, name),
        shown(BigInt.asUintN(bits, 0x1234_5678_90ab_cdefn)),
        'what is refused is not kept',
      );
    }
  });

  test('what has nothing to say on this chip says nothing, and takes everything', (t) => {
    for (const name of SILENT) assert.equal(debugText(t, name), '');
    writeDebug(t, 'clk_gate', 'whatever');
    assert.equal(debugText(t, 'set_power_state'), 'current power state: 1\n1 - D0\n2 - D3hot\n3 - Unknown\n');
    for (const text of ['0', '3', 'D0']) assertErrno('EINVAL', () => writeDebug(t, 'set_power_state', text));
    // with the zero that ends it
    assert.equal(debugText(t, 'stop_on_err'), '1\n\0');
  });

  test('state dumps are skipped by a number of them', (t) => {
    t.expectMessages(/Invalid number of dumps to skip/);
    for (const text of ['0', '5', '4294967295']) assertErrno('EINVAL', () => writeDebug(t, 'state_dump', text));
    for (const text of ['one', '-1']) assertErrno('EINVAL', () => writeDebug(t, 'state_dump', text));
    writeDebug(t, 'state_dump', '4');
  });

  test('the state of engines is that which a program is told', (t) => {
    assert.equal(debugText(t, 'engines'), t.device.info.engineStatus());
  });

  test('memory is not filled while somebody has the card', (t) => {
    t.expectMessages(/can't scrub dram, context exist/);
    assert.ok(t.device);
    assertErrno('EBUSY', () => writeDebug(t, 'memory_scrub', '1'));
  });
}

function programs(test: Declare): void {
  const bufferOf = (t: TestContext, handle: bigint) =>
    rowsOf(debugText(t, 'command_buffers')).find(([id]) => id === handle);

  test('command buffers are listed for as long as somebody has them', (t) => {
    const { device } = t;
    const buffer = device.createCb(8 * KiB);
    assert.deepEqual(bufferOf(t, buffer.handle), [buffer.handle, PROGRAM, 8n * BigInt(KiB), 2n, 1n, 0n]);
    const second = t.use(device.createCb(4 * KiB));
    const handles = rowsOf(debugText(t, 'command_buffers')).map(([id]) => id);
    assert.deepEqual(
      handles.filter((id) => id === buffer.handle || id === second.handle),
      [second.handle, buffer.handle],
      'the newest first',
    );
    buffer[Symbol.dispose]();
    assert.equal(bufferOf(t, buffer.handle), undefined);
  });

  test('submissions are listed with their jobs until they end', async (t) => {
    const { device } = t;
    const internal = t.use(device.load(new CommandStream().nop()));
    const held = device.submit([
      { queue: DOWN, stream: new CommandStream().fence(0) },
      { queue: 'TPC_3_1', place: internal.place, size: internal.size },
    ]);
    const behind = device.submit({ queue: DOWN, stream: new CommandStream().nop() });
    const rows = () => rowsOf(debugText(t, 'command_submission'));
    // number, type, address space, submitted, completed
    assert.deepEqual(
      rows().map(([seq, type, asid, , submitted, completed]) => [seq, type, asid, submitted, completed]),
      [behind, held].map(({ sequence }) => [sequence, 0n, PROGRAM, 1n, 0n]),
    );
    const jobs = () =>
      rowsOf(debugText(t, 'command_submission_jobs')).map(([id, seq, type, asid, , queue]) => [
        id,
        seq,
        type,
        asid,
        queue,
      ]);
    const [down, core] = [BigInt(queueRow(DOWN).value), BigInt(queueRow('TPC_3_1').value)];
    assert.deepEqual(jobs(), [
      [1n, behind.sequence, 0n, PROGRAM, down],
      [2n, held.sequence, 0n, PROGRAM, core],
      [1n, held.sequence, 0n, PROGRAM, down],
    ]);
    await release(t, DOWN, UP);
    for (const work of [held, behind]) await device.wait(work, { signal: t.signal });
    assert.equal(debugText(t, 'command_submission'), '');
    assert.equal(debugText(t, 'command_submission_jobs'), '');
  });

  test('signals and waits are listed as what they are', async (t) => {
    const { device } = t;
    device.submit({ queue: DOWN, stream: new CommandStream().fence(0) });
    const signal = device.signal(DOWN);
    const wait = device.waitForSignal(UP, signal);
    assert.deepEqual(
      rowsOf(debugText(t, 'command_submission')).map(([seq, type]) => [seq, type]),
      [
        [wait?.sequence, 2n],
        [signal.sequence, 1n],
        [signal.sequence - 1n, 0n],
      ],
    );
    await release(t, DOWN, 'DMA_1_1');
    if (wait) await device.wait(wait, { signal: t.signal });
  });

  test('memory of a program is listed by where it has it, and by where the card has', (t) => {
    const first = t.use(new Given(t, 8 * KiB));
    const second = t.use(new Given(t, 64 * KiB));
    const given = [second, first].map(({ address, size }) => [address, BigInt(size)]);
    const userptr = debugText(t, 'userptr');
    assert.deepEqual(
      rowsOf(userptr).map(([, address, size]) => [address, size]),
      given,
    );
    assert.equal(userptr.match(/DMA_BIDIRECTIONAL/g)?.length, 2);
    const mapped = () =>
      rowsOf(debugText(t, 'vm').split('VA ranges')[0] as string)
        .map(([address, size]) => `${address} ${size}`)
        .sort();
    const expected = [first, second].map(({ deviceAddress, size }) => `${deviceAddress} ${size}`);
    assert.deepEqual(mapped(), expected.sort());
    second[Symbol.dispose]();
    assert.deepEqual(mapped(), [`${first.deviceAddress} ${first.size}`]);
  });

  test('what addresses of a program are free is told, and what it has is not', (t) => {
    const { device } = t;
    const host = t.use(device.allocHost(64 * KiB));
    const text = debugText(t, 'vm');
    assert.match(text, /ctx asid: 1\n[\s\S]*ctx asid: 0\n/);
    const ranges = text.split(/va_range \d/).slice(1);
    assert.equal(ranges.length, 3);
    const blocks = ranges.map((range) =>
      [...range.matchAll(/(0x[0-9a-f]+) - +(0x[0-9a-f]+) \((0x[0-9a-f]+)\)/g)].map(
        (match) => match.slice(1).map(BigInt) as [bigint, bigint, bigint],
      ),
    );
    assert.deepEqual(blocks[0], blocks[1], 'huge pages have no range of their own');
    for (const range of blocks) {
      let last = 0n;
      for (const [start, end, size] of range) {
        assert.equal(end - start + 1n, size);
        assert.ok(start > last && end > start);
        last = end;
        const [from, to] = [host.deviceAddress, host.deviceAddress + BigInt(host.size)];
        assert.ok(to <= start || from > end, 'it is mapped');
      }
    }
    assert.ok((blocks[0]?.[0]?.[0] ?? 0n) >= BigInt(addressMap.VIRTUAL_BASE));
  });

  test('a card that nobody has open has no submissions and no memory of programs', (t) => {
    for (const name of [
      'command_buffers',
      'command_submission',
      'command_submission_jobs',
      'userptr',
      'userptr_lookup',
    ])
      assert.equal(debugText(t, name), '', name);
    assert.deepEqual(debugText(t, 'vm').match(/ctx asid: \d/g), ['ctx asid: 0']);
    assert.doesNotMatch(debugText(t, 'vm'), /VA ranges/);
  });
}

function addresses(test: Declare): void {
  test('an address of a program leads to memory of the host', (t) => {
    const host = t.use(new Given(t, 64 * KiB));
    for (const text of ['g', '0x', '-1']) assertErrno('EINVAL', () => writeDebug(t, 'userptr_lookup', text));
    assertErrno('ERANGE', () => writeDebug(t, 'userptr_lookup', '10000000000000000'));
    const seen = new Set<bigint>();
    for (const offset of [0n, 4095n, 4096n, 65535n]) {
      const address = host.address + offset;
      writeDebug(t, 'userptr_lookup', address.toString(16));
      const [row, ...others] = rowsOf(debugText(t, 'userptr_lookup'));
      assert.equal(others.length, 0);
      const [asked, bus = 0n, , start, size] = row ?? [];
      assert.deepEqual([asked, start, size], [address, host.address, BigInt(host.size)]);
      assert.equal(bus % 4096n, address % 4096n);
      seen.add(bus);
    }
    assert.equal(seen.size, 4);
    for (const outside of [host.address - 1n, host.address + BigInt(host.size)]) {
      writeDebug(t, 'userptr_lookup', `0x${outside.toString(16)}`);
      assert.equal(debugText(t, 'userptr_lookup'), '');
    }
  });

  for (const [what, size, levels] of [
    ['pages', 64 * KiB, 5],
    ['huge pages', 4 * MiB, 4],
  ] as const)
    test(`an address of the card is translated by its tables: ${what}`, (t) => {
      const hugePages = levels === 4;
      const host = t.use(new Given(t, size, { hugePages }));
      for (const offset of [0n, 0x1234n, BigInt(size - 8)]) {
        const address = host.deviceAddress + offset;
        writeDebug(t, 'mmu', `1 0x${address.toString(16)}`);
        const text = debugText(t, 'mmu');
        const [, physical] = text.match(/^asid: 1, virt_addr: 0x[0-9a-f]+, phys_addr: (0x[0-9a-f]+)\n/) ?? [];
        const hops = hopsOf(text);
        assert.equal(hops.length, levels, text);
        hops.forEach(({ table, at, entry }, i) => {
          assert.equal(table % 4096n, 0n);
          assert.equal(at, table + 8n * ((address >> BigInt(48 - 9 * i)) & 0x1ffn));
          assert.equal(entry & 1n, 1n, 'present');
          assert.equal((entry & 0x800n) !== 0n, i === levels - 1, 'the last');
          const next = hops[i + 1];
          if (next) assert.equal(entry & ~0xfffn, next.table);
        });
        const page = hugePages ? 0x1f_ffffn : 0xfffn;
        assert.equal(BigInt(physical ?? 0), ((hops.at(-1)?.entry ?? 0n) & ~page) | (address & page));
        // where the card finds the host is where that is, beyond the card's own addresses
        writeDebug(t, 'userptr_lookup', (host.address + offset).toString(16));
        const bus = rowsOf(debugText(t, 'userptr_lookup'))[0]?.[1] ?? 0n;
        assert.ok(BigInt(physical ?? 0) === bus || BigInt(physical ?? 0) === bus + BigInt(addressMap.HOST_BASE), text);
      }
    });

  test('an address that is not mapped is not translated, nor one of nobody', (t) => {
    t.expectMessages(/no ctx available/, /virt addr 0x[0-9a-f]+ is not mapped to phys addr/);
    writeDebug(t, 'mmu', `1 0x${addressMap.VIRTUAL_BASE.toString(16)}`);
    assert.equal(debugText(t, 'mmu'), '', 'nobody has the card');
    const host = t.device.allocHost(8 * KiB);
    const { deviceAddress } = host;
    for (const address of [deviceAddress + 0x1_0000_0000n, 0x1000n, 2n ** 63n]) {
      writeDebug(t, 'mmu', `1 0x${address.toString(16)}`);
      assert.equal(debugText(t, 'mmu'), '');
    }
    writeDebug(t, 'mmu', `0 0x${deviceAddress.toString(16)}`);
    assert.equal(debugText(t, 'mmu'), '', 'it is not the driver’s');
    host[Symbol.dispose]();
    writeDebug(t, 'mmu', `1 0x${deviceAddress.toString(16)}`);
    assert.equal(debugText(t, 'mmu'), '', 'it was');
  });

  test('what is no address space and address is refused', (t) => {
    t.expectMessages(/usage: echo <asid> <0xaddr> > mmu/);
    for (const text of [
      '1',
      '1 1000',
      'x 0x1000',
      '1 0x',
      '1  0x1000',
      '-1 0x1000',
      `1 0x1${'0'.repeat(16)}`,
      `1 0x${'0'.repeat(60)}`,
    ])
      assertErrno('EINVAL', () => writeDebug(t, 'mmu', text));
  });

  test('errors of an MMU are not acknowledged on this chip', (t) => {
    t.expectMessages(/usage: echo <0xmmu_cap_mask > > mmu_error/, /mmu_cap_mask is not set/);
    for (const text of ['1', '0x', '0xg', `0x${'0'.repeat(60)}`])
      assertErrno('EINVAL', () => writeDebug(t, 'mmu_error', text));
    writeDebug(t, 'mmu_error', '0x1');
    assertErrno('EINVAL', () => debugText(t, 'mmu_error'));
    writeDebug(t, 'mmu_error', '0x0');
    assertErrno('EINVAL', () => debugText(t, 'mmu_error'));
  });
}

/** The EEPROM that the sysfs attribute shows (specs of the card). */
const EEPROM = { bus: 0, address: 0x50 } as const;

function firmware(test: Declare): void {
  const select = (t: TestContext, bus: number, address: number, register: number, length: number) => {
    writeDebug(t, 'i2c_bus', bus);
    writeDebug(t, 'i2c_addr', address);
    writeDebug(t, 'i2c_reg', register);
    writeDebug(t, 'i2c_len', length);
  };
  const forget = (t: TestContext) => t.use({ [Symbol.dispose]: () => select(t, 0, 0, 0, 0) });

  test('what is on the I2C bus is read and written: the EEPROM', (t) => {
    forget(t);
    const eeprom = () => readBytes(t, `${cardFolder(t)}/eeprom`);
    for (const [register, length] of [
      [0, 1],
      [3, 2],
      [16, 4],
      [8, 8],
    ] as const) {
      select(t, EEPROM.bus, EEPROM.address, register, length);
      const value = BigInt(
        debugText(t, 'i2c_data')
          .trim()
          .replace(/^(?!0x)/, '0x'),
      );
      const bytes = eeprom().subarray(register, register + length);
      assert.equal(
        value,
        bytes.reduceRight((sum, byte) => (sum << 8n) | BigInt(byte), 0n),
      );
    }
    const before = BigInt(
      debugText(t, 'i2c_data')
        .trim()
        .replace(/^(?!0x)/, '0x'),
    );
    writeDebug(t, 'i2c_data', '0x1122334455667788');
    assert.deepEqual([...eeprom().subarray(8, 16)], [0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11]);
    writeDebug(t, 'i2c_data', before.toString(16));
    assertErrno('EINVAL', () => writeDebug(t, 'i2c_data', 'text'));
  });

  test('where nobody is on the bus, and what is too long for it, is refused', (t) => {
    t.expectMessages(/Failed to (read|write)/, /I2C transaction length \d+, exceeds maximum of 8/);
    forget(t);
    select(t, 7, 0x11, 0, 1);
    assertErrno('EIO', () => debugText(t, 'i2c_data'));
    assertErrno('EIO', () => writeDebug(t, 'i2c_data', '1'));
    for (const length of [9, 255]) {
      select(t, EEPROM.bus, EEPROM.address, 0, length);
      assertErrno('EINVAL', () => debugText(t, 'i2c_data'));
      assertErrno('EINVAL', () => writeDebug(t, 'i2c_data', '0'));
    }
  });

  test('lights are switched by numbers', (t) => {
    for (const name of ['led0', 'led1', 'led2']) {
      for (const text of ['1', '0\n', '42']) writeDebug(t, name, text);
      for (const text of ['on', '0x1', '-1']) assertErrno('EINVAL', () => writeDebug(t, name, text));
      assertErrno('ERANGE', () => writeDebug(t, name, '4294967296'));
    }
  });

  test('monitors are shown as a program has armed them', async (t) => {
    t.expectMessages(/Must write 1 to trigger monitor dump/);
    const { device } = t;
    for (const text of ['0', '2']) assertErrno('EINVAL', () => writeDebug(t, 'monitor_dump_trig', text));
    for (const text of ['yes', '0x1']) assertErrno('EINVAL', () => writeDebug(t, 'monitor_dump_trig', text));
    const manager = device.sync('E_S');
    const [monitor, object] = [manager.monitor(), manager.syncObject()];
    const place = t.use(device.sram.allocate(8));
    await run(
      t,
      DOWN,
      new CommandStream().arm(monitor, { objects: [object], value: 3, write: { place, data: 0x5a5a } }),
    );
    writeDebug(t, 'monitor_dump_trig', '1');
    const dump = debugBytes(t, 'monitor_dump');
    // managers W_S, E_S, W_N, E_N: of each, five registers of 512 monitors (struct cpucp_monitor_dump)
    assert.equal(dump.length, 4 * 5 * 512 * 4);
    const view = new DataView(dump.buffer, dump.byteOffset);
    const registers = [0, 1, 2].map((register) =>
      view.getUint32((1 * 5 * 512 + register * 512 + monitor.index) * 4, true),
    );
    assert.deepEqual(registers, [Number(place.address & 0xffff_ffffn), Number(place.address >> 32n), 0x5a5a]);
    // so that it does not fire some day
    await run(t, DOWN, new CommandStream().add(object, 3));
    await setImmediate();
  });
}

export const debugfs = suite(
  'debugfs',
  'What the driver tells root of programs and of the card in debugfs, and what root sets there.',
  (test) => {
    settings(test);
    programs(test);
    addresses(test);
    firmware(test);
    debugMemory(test);
    debugDevice(test);
    debugStateDump(test);
    debugInput(test);
    debugErrors(test);
  },
);
