/**
 * Lines per second of the TPC assembler and disassembler on one processor. The reference is splitting the same text into
 * lines and slots; and llvm-mc on x86 text of as many lines, where it is installed.
 */

import { spawnSync } from 'node:child_process';
import process from 'node:process';
import { tpcGaudi } from '../specs/tpc/gaudi.ts';
import { assembleVliw } from '../src/isa/vliw/assembler.ts';
import { disassembleVliw } from '../src/isa/vliw/disassembler.ts';
import { contest, line, round } from './lib/measure.ts';

const brief = process.argv.includes('--brief');
const LINES = brief ? 20_000 : 100_000;

/** A program like that of a kernel: loads, arithmetic in two units, stores, with registers and numbers that vary. */
function program(lines: number): string {
  const text: string[] = [];
  for (let i = 0; i < lines; i++) {
    const v = (n: number) => `V${(i * 7 + n * 3) % 36}`;
    const s = (n: number) => `S${(i * 5 + n) % 36}`;
    const kind = i % 8;
    if (i % 1000 === 0) text.push(`label_${i}:`);
    else if (kind === 0)
      text.push(
        `ld_tnsr ${v(0)}, ${i % 16}, I${i % 32}; add.i32 b00010 I2, ${i}, I2; add.f32 ${v(1)}, ${v(2)}, ${v(3)}; nop`,
      );
    else if (kind === 1)
      text.push(
        `nop; add.i32 ${s(0)}, ${s(1)}, ${s(2)}; mac.f32 V${38 + (i % 2)}, ${v(2)}, ${v(3)}, VP${1 + (i % 15)}; st_tnsr ${i % 16}, I3, ${v(0)}`,
      );
    else if (kind === 2) text.push(`nop; nop; mac.bf16.acc_fp32 D36, ${v(1)}, ${v(2)}; nop // accumulate`);
    else if (kind === 3)
      text.push(
        `ld_l_v ${v(0)}, 0x${(i * 256).toString(16)}; cmp_less.i32 SP${1 + (i % 15)}, ${s(0)}, ${s(1)}; nop; nop`,
      );
    else if (kind === 4)
      text.push(
        `nop; mov.i32 ${s(0)}, 0x${i.toString(16)}; sel_grt.f32 ${v(0)}, ${v(1)}, ${v(2)}, ${v(3)}, ${v(4)}; nop`,
      );
    else if (kind === 5) text.push(`nop; jmpr label_${i - (i % 1000)}, !SP2; nop; nop`);
    else if (kind === 6)
      text.push(`nop; nop; convert.f32 target_type=bf16 rz ${v(0)}, ${v(1)}; st_l_v ${s(0)}, ${v(2)}`);
    else text.push('nop; nop; nop; nop');
  }
  return text.join('\n');
}

function report(name: string, lines: number, seconds: number, reference: string, referenceSeconds: number): void {
  const perSecond = Math.round(lines / seconds);
  line({
    bench: 'asm',
    name,
    value: perSecond,
    unit: 'lines/s',
    reference,
    ratio: round(referenceSeconds / seconds, 4),
  });
}

const text = program(LINES);
const { bytes } = assembleVliw(tpcGaudi, text, { hazards: false });
const names = ['assemble', 'assemble with hazards', 'disassemble'];
let slots = 0;
const [split = 0, ...seconds] = await contest(
  [
    () => {
      for (const each of text.split('\n')) slots += each.split(';').length;
    },
    () => assembleVliw(tpcGaudi, text, { hazards: false }),
    () => assembleVliw(tpcGaudi, text),
    () => disassembleVliw(tpcGaudi, bytes),
  ],
  { rounds: brief ? 2 : 5, span: brief ? 200 : 600 },
);
if (slots < LINES) throw new Error('the reference did not run');
for (const [i, each] of seconds.entries()) {
  report(names[i] as string, LINES, each, 'plain split into lines and slots', split);
}

// In wall time: llvm-mc is a process of its own, whose start counts.
const x86 = Array.from({ length: LINES }, (_, i) => `\tmovl\t$${i}, %eax`).join('\n');
const llvm = () => spawnSync('llvm-mc', ['-triple=x86_64', '-filetype=obj', '-o', '/dev/null'], { input: x86 });
if (!llvm().error) {
  const wall = (body: () => void) => {
    const times = Array.from({ length: brief ? 2 : 4 }, () => {
      const start = performance.now();
      body();
      return (performance.now() - start) / 1000;
    });
    return Math.min(...times);
  };
  const theirs = wall(llvm);
  const ours = wall(() => assembleVliw(tpcGaudi, text, { hazards: false }));
  report('assemble, wall time', LINES, ours, 'llvm-mc on as many lines of x86, with its start', theirs);
}
