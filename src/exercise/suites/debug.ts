/** The debug interface: trace and performance units, as far as a program that looks only at its answers can tell. */

import assert from 'node:assert/strict';
import { traceUnits } from '../../../specs/gaudi/trace-units.ts';
import type { Device } from '../../runtime/device.ts';
import {
  DRM_IOCTL_HL_DEBUG,
  debugOperations,
  hl_debug_params_bmon,
  hl_debug_params_etf,
  hl_debug_params_etr,
  hl_debug_params_spmu,
  hl_debug_params_stm,
} from '../../uapi/habanalabs/debug.ts';
import { type Suite, suite, type TestContext } from '../suite.ts';
import { assertErrno, call, KiB } from './lib.ts';

type Unit = keyof typeof traceUnits | 'ETR' | 'TIMESTAMP';

interface Options {
  readonly unit?: number;
  /** Parameters. */
  readonly input?: Uint8Array;
  /** Bytes of the answer. */
  readonly answer?: number;
}

function trace(device: Device, kind: Unit, enable: boolean, { unit = 0, input, answer = 0 }: Options = {}): Uint8Array {
  return device.debug(`HL_DEBUG_OP_${kind}`, { reg_idx: unit, enable: enable ? 1 : 0 }, input, answer);
}

function mode(device: Device, enable: boolean): void {
  device.debug('HL_DEBUG_OP_SET_MODE', { enable: enable ? 1 : 0 });
}

function words(bytes: Uint8Array): bigint[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  return Array.from({ length: bytes.length / 8 }, (_, i) => view.getBigUint64(i * 8, true));
}

const failed = /debug coresight operation failed/;
/** Sensible parameters of each kind. */
const parameters = {
  STM: hl_debug_params_stm.encode({ he_mask: 0xffn, sp_mask: 1n, id: 3, frequency: 100 }),
  ETF: hl_debug_params_etf.encode({ sink_mode: 2 }),
  FUNNEL: undefined,
  BMON: hl_debug_params_bmon.encode({ addr_mask0: 0xfffn, bw_win: 16, win_capture: 3, id: 5 }),
  SPMU: hl_debug_params_spmu.encode({ event_types: [1n, 2n, 3n], event_types_num: 3 }),
} as const;
const kinds = Object.keys(traceUnits) as (keyof typeof traceUnits)[];
const NOWHERE = 0x1000n;

/** Cycles that a performance monitor counts in at least so many nanoseconds, how many those were, and how many at most. */
function cycles(t: TestContext, ns: number): { readonly count: number; readonly least: number; readonly most: number } {
  const { driver } = t.target;
  const begin = driver.now();
  trace(t.device, 'SPMU', true, { input: parameters.SPMU });
  driver.sleep(ns);
  const [, , , , count = 0n] = words(trace(t.device, 'SPMU', false, { answer: 40 }));
  return { count: Number(count), least: ns, most: driver.now() - begin };
}

/** Numbers of the units; performance monitors that watch what is never idle could count anything. */
function unitsOf(kind: keyof typeof traceUnits): number[] {
  return traceUnits[kind].flatMap((name, unit) => (/^(PCIE|MMU_CS)_SPMU$/.test(name) ? [] : [unit]));
}

/** The same with pointers that are hostile. */
function raw(device: Device, kind: Unit, enable: boolean, pointers: object): void {
  const op = debugOperations[`HL_DEBUG_OP_${kind}`].value;
  call(device, DRM_IOCTL_HL_DEBUG, { op, enable: enable ? 1 : 0, ...pointers });
}

export const debug: Suite = suite('debug', 'Trace and performance units behind the debug interface.', (test) => {
  test('units are touched in debug mode only', (t) => {
    t.expectMessages(/Rejecting debug configuration request/);
    for (const kind of [...kinds, 'ETR', 'TIMESTAMP'] as const)
      assertErrno('EFAULT', () => trace(t.device, kind, false));
  });

  test('debug mode is entered once and left once', (t) => {
    t.expectMessages(/debug mode because device/);
    assertErrno('EFAULT', () => mode(t.device, false));
    mode(t.device, true);
    assertErrno('EFAULT', () => mode(t.device, true));
    mode(t.device, false);
    assertErrno('EFAULT', () => mode(t.device, false));
  });

  test('operations that do not exist are refused, in debug mode or not', (t) => {
    t.expectMessages(/Invalid request/);
    for (const op of [8, 0xffff_ffff]) assertErrno('EINVAL', () => call(t.device, DRM_IOCTL_HL_DEBUG, { op }));
    mode(t.device, true);
    assertErrno('EINVAL', () => call(t.device, DRM_IOCTL_HL_DEBUG, { op: 8 }));
  });

  test('units that do not exist are refused', (t) => {
    t.expectMessages(/Invalid register index/, failed);
    mode(t.device, true);
    for (const kind of kinds) {
      // with parameters that any unit would take
      const input = parameters[kind];
      for (const unit of [traceUnits[kind].length, 0xffff_ffff])
        assertErrno('EINVAL', () => trace(t.device, kind, true, { unit, ...(input ? { input } : {}) }));
    }
  });

  test('a unit that needs parameters is not enabled without', (t) => {
    t.expectMessages(failed);
    mode(t.device, true);
    for (const kind of ['STM', 'ETF', 'ETR', 'BMON', 'SPMU'] as const) {
      assertErrno('EINVAL', () => trace(t.device, kind, true));
      assertErrno('EINVAL', () => raw(t.device, kind, true, { input_ptr: NOWHERE }));
      assertErrno('EINVAL', () => raw(t.device, kind, true, { input_size: 64 }));
    }
  });

  test('parameters and answers that are nowhere are refused', (t) => {
    t.expectMessages(/failed to copy input debug data/, /copy to user failed in debug ioctl/);
    mode(t.device, true);
    const input = { input_ptr: NOWHERE, input_size: 64 };
    for (const kind of ['STM', 'ETF', 'ETR', 'BMON', 'SPMU'] as const)
      assertErrno('EFAULT', () => raw(t.device, kind, true, input));
    // an operation that has no parameters does not look at them
    raw(t.device, 'FUNNEL', true, input);
    raw(t.device, 'TIMESTAMP', true, input);
    // the operation has been done when the answer is copied
    assertErrno('EFAULT', () => raw(t.device, 'SPMU', false, { output_ptr: NOWHERE, output_size: 24 }));
  });

  test('no answer of a unit is longer than was asked for', (t) => {
    mode(t.device, true);
    const answer = t.target.driver.allocate(4 * KiB);
    t.use({ [Symbol.dispose]: () => answer.unmap() });
    const ask = (output_size: number) => {
      trace(t.device, 'SPMU', true, { input: parameters.SPMU });
      answer.bytes.fill(0xa5);
      raw(t.device, 'SPMU', false, { output_ptr: answer.address, output_size });
      const beyond = answer.bytes.subarray(output_size).findIndex((byte) => byte !== 0xa5);
      assert.equal(beyond, -1, `${output_size} bytes were asked for, and byte ${output_size + beyond} is written`);
    };
    for (const size of [24, 40, 64]) ask(size);
  });

  for (const kind of kinds) {
    test(`every ${kind} goes on and off`, (t) => {
      mode(t.device, true);
      const input = parameters[kind];
      unitsOf(kind).forEach((unit) => {
        trace(t.device, kind, true, { unit, ...(input ? { input } : {}) });
      });
      unitsOf(kind).forEach((unit) => {
        trace(t.device, kind, false, { unit, answer: kind === 'SPMU' ? 24 : 0 });
      });
    });
  }

  test('the trace router takes no buffer that is nowhere', (t) => {
    t.expectMessages(/ETR buffer/, failed);
    mode(t.device, true);
    const { base, size } = t.device.dram;
    const refused: readonly (readonly [bigint, bigint])[] = [
      [base, 0n],
      [0n, 4096n],
      [1n << 50n, 4096n],
      [base, 0xffff_ffff_ffff_ffffn],
      [base + size - 4096n, 8192n],
    ];
    for (const [buffer_address, buffer_size] of refused) {
      const input = hl_debug_params_etr.encode({ buffer_address, buffer_size });

      assertErrno('EINVAL', () => trace(t.device, 'ETR', true, { input }));
    }
  });

  test('the trace router tells where it has stopped: at the start when nothing was traced', (t) => {
    mode(t.device, true);
    const places = [
      t.device.allocHost(64 * KiB).deviceAddress,
      t.device.dram.allocate(64 * KiB).address,
      t.device.sram.allocate(4 * KiB).address,
    ];
    for (const [i, address] of places.entries()) {
      const input = hl_debug_params_etr.encode({ buffer_address: address, buffer_size: 4096n });
      const another = hl_debug_params_etr.encode({
        buffer_address: places[(i + 1) % places.length] as bigint,
        buffer_size: 4096n,
      });

      trace(t.device, 'ETR', true, { input });
      // once more changes nothing, not even its buffer
      trace(t.device, 'ETR', true, { input: another });
      assert.deepEqual(words(trace(t.device, 'ETR', false, { answer: 8 })), [address]);
    }
  });

  test('a capture ends with debug mode: the next is to its own buffer', (t) => {
    const { dram } = t.device;
    const [first, second] = [dram.allocate(64 * KiB), dram.allocate(64 * KiB)];
    for (const { address } of [first, second]) {
      mode(t.device, true);
      const input = hl_debug_params_etr.encode({ buffer_address: address, buffer_size: 4096n });
      // would change nothing while one is running
      trace(t.device, 'ETR', true, { input });
      if (address === second.address)
        assert.deepEqual(words(trace(t.device, 'ETR', false, { answer: 8 })), [address], 'where it has stopped');
      mode(t.device, false);
    }
  });

  test('a performance monitor counts three to six events', (t) => {
    t.expectMessages(/event types values for SPMU enable/, failed);
    mode(t.device, true);
    for (const event_types_num of [0, 2, 7, 0xffff_ffff]) {
      const input = hl_debug_params_spmu.encode({ event_types_num });

      assertErrno('EINVAL', () => trace(t.device, 'SPMU', true, { input }));
    }
  });

  test('a performance monitor answers with its counts, the overflows and the cycles', (t) => {
    t.expectMessages(/values for SPMU disable/, failed);
    mode(t.device, true);
    const input = parameters.SPMU;
    trace(t.device, 'SPMU', true, { input });
    t.target.driver.sleep(1_000_000);
    assertErrno('EINVAL', () => trace(t.device, 'SPMU', false));
    // room for two values, or for nine
    for (const answer of [16, 23, 72]) assertErrno('EINVAL', () => trace(t.device, 'SPMU', false, { answer }));
    const counts = words(trace(t.device, 'SPMU', false, { answer: 40 }));
    assert.deepEqual(counts.slice(0, 4), [0n, 0n, 0n, 0n], 'no events and no overflows of an engine that was idle');
    assert.ok((counts[4] as bigint) > 0n, 'cycles');
  });

  test('a performance monitor that is set up anew begins anew', (t) => {
    mode(t.device, true);
    const long = cycles(t, 100_000_000);
    const short = cycles(t, 1_000_000);
    // no clock is faster than the first measurement allows
    const fastest = long.count / long.least;
    assert.ok(short.count <= fastest * short.most + 1, `${short.count} cycles in ${short.most} ns after ${long.count}`);
  });

  test('a performance monitor counts more cycles than 32 bits hold', (t) => {
    mode(t.device, true);
    const short = cycles(t, 10_000_000);
    assert.ok(short.count > 0 && short.count / short.least < 10, `${short.count} cycles: no clock has 10 GHz`);
    // twice as long as that takes, if it is not minutes
    const needed = Math.min((2 ** 33 * short.most) / short.count, 20e9);
    const long = cycles(t, needed);
    const [slowest, fastest] = [short.count / short.most, short.count / short.least];
    assert.ok(long.count >= slowest * long.least * 0.99, `${long.count} cycles, as if some were lost`);
    assert.ok(long.count <= fastest * long.most * 1.01, `${long.count} cycles, as if some were counted twice`);
  });

  test('who closes the card leaves debug mode', (t) => {
    t.expectMessages(/Rejecting debug configuration request/);
    const device = t.open();
    mode(device, true);
    const input = parameters.ETF;
    trace(device, 'ETF', true, { input });
    device.close();
    const again = t.open();
    assertErrno('EFAULT', () => trace(again, 'ETF', false));
    mode(again, true);
  });

  test(
    'each card has a debug mode of its own',
    (t) => {
      mode(t.device, true);
      const other = t.open(1);
      mode(other, true);
      mode(t.device, false);
      trace(other, 'TIMESTAMP', true);
      mode(other, false);
    },
    { devices: 2 },
  );
});
