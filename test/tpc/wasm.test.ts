/** Compiled loops against the interpreter: the same registers, memory, cycles and counts, bit for bit. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { TpcCore } from '../../src/tpc/core.ts';
import { FlatMemory, PlainConfig } from '../../src/tpc/flat.ts';
import { LFSR, SCALAR_LFSR, SLM, SLM_BYTES } from '../../src/tpc/layout.ts';
import type { ActiveLoop } from '../../src/tpc/loops.ts';
import { Arena } from '../../src/tpc/wasm/arena.ts';
import { remainingRounds } from '../../src/tpc/wasm/compiler.ts';
import { seed } from '../seed.ts';
import { assemble, CODE, DATA } from './fixture.ts';

const ELEMENTS = 64 * 24;

interface Outcome {
  readonly registers: Uint8Array;
  readonly memory: Uint8Array;
  readonly statistics: unknown;
  readonly compiledRounds: number;
  readonly streamedRounds: number;
}

/** Runs a program on vectors and tensors filled from `words`. */
function outcome(text: string, words: Uint32Array, compile: boolean, rounds: number): Outcome {
  const memory = new FlatMemory();
  const config = new PlainConfig();
  memory.add(CODE, assemble(`${text}\nnop; halt; halt; nop`));
  // Compiled code finds some tensors in its own memory, and others not.
  const arena = compile && rounds % 2 ? new Arena(12 * ELEMENTS) : undefined;
  const data = arena?.bytes ?? new Uint8Array(12 * ELEMENTS);
  new Uint32Array(data.buffer, data.byteOffset, 3 * ELEMENTS).forEach((_, n, all) => {
    all[n] = words[(n * 7) % words.length] as number;
  });
  memory.add(DATA, data);
  for (const t of [0, 1, 2])
    config.setTensor(t, { base: DATA + 4 * ELEMENTS * t, type: 'f32', sizes: [ELEMENTS - 10], padding: 0x40000000 });
  const core = new TpcCore({ memory, config }, arena ? { compile, arena } : { compile });
  core.start({ pc: CODE, srf: [0, rounds, 5, 0x3fc00000, 0xfffffff0, 0, 0, 0, 0, 0, 0x200] });
  for (let v = 1; v < 12; v++) {
    const vector = core.state.vector(v);
    new Uint32Array(vector.buffer, vector.byteOffset, 64).forEach((_, lane, all) => {
      all[lane] = words[(v * 64 + lane) % words.length] as number;
    });
  }
  assert.equal(core.run(1_000_000), 'halted');
  const all = core.state.bytes;
  return {
    registers: Uint8Array.from([
      ...all.subarray(0, LFSR),
      ...all.subarray(LFSR + 1280, SCALAR_LFSR),
      ...all.subarray(SLM, SLM + SLM_BYTES),
    ]),
    memory: data.slice(),
    statistics: core.statistics,
    compiledRounds: core.compiledRounds,
    streamedRounds: core.streamedRounds,
  };
}

/** Bits of all kinds of f32: numbers of like size, infinities, NaNs, denormals, and anything. */
const word = fc.oneof(
  fc.nat(0xffffffff),
  fc.constantFrom(
    0,
    0x80000000,
    0x7f800000,
    0xff800000,
    0x7fc00000,
    0x7f800001,
    0xffffffff,
    1,
    0x807fffff,
    0x00800000,
    0x7f7fffff,
  ),
  fc.float({ noNaN: true, min: -4, max: 4 }).map((x) => new Uint32Array(Float32Array.of(x).buffer)[0] as number),
  fc
    .float({ noNaN: true, min: Math.fround(-1e-30), max: Math.fround(1e-30) })
    .map((x) => new Uint32Array(Float32Array.of(x).buffer)[0] as number),
);
const words = fc.array(word, { minLength: 97, maxLength: 97 }).map((list) => Uint32Array.from(list));

const v = fc.integer({ min: 1, max: 11 }).map((n) => `V${n}`);
const vs = fc.oneof(v, fc.constantFrom('S2', 'S3', 'S4', '0x3f000000', '7', '0x80000000', '0x7f800001'));
const vpu = fc.oneof(
  fc.tuple(
    fc.constantFrom('add.f32', 'sub.f32', 'mul.f32', 'max.f32', 'min.f32', 'mac.f32', 'mac.f32.neg', 'sub.f32.neg'),
    v,
    v,
    vs,
  ),
  fc.tuple(
    fc.constantFrom(
      'add.i32',
      'sub.i32',
      'add.u32',
      'max.i32',
      'min.u32',
      'max.u32',
      'and.i32',
      'or.u32',
      'xor.f32',
      'or.i8',
      'and.bf16',
    ),
    v,
    v,
    vs,
  ),
  fc.tuple(
    fc.constantFrom('sel_less.f32', 'sel_geq.f32', 'sel_eq.i32', 'sel_grt.u32', 'sel_neq.f32', 'sel_leq.i32'),
    v,
    v,
    v,
    v,
    v,
  ),
  fc.tuple(
    fc.constantFrom('shl.i32', 'shr.i32', 'shr.f32', 'ash.i32', 'ash.u32', 'shl.u32'),
    v,
    v,
    fc.constantFrom('3', '31', '-1', '-31', '40', 'S2', 'V3'),
  ),
  fc.tuple(
    fc.constantFrom(
      ...['rhne', 'rz', 'rd', 'ru', 'default'].flatMap((rm) => [
        `convert.f32 target_type=int32 ${rm}`,
        `convert.f32 target_type=uint32 ${rm}`,
      ]),
      'convert.i32 target_type=fp32 rhne',
      'convert.u32 target_type=fp32 rhne',
      'convert.i32 target_type=fp32 rd',
      'abs.f32',
      'abs.i32',
    ),
    v,
    v,
  ),
  fc.tuple(fc.constantFrom('mov.f32'), v, v),
  fc.tuple(fc.constantFrom('mov.i32'), v, fc.constantFrom('S2', '9')),
  fc.tuple(
    fc.constantFrom('cmp_less.f32', 'cmp_neq.f32', 'cmp_geq.i32', 'cmp_grt.u32', 'cmp_eq.f32', 'cmp_leq.i8'),
    fc.constantFrom('VP1', 'VP2'),
    v,
    vs,
  ),
  fc.tuple(
    fc.constantFrom('add.f32', 'mac.f32', 'max.f32', 'sub.i32', 'and.u32', 'xor.i8', 'mul.f32'),
    v,
    v,
    vs,
    fc.constantFrom('VP1', '!VP2', 'VP0', 'SP2', '!SP2'),
  ),
  fc.tuple(
    fc.constantFrom('mov.f32', 'mov.i32', 'mov.u32'),
    v,
    fc.oneof(v, fc.constantFrom('S3', '7')),
    fc.constantFrom('VP1', '!VP2', '!SP2'),
  ),
  fc.tuple(
    fc.constantFrom('convert.f32 target_type=int32 rz', 'abs.f32', 'convert.i32 target_type=fp32 rhne'),
    v,
    v,
    fc.constantFrom('VP1', '!VP2', '!SP2'),
  ),
  fc.tuple(
    fc.constantFrom(
      'mov_g g_en=1 dg_en=6',
      'mov_dg all sdg0=2 weg0=1 sdg1=3 weg1=2 sdg2=0 weg2=3 sdg3=1 weg3=0',
      'mov_dg src=1 dst=2 wr_lg=1 wr_ug=1',
    ),
    v,
    v,
    fc.constantFrom('-1', '0xff00ff00', '0x0f'),
  ),
  fc.tuple(
    fc.constantFrom(
      'pack.bf16 source_group=0 element_stride=2',
      'pack.i8 source_group=1 element_stride=4',
      'unpack.bf16 source_group=0 element_stride=2',
      'unpack.i8 source_group=1 element_stride=4 group_half=1',
    ),
    v,
    v,
  ),
  // These are done by their bodies.
  fc.constantFrom(
    ['cmp_less.f32', 'VP1', 'V1', 'V2'],
    ['add.f32', 'V3', 'V1', 'V2', 'VP1'],
    ['add.f32', 'V4', 'V3', 'V2', '!SP2'],
    ['popcnt.u32 set=1', 'V5', 'V6'],
    ['convert.bf16 target_type=fp32 rhne', 'D8', 'V1'],
    ['convert.f32 all_lanes target_type=bf16 rz', 'V7', 'D2'],
    ['convert.f32 all_lanes target_type=bf16 rhne', 'V7', 'D2'],
    ['convert.f32 all_lanes target_type=bf16 rhne', 'V2', 'D2'],
    ['convert.f32 target_type=bf16 lane_sel=0 rhne', 'V4', 'V5'],
    ['convert.f32 target_type=bf16 lane_sel=1 rhne', 'V4', 'V5'],
    ['convert.bf16 target_type=fp32 rz', 'D2', 'V3'],
    ['mac.bf16.acc_fp32.neg', 'D6', 'V1', 'V2'],
    ['mul.f32', 'V1', 'V1', 'V2'],
    ['mac.bf16.acc_fp32', 'D10', 'V1', 'V2'],
    ['shuffle.i8', 'V3', 'V4', 'V5'],
    ['mov_g g_en=3 dg_en=5', 'V2', 'V1', '0xff00ff00'],
    ['extract_exp.f32', 'V9', 'V3'],
  ),
);
const slot = (parts: readonly string[]) => `${parts[0]} ${parts.slice(1).join(', ')}`;
const load = fc.constantFrom(
  'nop',
  'ld_tnsr V1, 0, I2',
  'ld_tnsr V2, 1, I3',
  'mov V5, V6',
  'ld_l_v V6, S10',
  'gen_addr AD1, 1, I5',
  'ld_g S11, AD1',
  'ld_tnsr V1, 0, I2, SP2',
);
const store = fc.constantFrom('nop', 'nop', 'st_tnsr 2, I4, V3', 'st_tnsr 2, I4, V7', 'st_l_v S10, V4', 'st_g AD1, S7');
/** No immediates here: a bundle has only one, which the vector unit may use. */
const spu = fc.constantFrom(
  'nop',
  'add.i32 b00001 I2, S6, I2',
  'add.i32 b00001 I3, S6, I3',
  'add.i32 b00001 I4, S6, I4',
  'add.i32 S7, S7, S32',
  'xor.u32 S8, S7, S4',
  'cmp_less.i32 SP2, S7, S2',
  'mov.i32 S9, S32',
);
/** Selections use operand fields that they share with LOAD and STORE, which share their predicate. */
const bundle = fc.tuple(load, spu, fc.oneof(vpu.map(slot), fc.constant('nop')), store).map(([l, s, x, t]) => {
  if (/^(sel|mov_|pack|unpack)/.test(x)) return `nop; ${s}; ${x}; nop`;
  if (l.endsWith('SP2')) return `${l}; ${s}; ${x}; nop`;
  return `${l}; ${s}; ${x}; ${/^(ld_g|ld_l)/.test(l) && /^st_[gl]/.test(t) ? 'nop' : t}`;
});

const nops = (n: number) => 'nop; nop; nop; nop\n'.repeat(n);
const NOPS = nops(6);
const program = (bundles: readonly string[], padding = 6) =>
  `gen_addr AD1, 0, I5; mov.i32 S6, 64; nop; nop\n${NOPS}loop 0, S1, 1, <, end\nnop; nop; nop; nop\n${bundles.map((line) => `${line}\n${nops(padding)}`).join('')}end:`;

test('random loops: compiled and interpreted agree in every bit', () => {
  let compiled = 0;
  fc.assert(
    fc.property(
      fc.array(bundle, { minLength: 1, maxLength: 5 }),
      words,
      fc.integer({ min: 1, max: 30 }),
      fc.constantFrom(0, 1, 2, 3, 6, 6, 6),
      (bundles, bits, rounds, padding) => {
        const text = program(bundles, padding);
        const want = outcome(text, bits, false, rounds);
        const got = outcome(text, bits, true, rounds);
        assert.deepEqual(got.statistics, want.statistics);
        assert.deepEqual(got.memory, want.memory);
        assert.deepEqual(got.registers, want.registers);
        compiled += got.compiledRounds;
      },
    ),
    { seed: seed(), numRuns: 150 },
  );
  assert.ok(compiled > 500, `only ${compiled} rounds were compiled`);
});

/** Bodies that only move tensors through arithmetic; vectors go out of bounds, stores meet, tensors are read and written. */
const streaming = fc.tuple(
  fc.constantFrom('nop', 'ld_tnsr V1, 0, I2', 'ld_tnsr V2, 1, I3', 'ld_tnsr V2, 1, I3', 'mov V5, V6'),
  fc.constantFrom('nop', 'add.i32 b00001 I2, S6, I2', 'add.i32 b00001 I4, S6, I4', 'add.i32 b00001 I5, S2, I5'),
  fc
    .oneof(vpu.map(slot), fc.constant('mac.f32 V7, V1, V2'))
    .filter((x) => !/bf16|shuffle|mov_|pack|VP|SP|popcnt|extract|abs.i32|fp32 rd|V2, V3$|, S2$/.test(x)),
  fc.constantFrom('nop', 'st_tnsr 2, I4, V3', 'st_tnsr 2, I5, V7'),
);
const streamingLines = streaming.map(([l, s, x, t]) =>
  x.startsWith('sel') ? `nop; ${s}; ${x}; nop` : `${l}; ${s}; ${x}; ${t}`,
);

test('random streams: compiled and interpreted agree in every bit', () => {
  let streamed = 0;
  fc.assert(
    fc.property(
      fc.array(streamingLines, { minLength: 1, maxLength: 5 }),
      words,
      fc.integer({ min: 4, max: 15 }),
      fc.boolean(),
      (lines, bits, half, both) => {
        const first = 'ld_tnsr V1, 0, I2; add.i32 b00001 I4, S6, I4; nop; nop';
        // Reading what is written: another order of chunks would show.
        const text = program([first, ...(both ? ['ld_tnsr V4, 2, I4; nop; nop; nop'] : []), ...lines]);
        const rounds = 2 * half + 1;
        const want = outcome(text, bits, false, rounds);
        const got = outcome(text, bits, true, rounds);
        assert.deepEqual(got.statistics, want.statistics);
        assert.deepEqual(got.memory, want.memory);
        assert.deepEqual(got.registers, want.registers);
        streamed += got.streamedRounds;
      },
    ),
    { seed: seed(), numRuns: 150 },
  );
  assert.ok(streamed > 300, `only ${streamed} rounds were streams`);
});

/** Numbers whose sums and products are near the least normal number, beside others. */
const small = fc.oneof(
  {
    weight: 3,
    arbitrary: fc
      .integer({ min: 1, max: 60 })
      .chain((e) => fc.nat(0x80ffffff).map((m) => ((m & 0x807fffff) | (e << 23)) >>> 0)),
  },
  {
    weight: 3,
    arbitrary: fc
      .integer({ min: 80, max: 134 })
      .chain((e) => fc.nat(0x80ffffff).map((m) => ((m & 0x80700000) | (e << 23)) >>> 0)),
  },
  { weight: 1, arbitrary: word },
);
const computing = fc
  .tuple(
    fc.constantFrom(
      'add.f32',
      'sub.f32',
      'mul.f32',
      'max.f32',
      'min.f32',
      'mac.f32',
      'mac.f32',
      'mac.f32.neg',
      'mov.f32',
    ),
    v,
    v,
    fc.oneof(v, fc.constantFrom('S3', 'S4', '0', '0x80000000', '0x3f000000', '0x00800000', '0x7f800001', '0x7f800000')),
  )
  .map(([name, to, a, b]) =>
    name === 'mov.f32' ? `nop; nop; ${name} ${to}, ${a}; nop` : `nop; nop; ${name} ${to}, ${a}, ${b}; nop`,
  );

test('random loops that only compute: compiled and interpreted agree in every bit, denormals included', () => {
  let resident = 0;
  fc.assert(
    fc.property(
      fc.array(computing, { minLength: 1, maxLength: 6 }),
      fc
        .array(fc.oneof(small, small, fc.constant(0)), { minLength: 97, maxLength: 97 })
        .map((list) => Uint32Array.from(list)),
      fc.boolean(),
      fc.constantFrom('nop; add.i32 S7, S7, S32; nop; nop', 'nop; nop; nop; nop'),
      fc.integer({ min: 4, max: 30 }),
      (lines, bits, large, scalar, rounds) => {
        // Without small numbers among them it can be proven that no result is denormal.
        const all = large ? bits.map((each) => (((each >>> 23) & 0xff) < 100 ? each & 0x80000000 : each)) : bits;
        const text = program([...lines, scalar]);
        const want = outcome(text, all, false, rounds);
        const got = outcome(text, all, true, rounds);
        assert.deepEqual(got.statistics, want.statistics);
        assert.deepEqual(got.registers, want.registers);
        resident += got.streamedRounds;
      },
    ),
    { seed: seed(), numRuns: 100 },
  );
  assert.ok(resident > 700, `only ${resident} rounds stayed in registers`);
});

test('stores of a round that lie one over the other are done in their order', () => {
  const bits = Uint32Array.from({ length: 97 }, (_, n) => 0x3f800000 + n * 1001);
  const lines = (distance: string) => [
    `ld_tnsr V1, 0, I2; add.i32 b00001 I5, ${distance}, I4; nop; nop`,
    'nop; add.i32 b00001 I2, S6, I2; add.f32 V3, V1, V2; nop',
    'nop; nop; nop; st_tnsr 2, I4, V3',
    'nop; nop; nop; st_tnsr 2, I5, V1',
    'nop; add.i32 b00001 I4, S6, I4; nop; nop',
  ];
  for (const [distance, streams] of [
    ['0', false],
    ['5', false],
    ['63', false],
    ['64', true],
  ] as const) {
    const text = program(lines(distance));
    const want = outcome(text, bits, false, 15);
    const got = outcome(text, bits, true, 15);
    assert.deepEqual(got.memory, want.memory);
    assert.deepEqual(got.registers, want.registers);
    assert.equal(got.streamedRounds > 5, streams, `${distance} elements apart`);
  }
});

test('a loop that reads a result before its latency has passed is left to the interpreter', () => {
  const early =
    'loop 0, S1, 1, <, end\nnop; nop; nop; nop\nnop; nop; add.f32 V1, V1, V2; nop\nnop; nop; add.f32 V1, V1, V2; nop\nend:';
  const bits = Uint32Array.from({ length: 97 }, (_, n) => 0x3f800000 + n);
  const got = outcome(early, bits, true, 50);
  assert.equal(got.compiledRounds, 0);
  assert.deepEqual(got.registers, outcome(early, bits, false, 50).registers);
});

test('what has no compiled form is interpreted, and a budget holds in the middle of a compiled loop', () => {
  const bits = Uint32Array.from({ length: 97 }, (_, n) => n);
  const text = program(['nop; nop; mov.f32 V3, LFSR; nop']);
  assert.equal(outcome(text, bits, true, 50).compiledRounds, 0);
  const memory = new FlatMemory();
  memory.add(CODE, assemble(`${program(['nop; add.i32 S7, S7, S2; nop; nop'])}\nnop; halt; halt; nop`));
  const core = new TpcCore({ memory, config: new PlainConfig() }, { compile: true });
  core.start({ pc: CODE, srf: [0, 1000, 1] });
  let runs = 0;
  while (core.run(500) === 'ready') runs++;
  assert.equal(core.status, 'halted');
  assert.equal(core.state.scalar(7), 1000);
  assert.ok(runs >= Math.floor(core.statistics.bundles / 500) - 1);
  assert.ok(core.compiledRounds > 500);
});

test('an access outside of memory in a compiled loop names the bundle, as the interpreter does', () => {
  const text = program(['nop; add.i32 b00001 I2, S6, I2; nop; nop', 'ld_tnsr V1, 0, I2; nop; nop; nop']);
  const failure = (compile: boolean) => {
    const memory = new FlatMemory();
    memory.add(CODE, assemble(`${text}\nnop; halt; halt; nop`));
    memory.add(DATA, new Uint8Array(4 * 64 * 40));
    const config = new PlainConfig();
    config.setTensor(0, { base: DATA, type: 'f32', sizes: [1 << 20] });
    const core = new TpcCore({ memory, config }, { compile });
    core.start({ pc: CODE, srf: [0, 100] });
    try {
      core.run(1_000_000);
    } catch (error) {
      return String(error);
    }
    return 'none';
  };
  assert.match(failure(false), /guest: TPC bundle 0x.*nothing to read/);
  assert.equal(
    failure(true).replace(/ load\.ld_tnsr| 0x100000/g, ''),
    failure(false).replace(/ load\.ld_tnsr| 0x100000/g, ''),
  );
});

test('how many rounds remain is what counting gives', () => {
  const comparisons = {
    '<': (a: number, b: number) => a < b,
    '<=': (a: number, b: number) => a <= b,
    '>': (a: number, b: number) => a > b,
    '>=': (a: number, b: number) => a >= b,
    '!=': (a: number, b: number) => a !== b,
  } as const;
  const small = fc.integer({ min: -20, max: 20 });
  fc.assert(
    fc.property(
      small,
      small,
      fc.integer({ min: -3, max: 3 }),
      fc.constantFrom(...(Object.keys(comparisons) as (keyof typeof comparisons)[])),
      (counter, boundary, step, comparison) => {
        fc.pre(comparisons[comparison](counter, boundary));
        const loop: ActiveLoop = { first: 0, last: 0, boundary, step, comparison, once: false, since: 0 };
        const got = remainingRounds(loop, counter);
        if (got <= 0) return;
        let counted = 0;
        for (let c = counter; comparisons[comparison](c, boundary); c += step) counted++;
        assert.equal(got, counted);
      },
    ),
    { seed: seed() },
  );
});

test('an arena has what compiled code can address, and no more', () => {
  assert.throws(() => new Arena(2 ** 33), RangeError);
  assert.throws(() => new Arena(-1), RangeError);
  assert.equal(new Arena(100).bytes.length, 100);
});

test('vectors that are partly outside of a tensor in compiled loops: padding is read, nothing is written', () => {
  const copy = program(['ld_tnsr V1, 0, I2; nop; nop; nop', 'nop; add.i32 b00001 I2, S6, I2; nop; st_tnsr 2, I2, V1']);
  const bits = Uint32Array.from({ length: 97 }, (_, n) => 0x3f800000 + n);
  // The last vectors lie across the end of the tensors, and behind it.
  for (const rounds of [26, 27]) {
    const want = outcome(copy, bits, false, rounds);
    const got = outcome(copy, bits, true, rounds);
    assert.ok(got.compiledRounds > 10);
    assert.deepEqual(got.memory, want.memory);
    assert.deepEqual(got.registers, want.registers);
  }
});

test('an inner loop is compiled in each round of the outer one', () => {
  const text = `nop; mov.i32 S6, 64; nop; nop
${NOPS}loop 0, 5, 1, <, outer
nop; set_indx I2, b00001, 0; nop; nop
loop 0, S1, 1, <, inner
nop; nop; nop; nop
ld_tnsr V1, 0, I2; nop; nop; nop
${NOPS}nop; add.i32 b00001 I2, S6, I2; mac.f32 V3, V1, V2; nop
${NOPS}inner:
nop; add.i32 S7, S7, S32; nop; nop
nop; add.i32 S8, S8, S33; nop; nop
${NOPS}outer:`;
  const bits = Uint32Array.from({ length: 97 }, (_, n) => 0x3f800000 + n * 1001);
  for (const rounds of [3, 16, 21]) {
    const want = outcome(text, bits, false, rounds);
    const got = outcome(text, bits, true, rounds);
    assert.equal(got.compiledRounds > 0, rounds > 3);
    assert.deepEqual(got.registers, want.registers);
    assert.deepEqual(got.statistics, want.statistics);
  }
});
