/**
 * Kernels of the TPC: bundles per second of the interpreter, and compiled kernels against the same computation in C
 * (`cc -O3 -march=native`), or in a JavaScript loop where there is no compiler; and the time from an object file to its
 * first result, in a process that has just started.
 */

import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import process from 'node:process';
import { tpcGaudi } from '../specs/tpc/gaudi.ts';
import { assembleVliw } from '../src/isa/vliw/assembler.ts';
import { writeKernel } from '../src/isa/vliw/elf.ts';
import { indexSpaceOf } from '../src/tpc/run/interface.ts';
import { type KernelProgram, loadProgram } from '../src/tpc/run/program.ts';
import { Stand } from '../src/tpc/run/stand.ts';
import { contest, line, MiB, round } from './lib/measure.ts';

const brief = process.argv.includes('--brief');
const kernel = (name: string) => path.join(import.meta.dirname, '../kernels', `${name}.tpc`);
const BUDGET = 1e9;

interface Job {
  readonly stand: Stand;
  readonly part: { readonly offset: readonly number[]; readonly size: readonly number[] };
}

function job(program: KernelProgram, count: number, names: readonly string[], compile: boolean): Job {
  const tensors = names.map((name) => ({ name, type: 'f32' as const, sizes: [count], padding: 0 }));
  const stand = new Stand({ program, tensors, scalars: [], compile });
  stand.elements.slice(0, -1).forEach((bytes, k) => {
    const floats = new Float32Array(bytes.buffer, bytes.byteOffset, count);
    for (let n = 0; n < count; n++) floats[n] = k === 0 ? (n % 7) - 3 : 0.5;
  });
  const size = program.interface
    ? indexSpaceOf(program.interface, new Map(tensors.map((each) => [each.name, each])))
    : [1, 1, 1, 1, 1];
  return { stand, part: { offset: [0, 0, 0, 0, 0], size } };
}

function runJob({ stand, part }: Job): number {
  stand.start(part);
  return stand.finish(BUDGET);
}

/** Eight accumulators, each a vector, and S0 rounds of a multiply-accumulate into each. */
const MAC_VECTORS = 8;
function macProgram(rounds: number): KernelProgram {
  const lines = [
    'nop; set_indx I2, b11111, 0',
    'nop',
    ...Array.from({ length: MAC_VECTORS }, (_, n) => [
      `ld_tnsr V${n + 8}, 0, I2`,
      `ld_tnsr V${n + 16}, 1, I2; add.i32 b00001 I2, 64, I2; mov.f32 V${n}, 64`,
      'nop',
      'nop',
      'nop',
    ]).flat(),
    `loop 0, ${rounds}, 1, <, end`,
    'nop; set_indx I2, b00001, 0',
    ...Array.from({ length: MAC_VECTORS }, (_, n) => `nop; nop; mac.f32 V${n}, V${n + 8}, V${n + 16}`),
    'end: nop',
    ...Array.from({ length: 4 }, () => 'nop'),
    ...Array.from({ length: MAC_VECTORS }, (_, n) => [
      `nop; add.i32 b00001 I2, 64, I2; nop; st_tnsr 2, I2, V${n}`,
      'nop',
      'nop',
      'nop',
    ]).flat(),
    'halt',
  ];
  return loadProgram(new TextEncoder().encode(lines.join('\n')), 'mac');
}

/**
 * Milliseconds that this thread computes from the bytes of an object file to the first result, in a process that has loaded
 * its modules.
 */
if (process.argv.includes('--first')) {
  const { bytes, sections, symbols } = assembleVliw(tpcGaudi, readFileSync(kernel('add'), 'utf8'));
  const object = writeKernel({ text: bytes, sections, symbols, name: 'add' });
  const began = process.threadCpuUsage();
  const first = job(loadProgram(object, 'add.o'), 4096, ['x', 'y', 'z'], true);
  runJob(first);
  const { user, system } = process.threadCpuUsage(began);
  console.log((user + system) / 1000);
  process.exit(0);
}

/** The program in C, or undefined without a compiler. */
function compileC():
  | { readonly seconds: (name: string, n: number, rounds: number) => number; done(): void }
  | undefined {
  const folder = mkdtempSync(path.join(tmpdir(), 'sagrada-bench-'));
  const program = path.join(folder, 'tpc');
  const source = path.join(import.meta.dirname, 'tpc.c');
  const built = spawnSync('cc', ['-O3', '-march=native', '-o', program, source]);
  const done = () => rmSync(folder, { recursive: true });
  if (built.status !== 0) {
    done();
    return undefined;
  }
  return {
    done,
    seconds(name, n, rounds) {
      const run = spawnSync(program, [name, String(n), String(rounds), '5']);
      if (run.status !== 0) throw new Error(`the reference in C failed: ${run.stderr}`);
      return Number(run.stdout.toString().split(' ')[0]);
    },
  };
}

const f = Math.fround;
/** The same in JavaScript. */
const loops: Readonly<Record<string, (z: Float32Array, x: Float32Array, y: Float32Array, rounds: number) => void>> = {
  add(z, x, y) {
    for (let i = 0; i < z.length; i++) z[i] = (x[i] as number) + (y[i] as number);
  },
  relu(z, x) {
    for (let i = 0; i < z.length; i++) z[i] = Math.max(x[i] as number, 0);
  },
  mac(z, x, y, rounds) {
    for (let r = 0; r < rounds; r++) {
      for (let i = 0; i < z.length; i++) z[i] = f((z[i] as number) + f((x[i] as number) * (y[i] as number)));
    }
  },
};

const options = { rounds: brief ? 2 : 4, span: brief ? 300 : 1000 };
const native = compileC();
const reference = native ? 'the same in C, cc -O3 -march=native' : 'the same in a JavaScript loop';

async function compete(name: string, each: Job, n: number, rounds: number): Promise<{ ours: number; theirs: number }> {
  if (native) {
    // In turns, so that what disturbs one disturbs the other; the best of each counts.
    const times = { ours: Number.POSITIVE_INFINITY, theirs: Number.POSITIVE_INFINITY };
    for (let turn = 0; turn < options.rounds; turn++) {
      const [ours = 0] = await contest([() => runJob(each)], { ...options, rounds: 1 });
      times.ours = Math.min(times.ours, ours);
      times.theirs = Math.min(times.theirs, native.seconds(name, n, rounds));
    }
    return times;
  }
  const arrays = Array.from({ length: 3 }, () => new Float32Array(n).fill(0.5)) as [
    Float32Array,
    Float32Array,
    Float32Array,
  ];
  const [ours = 0, theirs = 0] = await contest([() => runJob(each), () => loops[name]?.(...arrays, rounds)], options);
  return { ours, theirs };
}

// The interpreter, against a plain loop over as many elements as the kernel moves.
{
  const count = 64 * 1024;
  const each = job(loadProgram(readFileSync(kernel('add')), 'add.tpc'), count, ['x', 'y', 'z'], false);
  const arrays = Array.from({ length: 3 }, () => new Float32Array(count)) as [Float32Array, Float32Array, Float32Array];
  const bundles = runJob(each);
  const [ours = 0, theirs = 0] = await contest([() => runJob(each), () => loops.add?.(...arrays, 1)], options);
  line({
    bench: 'tpc',
    name: 'interpreter',
    value: Math.round(bundles / ours),
    unit: 'bundles/s',
    reference: 'the same addition in a JavaScript loop',
    ratio: round(theirs / ours, 5),
  });
}

const ELEMENTS = (64 * MiB) / 4;
for (const [name, tensors] of [
  ['add', ['x', 'y', 'z']],
  ['relu', ['x', 'y']],
] as const) {
  const each = job(loadProgram(readFileSync(kernel(name)), `${name}.tpc`), ELEMENTS, tensors, true);
  const { ours, theirs } = await compete(name, each, ELEMENTS, 1);
  const moved = (64 * MiB * tensors.length) / ours;
  line({
    bench: 'tpc',
    name: `${name}, 64 MiB`,
    value: round(moved / 1e9),
    unit: 'GB/s',
    reference,
    ratio: round(theirs / ours),
  });
}

{
  const rounds = 20_000;
  const n = MAC_VECTORS * 64;
  const each = job(macProgram(rounds), n, ['a', 'b', 'y'], true);
  const { ours, theirs } = await compete('mac', each, n, rounds);
  const rate = (2 * n * rounds) / ours / 1e9;
  line({
    bench: 'tpc',
    name: 'multiply-accumulate',
    value: round(rate),
    unit: 'GFLOP/s',
    reference,
    ratio: round(theirs / ours),
  });
}
native?.done();

{
  const times = Array.from({ length: brief ? 3 : 7 }, () => {
    const run = spawnSync(process.execPath, [process.argv[1] as string, '--first']);
    return Number(run.stdout.toString());
  }).sort((a, b) => a - b);
  const median = times[times.length >> 1] as number;
  const goal = 50;
  line({
    bench: 'tpc',
    name: 'object file to first result',
    value: round(median),
    unit: 'ms',
    reference: `a goal of ${goal} ms`,
    ratio: round(goal / median),
  });
}
