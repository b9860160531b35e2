import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { syncManager } from '../../specs/gaudi/registers/sync-manager.ts';
import { SyncManager } from '../../src/gaudi/sync-manager.ts';
import { seed } from '../seed.ts';
import { CFG_BASE, chip, HOST_BASE, SRAM_BASE } from './bus-fixture.ts';

function manager(delay?: () => number) {
  const c = chip();
  const interrupts: { cause: number; log: number }[] = [];
  const refused: Error[] = [];
  const sm = new SyncManager('E_N', {
    clock: c.clock,
    bus: c.bus,
    ...(delay && { delay }),
    onInterrupt: (cause, log) => interrupts.push({ cause, log }),
    onError: (error) => refused.push(error),
  });
  const write = (name: keyof typeof syncManager.rows, index: number, value: number) =>
    sm.registers.write32(sm.registers.offsetOf(name, index), value >>> 0);
  const read = (name: keyof typeof syncManager.rows, index: number) =>
    sm.registers.read32(sm.registers.offsetOf(name, index));
  /** A monitor that writes `value` to a register of its own. */
  const arm = (
    monitor: number,
    { group, mask = 0, equal = false, value }: { group: number; mask?: number; equal?: boolean; value: number },
    address = CFG_BASE + 0x1000 + monitor * 4,
  ) => {
    write('MON_PAY_ADDRL', monitor, address % 2 ** 32);
    write('MON_PAY_ADDRH', monitor, Math.floor(address / 2 ** 32));
    write('MON_PAY_DATA', monitor, 0x100 + monitor);
    write('MON_ARM', monitor, group + mask * 256 + (equal ? 0x1_0000 : 0) + value * 2 ** 17);
  };
  /** Monitors that have fired, in order. */
  const fired = () => {
    c.clock.runUntil();
    return c.registers.map(({ value }) => value - 0x100);
  };
  return { ...c, sm, interrupts, refused, write, read, arm, fired };
}

/** The mask with which only these of the eight objects take part. */
const only = (...objects: number[]) => objects.reduce((mask, o) => mask & ~(1 << o), 0xff);

test('an unaligned payload address is an error and not a write', () => {
  const m = manager();
  m.arm(3, { group: 0, mask: only(0), value: 0 }, CFG_BASE + 0x1002);
  assert.deepEqual(m.fired(), []);
  assert.deepEqual(m.interrupts, [{ cause: 1, log: 0xfc00_1002 }]);
});

test('a payload for nowhere, or for host memory that is not its own, is a response error', () => {
  for (const address of [SRAM_BASE - 8, HOST_BASE + 0x1000, 2 ** 50]) {
    const m = manager();
    m.tables.enable(0);
    m.arm(3, { group: 0, mask: only(0), value: 0 }, address);
    assert.deepEqual(m.fired(), []);
    assert.deepEqual(m.interrupts, [{ cause: 2, log: 0 }]);
    assert.equal(m.host.stores.length, 0);
    assert.equal(m.sm.busy(), false);
  }
});

test('an addition beyond 15 bits is an error that names the group', () => {
  const m = manager();
  m.write('SOB_OBJ', 43, 0x7fff);
  m.write('SOB_OBJ', 43, 0x8000_0001);
  assert.deepEqual(m.interrupts, [{ cause: 0, log: 5 }]);
});

test('sync objects count as a 15-bit register does, whatever is written', () => {
  fc.assert(
    fc.property(
      fc.array(fc.record({ index: fc.constantFrom(0, 1, 8, 2047), value: fc.nat(0xffff_ffff) }), { maxLength: 60 }),
      (writes) => {
        const m = manager();
        const expected = new Map<number, number>();
        let overflows = 0;
        for (const { index, value } of writes) {
          m.write('SOB_OBJ', index, value);
          const sum = (value >= 0x8000_0000 ? (expected.get(index) ?? 0) : 0) + (value % 0x8000);
          // operands from 0x4000 may be negative numbers: what they do is reported as no error
          if (sum > 0x7fff && value % 0x8000 < 0x4000) overflows++;
          expected.set(index, sum % 0x8000);
        }
        for (const [index, value] of expected) assert.equal(m.read('SOB_OBJ', index), value);
        assert.equal(m.interrupts.length, overflows);
      },
    ),
    { seed: seed() },
  );
});

test('>= fires at and above its value, == at it only', () => {
  const m = manager();
  m.arm(0, { group: 2, mask: only(1), value: 5 });
  m.arm(1, { group: 2, mask: only(1), value: 5, equal: true });
  m.write('SOB_OBJ', 17, 4);
  assert.deepEqual(m.fired(), []);
  m.write('SOB_OBJ', 17, 6);
  assert.deepEqual(m.fired(), [0]);
  m.write('SOB_OBJ', 17, 5);
  assert.deepEqual(m.fired(), [0, 1]);
});

test('a monitor fires once, says when it is armed, and again only when it is armed again', () => {
  const m = manager();
  m.arm(7, { group: 0, mask: only(0, 2), value: 1 });
  assert.equal(m.read('MON_STATUS', 7), 0b101 * 2 + 1);
  m.write('SOB_OBJ', 0, 1);
  assert.equal(m.read('MON_STATUS', 7), 0b100 * 2 + 1);
  m.write('SOB_OBJ', 2, 1);
  assert.equal(m.read('MON_STATUS', 7), 0);
  m.write('SOB_OBJ', 0, 0x8000_0001);
  assert.deepEqual(m.fired(), [7]);
  m.write('MON_ARM', 7, only(0) * 256 + 1 * 2 ** 17);
  assert.deepEqual(m.fired(), [7, 7]);
});

test('a monitor whose condition already holds fires when it is armed', () => {
  const m = manager();
  m.write('SOB_OBJ', 9, 3);
  m.arm(511, { group: 1, mask: only(1), value: 3 });
  assert.deepEqual(m.fired(), [511]);
});

test('disarming by MON_STATUS, as the driver cleans up, keeps it quiet', () => {
  const m = manager();
  m.arm(4, { group: 0, mask: only(0), value: 1 });
  m.write('MON_STATUS', 4, 0);
  m.write('SOB_OBJ', 0, 1);
  assert.deepEqual(m.fired(), []);
});

test('arming again for another group forgets the first', () => {
  const m = manager();
  m.arm(4, { group: 0, mask: only(0), value: 1 });
  m.arm(4, { group: 1, mask: only(0), value: 1 });
  m.write('SOB_OBJ', 0, 1);
  assert.deepEqual(m.fired(), []);
  m.write('SOB_OBJ', 8, 1);
  assert.deepEqual(m.fired(), [4]);
});

test('the payload is that of the time of firing, and messages leave in order however late each is', () => {
  const delays = [900, 0, 50];
  const m = manager(() => delays.shift() ?? 0);
  for (const monitor of [30, 10, 20]) m.arm(monitor, { group: 0, mask: only(0), value: monitor === 20 ? 2 : 1 });
  m.write('SOB_OBJ', 0, 1);
  m.write('MON_PAY_DATA', 10, 0x1ff);
  m.write('SOB_OBJ', 0, 2);
  assert.equal(m.sm.busy(), true);
  assert.deepEqual(m.fired(), [10, 30, 20]);
  assert.equal(m.sm.busy(), false);
});

test('a message to a sync object of the same manager may satisfy the next monitor', () => {
  const m = manager();
  m.cfg.write32 = (offset, value) => m.sm.registers.write32(offset - 0x4f_1000, value);
  const sob = (index: number) => CFG_BASE + 0x4f_2000 + index * 4;
  m.arm(0, { group: 0, mask: only(0), value: 1 }, sob(8));
  m.arm(1, { group: 1, mask: only(0), value: 0x100 }, sob(16));
  m.write('SOB_OBJ', 0, 1);
  m.clock.runUntil();
  assert.equal(m.read('SOB_OBJ', 16), 0x101);
});

test('reset in front of a late message: it is not written, and everything is as new', () => {
  const m = manager(() => 1000);
  m.arm(0, { group: 0, mask: only(0), value: 1 });
  m.arm(1, { group: 0, mask: only(1), value: 1 });
  m.write('SOB_OBJ', 0, 1);
  m.clock.runUntil(500);
  m.sm.reset();
  assert.equal(m.sm.busy(), false);
  assert.deepEqual(m.fired(), []);
  assert.deepEqual([m.read('SOB_OBJ', 0), m.read('MON_STATUS', 1), m.read('MON_PAY_DATA', 1)], [0, 0, 0]);
  m.write('SOB_OBJ', 1, 1);
  assert.deepEqual(m.fired(), []);
  m.arm(2, { group: 0, mask: only(1), value: 1 });
  assert.deepEqual(m.fired(), [2], 'it works again');
});

test('a message that resets its own sync manager ends the messages before the reset, not those after', () => {
  const m = manager();
  const note = m.cfg.write32;
  m.cfg.write32 = () => {
    m.sm.reset();
    m.cfg.write32 = note;
    m.arm(5, { group: 0, mask: only(0), value: 0 });
  };
  m.arm(0, { group: 0, mask: only(0), value: 1 });
  m.arm(1, { group: 0, mask: only(0), value: 1 });
  m.write('SOB_OBJ', 0, 1);
  assert.deepEqual(m.fired(), [5]);
});

test('any run of writes fires the monitors that a plain reading of the rules fires', () => {
  const monitorRange = fc.nat(3);
  const objectRange = fc.nat(15);
  const step = fc.oneof(
    fc.record({ kind: fc.constant('set' as const), object: objectRange, value: fc.nat(4) }),
    fc.record({ kind: fc.constant('add' as const), object: objectRange, value: fc.nat(2) }),
    fc.record({
      kind: fc.constant('arm' as const),
      monitor: monitorRange,
      group: fc.nat(1),
      mask: fc.nat(255),
      equal: fc.boolean(),
      value: fc.nat(4),
    }),
    fc.record({ kind: fc.constant('disarm' as const), monitor: monitorRange }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
      const m = manager();
      const objects = new Array(16).fill(0);
      const monitors: ({ group: number; equal: boolean; value: number; waiting: Set<number> } | undefined)[] = [];
      const expected: number[] = [];
      for (const s of steps) {
        if (s.kind === 'arm') {
          m.arm(s.monitor, s);
          const waiting = new Set([0, 1, 2, 3, 4, 5, 6, 7].filter((i) => (s.mask & (1 << i)) === 0));
          monitors[s.monitor] = { ...s, waiting };
          settle(s.group, undefined);
        } else if (s.kind === 'disarm') {
          m.write('MON_STATUS', s.monitor, 0);
          monitors[s.monitor] = undefined;
        } else {
          m.write('SOB_OBJ', s.object, s.kind === 'add' ? 0x8000_0000 + s.value : s.value);
          objects[s.object] = s.kind === 'add' ? objects[s.object] + s.value : s.value;
          settle(Math.floor(s.object / 8), s.object % 8);
        }
      }
      assert.deepEqual(m.fired(), expected);

      function settle(group: number, object: number | undefined): void {
        for (let i = 0; i < 4; i++) {
          const monitor = monitors[i];
          if (!monitor || monitor.group !== group) continue;
          for (const waiting of monitor.waiting) {
            if (object !== undefined && waiting !== object) continue;
            const value = objects[group * 8 + waiting];
            if (monitor.equal ? value === monitor.value : value >= monitor.value) monitor.waiting.delete(waiting);
          }
          if (monitor.waiting.size > 0) continue;
          expected.push(i);
          monitors[i] = undefined;
        }
      }
    }),
    { seed: seed(), numRuns: 300 },
  );
});
