import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { packets, RC } from '../../specs/gaudi/cpucp.ts';
import { events } from '../../specs/gaudi/events.ts';
import { seed } from '../seed.ts';
import { cpuAddress, HOST, MS, REG, TestHost } from './test-host.ts';

const FENCE = 0xfe8c_e7a5;
const data = BigInt(cpuAddress(HOST.DATA));
const op = (name: keyof typeof packets) => packets[name].opcode;
const eventId = (name: string) => events.find((event) => event.name === name)?.id;

describe('device CPU queue', () => {
  it('is refused with lengths or addresses that cannot be', () => {
    using host = new TestHost().enable().boot('comms');
    assert.equal(host.initQueues({ pqLength: 240 }), 4);
    assert.equal(host.initQueues({ pqLength: 0 }), 4);
    assert.equal(host.initQueues({ eqLength: 96 }), 4);
    assert.equal(host.initQueues({ pq: HOST.PQ }), 5, 'bit 39 is missing');
    assert.equal(host.initQueues({ eq: cpuAddress(HOST.EQ) + 2 ** 40 }), 5, 'more than 40 bits');
    assert.equal(host.initQueues(), 2, 'and taken when the driver does it right');
  });

  it('loses a packet that the host does not have, and serves the next', () => {
    using host = new TestHost().ready();
    for (const [address, length] of [
      [cpuAddress(0x7000_0000), 24],
      [HOST.PACKET, 24],
      [cpuAddress(HOST.PACKET), 23],
      [cpuAddress(HOST.PACKET) + 1, 24],
      [cpuAddress(HOST.PACKET), 0xffff_ffff],
    ] as const) {
      const before = host.errors.length;
      host.submit(address, length);
      host.run(1 * MS);
      assert.equal(host.errors.length, before + 1, `${length} bytes at 0x${address.toString(16)}`);
      assert.equal(host.errors[before]?.category, 'guest');
    }
    assert.equal(host.send(op('TEST'), { value: 7n }).result, 7n);
  });

  it('survives a queue in nowhere', () => {
    using host = new TestHost().enable().boot('comms');
    assert.equal(host.initQueues({ pq: cpuAddress(0x4000_0000) }), 2);
    host.write(REG.PF_PQ_PI, 3);
    host.write(REG.GIC_SETSPI, 484);
    host.run(10 * MS);
    assert.ok(host.errors.length > 0 && host.errors.every((error) => error.category === 'guest'));
    assert.equal(host.initQueues(), 2);
    assert.equal(host.send(op('TEST')).rc, RC.SUCCESS);
  });

  it('tells of a doorbell that nobody can have rung', () => {
    using host = new TestHost().ready();
    host.write(REG.PF_PQ_PI, HOST.PQ_ENTRIES + 1);
    host.write(REG.GIC_SETSPI, 484);
    host.run(1 * MS);
    const event = host.event(0);
    assert.equal(event.id, eventId('PKT_QUEUE_OUT_SYNC'));
    assert.equal(new DataView(event.data.buffer).getUint32(0, true), HOST.PQ_ENTRIES + 1);
  });

  it('answers first and acknowledges last, by one store', () => {
    using host = new TestHost().ready();
    host.writes.length = 0;
    host.send(op('TEST'), { value: 0x1122_3344_5566_7788n });
    assert.deepEqual(
      host.writes.map(({ kind, address, bytes }) => ({ kind, address, length: bytes.length })),
      [
        { kind: 'write', address: HOST.PACKET, length: 12 },
        { kind: 'store32', address: HOST.PACKET + 12, length: 4 },
      ],
    );
  });

  it('acknowledges with the producer index, or with the fence value in the older generation', () => {
    using modern = new TestHost().ready();
    for (let i = 0; i < 3 * HOST.PQ_ENTRIES; i++) {
      const { fence, producer } = modern.send(op('TEST'));
      assert.equal(fence, producer);
    }
    using old = new TestHost({ firmware: 'static' }).ready('static');
    for (let i = 0; i < 3 * HOST.PQ_ENTRIES; i++) assert.equal(old.send(op('TEST')).fence, FENCE);
  });
});

describe('CPU-CP packets', () => {
  it('answers what it does not know with a code, whatever the packet', () => {
    using host = new TestHost().ready();
    const known = new Set<number>(Object.values(packets).map((packet) => packet.opcode));
    for (const opcode of [0, 15, 46, 66, 0x1fff]) {
      assert.ok(!known.has(opcode));
      assert.equal(host.send(opcode).rc, RC.INVALID_PKT, `opcode ${opcode}`);
    }
    fc.assert(
      fc.property(
        fc.constantFrom(...known),
        fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
        fc.nat(0xffff_ffff),
        fc.nat(0xffff_ffff),
        (opcode, value, index, port) => {
          const { rc } = host.send(opcode, { value, index, port });
          assert.ok(rc <= RC.INVALID_PARAMS);
        },
      ),
      { seed: seed(), numRuns: 300 },
    );
    assert.ok(host.errors.every((error) => error.category === 'unimplemented'));
  });

  it('gives information, no more of it than the driver has room for', () => {
    using host = new TestHost().ready();
    host.memory.bytes.fill(0xee, HOST.DATA, HOST.DATA + 2048);
    assert.equal(host.send(op('INFO_GET'), { value: data, index: 1024 }).result, 1024n);
    assert.equal(host.memory.bytes[HOST.DATA + 1024], 0xee);
    assert.equal(host.send(op('INFO_GET'), { value: data, index: 0x6e8 }).result, 1768n);
    const text = (at: number, length: number) =>
      new TextDecoder().decode(host.memory.bytes.slice(HOST.DATA + at, HOST.DATA + at + length)).replace(/\0.*$/s, '');
    assert.match(text(1024, 128), /fw-\S+ /);
    assert.equal(text(1568, 16), 'HL205');
    assert.equal(host.view.getBigUint64(HOST.DATA + 1560, true), 32n * 1024n ** 3n);
    assert.equal(host.send(op('INFO_GET'), { value: BigInt(HOST.DATA), index: 100 }).rc, RC.INVALID_PARAMS);
    assert.equal(
      host.send(op('INFO_GET'), { value: BigInt(cpuAddress(0x7000_0000)), index: 100 }).rc,
      RC.INVALID_PARAMS,
    );
  });

  /** Sensors as hl_build_hwmon_channel_info reads them: kind and flags until a pair of zeros. */
  function sensors(host: TestHost): { kind: number; flags: number }[] {
    host.send(op('INFO_GET'), { value: data, index: 0x6e8 });
    const list: { kind: number; flags: number }[] = [];
    for (let at = HOST.DATA; host.view.getUint32(at, true) !== 0; at += 8) {
      list.push({ kind: host.view.getUint32(at, true), flags: host.view.getUint32(at + 4, true) });
    }
    return list;
  }

  for (const [protocol, shift] of [
    ['comms', 0],
    ['static', 1],
  ] as const) {
    it(`reads every attribute that it says a sensor has (${protocol})`, () => {
      using host = new TestHost({ firmware: protocol }).ready(protocol);
      const get = { 1: op('TEMPERATURE_GET'), 2: op('VOLTAGE_GET'), 3: op('CURRENT_GET'), 4: op('POWER_GET') };
      const list = sensors(host);
      assert.ok(list.length > 0);
      const seen = new Map<number, number>();
      for (const { kind, flags } of list) {
        const index = seen.get(kind) ?? 0;
        seen.set(kind, index + 1);
        for (let attribute = 0; attribute < 32; attribute++) {
          if (!((flags >>> attribute) & 1)) continue;
          // "reset_history" is written; power alone forgets by a get.
          if ([23, 8, 11].includes(attribute - shift) && !(kind === 4 && attribute - shift === 8)) continue;
          const { rc, result } = host.send(get[kind as 1], { index: index | (attribute << 16) });
          assert.equal(rc, RC.SUCCESS, `kind ${kind} sensor ${index} attribute ${attribute}`);
          assert.ok(result < 10n ** 12n);
        }
      }
      assert.equal(host.send(get[1], { index: 99 }).rc, RC.INVALID_PARAMS, 'a sensor that is not there');
      assert.equal(host.send(get[1], { index: 31 << 16 }).rc, RC.INVALID_PARAMS, 'an attribute that is not there');
    });
  }

  it('remembers the offset of a temperature sensor', () => {
    using host = new TestHost().ready();
    const input = () => Number(host.send(op('TEMPERATURE_GET'), { index: 0 }).result);
    const before = input();
    assert.equal(host.send(op('TEMPERATURE_SET'), { index: 19 << 16, value: 5000n }).rc, RC.SUCCESS);
    assert.ok(Math.abs(input() - before - 5000) < 500);
    assert.equal(host.send(op('TEMPERATURE_SET'), { index: 0, value: 1n }).rc, RC.INVALID_PARAMS, 'the input itself');
    assert.equal(host.send(op('FAN_SPEED_GET'), { index: 0 }).rc, RC.INVALID_PARAMS, 'the card has no fan');
  });

  it('takes an offset that its sensors can hold, and no other', () => {
    using host = new TestHost().ready();
    const offset = 19 << 16;
    for (const value of [127_001n, -127_001n, 2n ** 63n - 1n, -(2n ** 63n)])
      assert.equal(
        host.send(op('TEMPERATURE_SET'), { index: offset, value: BigInt.asUintN(64, value) }).rc,
        RC.INVALID_PARAMS,
      );
    assert.equal(host.send(op('TEMPERATURE_GET'), { index: offset }).result, 0n);
    for (const value of [127_000n, -127_000n]) {
      assert.equal(
        host.send(op('TEMPERATURE_SET'), { index: offset, value: BigInt.asUintN(64, value) }).rc,
        RC.SUCCESS,
      );
      assert.equal(BigInt.asIntN(64, host.send(op('TEMPERATURE_GET'), { index: offset }).result), value);
    }
  });

  it('has read nothing that is above the highest, or below the lowest', () => {
    using host = new TestHost().ready();
    const get = (attribute: number) => Number(host.send(op('VOLTAGE_GET'), { index: attribute << 16 }).result);
    for (let i = 0; i < 50; i++) {
      const reading = get(0);
      assert.ok(get(6) <= reading && reading <= get(7), `${get(6)} ${reading} ${get(7)}`);
    }
    assert.equal(host.send(op('VOLTAGE_SET'), { index: 8 << 16 }).rc, RC.SUCCESS);
    assert.equal(get(6), get(7), 'nothing has been read since they were forgotten');
  });

  it('accounts for energy: power times time', () => {
    using host = new TestHost().ready();
    const energy = () => Number(host.send(op('TOTAL_ENERGY_GET')).result);
    const before = energy();
    host.run(10_000 * MS);
    const watts = (energy() - before) / 1e3 / 10;
    const power = Number(host.send(op('POWER_GET'), { index: 8 << 16 }).result) / 1e6;
    assert.ok(Math.abs(watts - power) < 1, `${watts} W by energy, ${power} W by the meter`);
  });

  it('warms up with what it does, up to a limit', () => {
    using host = new TestHost().ready();
    const temperature = () => Number(host.send(op('TEMPERATURE_GET'), { index: 0 }).result);
    const cold = temperature();
    host.run(60_000 * MS);
    const warm = temperature();
    host.run(600_000 * MS);
    assert.ok(warm > cold + 2000);
    assert.ok(Math.abs(temperature() - warm) < 2000);
  });

  it('changes the frequency of a PLL, and tells it in all its ways', () => {
    using host = new TestHost().ready();
    const MME = 5;
    assert.equal(host.send(op('FREQUENCY_GET'), { index: MME }).result, 2_200_000_000n);
    assert.equal(host.send(op('FREQUENCY_SET'), { index: MME, value: 1_999_999_999n }).rc, RC.SUCCESS);
    assert.equal(host.send(op('FREQUENCY_GET'), { index: MME }).result, 1_999_999_999n);
    assert.equal(host.send(op('FREQUENCY_CURR_GET'), { index: MME }).result, 1_950_000_000n, 'multiples of 50 MHz');
    const outputs = host.send(op('PLL_INFO_GET'), { index: MME }).result;
    assert.deepEqual(
      [0n, 16n, 32n, 48n].map((shift) => Number((outputs >> shift) & 0xffffn)),
      [1950, 975, 488, 244],
    );
    assert.equal(host.send(op('FREQUENCY_SET'), { index: MME, value: 1n }).rc, RC.INVALID_PARAMS);
    assert.equal(host.send(op('FREQUENCY_GET'), { index: 9 }).rc, RC.INVALID_PARAMS, 'a PLL of another chip');
    // The numbers of the older generation are those of the user interface: 7 is the MME there.
    using old = new TestHost({ firmware: 'static' }).ready('static');
    assert.equal(old.send(op('FREQUENCY_GET'), { index: 7 }).result, 2_200_000_000n);
  });

  it('measures PCI Express while it waits', () => {
    using host = new TestHost().ready();
    const start = host.clock.now();
    const { result } = host.send(op('PCIE_THROUGHPUT_GET'), { index: 1 });
    assert.ok(host.clock.now() - start >= 10 * MS);
    assert.equal(result, 0n, 'nothing else was read meanwhile');
    assert.equal(host.send(op('PCIE_THROUGHPUT_GET'), { index: 2 }).rc, RC.INVALID_PARAMS);
  });

  it('keeps power limit, LEDs, EEPROM', () => {
    using host = new TestHost().ready();
    assert.equal(host.send(op('MAX_POWER_SET'), { value: 200_000n }).rc, RC.SUCCESS);
    assert.equal(host.send(op('MAX_POWER_GET')).result, 200_000n);
    assert.equal(host.send(op('MAX_POWER_SET'), { value: 10n ** 9n }).rc, RC.INVALID_PARAMS);
    assert.equal(host.send(op('MAX_POWER_GET')).result, 200_000n);
    assert.equal(host.send(op('LED_SET'), { index: 3, value: 1n }).rc, RC.INVALID_PARAMS);
    assert.equal(host.send(op('LED_SET'), { index: 2, value: 1n }).rc, RC.SUCCESS);
    const i2c = (register: number, length: number) => (0x50 << 8) | (register << 16) | (length << 24);
    assert.equal(host.send(op('I2C_WR'), { index: i2c(0x80, 4), value: 0xaabb_ccddn }).rc, RC.SUCCESS);
    assert.equal(host.send(op('I2C_RD'), { index: i2c(0x81, 2) }).result, 0xbbccn);
    assert.equal(host.send(op('I2C_RD'), { index: 0x51 << 8 }).rc, RC.FAULT, 'no device answers');
    assert.equal(host.send(op('EEPROM_DATA_GET'), { value: data, index: 512 }).result, 256n);
    assert.deepEqual([...host.memory.bytes.slice(HOST.DATA + 0x80, HOST.DATA + 0x84)], [0xdd, 0xcc, 0xbb, 0xaa]);
  });

  it('dumps the monitors as their registers are', () => {
    using host = new TestHost().ready();
    // MON_PAY_DATA[3] of W_S, the first manager of the dump.
    host.write(0x49_5000 + 12, 0xcafe_f00d);
    assert.equal(host.send(op('MONITOR_DUMP_GET'), { value: data, index: 40960 }).result, 40960n);
    assert.equal(host.view.getUint32(HOST.DATA + 4 * (2 * 512 + 3), true), 0xcafe_f00d);
  });

  it('passes the versions through, and refuses what it does not know', () => {
    using host = new TestHost().ready();
    assert.equal(host.send(op('GENERIC_PASSTHROUGH'), { value: data, index: 4096, port: 0 }).result, 296n);
    assert.equal(host.view.getUint16(HOST.DATA, true), 296);
    assert.equal(host.send(op('GENERIC_PASSTHROUGH'), { value: data, index: 4096, port: 77 }).rc, RC.INVALID_PARAMS);
  });
});
