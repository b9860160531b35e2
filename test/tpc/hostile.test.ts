/** Programs and descriptors that are wrong: each is an error with a category that names the bundle, and nothing else breaks. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { ModelError } from '../../src/sim/errors.ts';
import { KernelError, TpcCore } from '../../src/tpc/core.ts';
import { FlatMemory, PlainConfig } from '../../src/tpc/flat.ts';
import { seed } from '../seed.ts';
import { assemble, bench, CODE, DATA } from './fixture.ts';

function refused(
  text: string,
  category: string,
  message: RegExp,
  prepare: (b: ReturnType<typeof bench>) => void = () => {},
) {
  const b = bench(text);
  prepare(b);
  assert.throws(
    () => b.run(),
    (error: unknown) => {
      assert.ok(error instanceof KernelError, String(error));
      assert.equal(error.category, category, error.message);
      assert.match(error.message, message);
      return true;
    },
  );
  assert.equal(b.core.status, 'failed');
  assert.equal(b.core.step(), 'failed', 'it does not go on');
  return b;
}

test('scalar local memory has 1 KiB, in words', () => {
  const b = refused('ld_l S1, 0x3fe; nop; nop; nop', 'guest', /bundle 0x1000 load.ld_l: .*0x3fe exceeds/);
  assert.deepEqual(b.interrupts, ['address_exceed_slm']);
  refused('ld_l S1, 0x102; nop; nop; nop', 'undefined', /multiple of 4/);
  refused('nop; nop; nop; st_l 0x400, S1', 'guest', /exceeds/);
});

test('vector local memory ends at 80 KiB, at 16 KiB with lookup tables', () => {
  refused('ld_l_v V1, 0x14000; nop; nop; nop', 'guest', /81920 bytes/);
  refused('nop; nop; nop; st_l_v 0x4000, V1', 'guest', /16384 bytes/, (b) => b.config.write(0x7b8, 1));
  refused('ld_l_v V1, 0x80; nop; nop; nop', 'undefined', /multiple of 256/);
});

test('a tensor that does not exist, a descriptor that lies about its size', () => {
  refused('nop; mov.i32 S27, 16; nop; nop\nld_tnsr V1, S27, I2; nop; nop; nop', 'guest', /tensor 16/);
  refused('ld_tnsr V1, 0, I2; nop; nop; nop', 'guest', /nothing to read/, (b) =>
    b.config.setTensor(0, { base: DATA, type: 'f32', sizes: [1 << 20] }),
  );
  refused('nop; nop; nop; st_tnsr 0, I2, V1', 'guest', /nothing to write/, (b) =>
    b.config.setTensor(0, { base: 2 ** 47, type: 'f32', sizes: [64] }),
  );
  refused('ld_tnsr V1, 0, I2; nop; nop; nop', 'undefined', /stride is 2/, (b) =>
    b.config.setTensor(0, { base: DATA, type: 'f32', sizes: [64], strides: [2] }),
  );
});

test('a jump to nowhere, into a bundle, and off the end', () => {
  refused(
    'nop; jmpr 0x100000; nop; nop\nnop; nop; nop; nop\nnop; halt; nop; nop',
    'guest',
    /0x101000: the program went where there is no memory/,
  );
  refused('nop; jmpr 16; nop; nop\nnop; nop; nop; nop\nnop; halt; nop; nop', 'guest', /no bundle/);
  const memory = new FlatMemory();
  memory.add(CODE, assemble('nop; nop; nop; nop'));
  const core = new TpcCore({ memory, config: new PlainConfig() });
  core.start({ pc: CODE });
  assert.throws(() => core.run(10), /bundle 0x1020: the program went/);
});

test('work for other slots than the VPU in the shadow of a taken jump', () => {
  refused(
    'nop; jmpr 64; nop; nop\nnop; mov.i32 S1, 1; nop; nop\nnop; halt; nop; nop',
    'undefined',
    /after a taken jump/,
  );
});

test('a program that never ends: the budget is used up, and where it spins is told', () => {
  const b = bench(
    'nop; nop; nop; nop\nl: nop; nop; nop; nop\nnop; jmpr l; nop; nop\nnop; nop; nop; nop\nnop; halt; nop; nop',
  );
  b.core.start({ pc: CODE });
  assert.equal(b.core.run(1000), 'ready');
  assert.deepEqual(b.core.spinning, { from: CODE + 0x20, to: CODE + 0x40 });
  assert.equal(b.core.run(1000), 'ready', 'and it may go on');
});

test('loops nest four deep, and do not begin in the delay slot of another', () => {
  const nest = (n: number) =>
    `${Array.from({ length: n }, (_, d) => `loop 0, 2, 1, <, e${d}\nnop; nop; nop; nop\n`).join('')}nop; nop; nop; nop\n${Array.from(
      { length: n },
      (_, d) => `nop; nop; nop; nop\ne${n - 1 - d}:\n`,
    ).join('')}nop; halt; halt; nop`;
  assert.doesNotThrow(() => bench(nest(4)).run());
  refused(nest(5), 'guest', /4 deep/);
});

test('what is not known is refused, not guessed', () => {
  refused('nop; add.i32.carry S1, S2, S3; nop; nop', 'undefined', /carry/);
  refused('nop; nop; add.f32 V1, V2, V3; nop', 'undefined', /ROUND_CSR/, (b) => b.config.write(0x8fc, 5));
});

test('an illegal bundle raises its interrupt cause and names its address', () => {
  const memory = new FlatMemory();
  memory.add(CODE, new Uint8Array(64).fill(0xff));
  const causes: string[] = [];
  const core = new TpcCore({ memory, config: new PlainConfig(), onInterrupt: (cause) => causes.push(cause) });
  core.start({ pc: CODE });
  assert.throws(
    () => core.step(),
    (error: unknown) => error instanceof KernelError && error.pc === CODE,
  );
  assert.deepEqual(causes, ['illegal_instruction']);
  assert.throws(() => core.start({ pc: CODE + 1 }), ModelError);
  assert.throws(() => core.start({ pc: CODE, srf: new Array(33).fill(0) }), /33 scalar parameters/);
});

test('random bytes as a program: an error with a category, or an end, never anything else', () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 32, maxLength: 256 }), (bytes) => {
      const memory = new FlatMemory();
      memory.add(0, bytes);
      const core = new TpcCore({ memory, config: new PlainConfig() });
      core.start({ pc: 0 });
      try {
        core.run(100);
      } catch (error) {
        if (!(error instanceof ModelError)) throw error;
      }
    }),
    { seed: seed(), numRuns: 500 },
  );
});
