/**
 * Programs for tensor cores that the suites run: those of kernels/, and some of their own. In the bundle for a guest, which would
 * take seconds to assemble them, this module is replaced by what it gives (bundle.ts).
 */

import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { tpcCfg } from '../../specs/gaudi/registers/tpc-cfg.ts';
import { assembleKernel } from '../runtime/kernel-assembly.ts';

export interface ProgramFacts {
  readonly code: Uint8Array;
  /** It looks up function tables. */
  readonly tables: boolean;
}

const folder = path.join(import.meta.dirname, '..', '..', 'kernels');
const scalars = Array.from({ length: 32 }, (_, n) => n);
/** Bundles without an effect, for results to arrive. */
const REST = 'nop\n'.repeat(8);
const END = 'halt\nnop\nnop\nnop\n';
const spu = (text: string) => `nop; ${text}; nop; nop\n`;
/** AD1 becomes the address of element `n` of tensor `tensor`. */
const locate = (tensor: number, n: number) =>
  `${spu(`set_indx I2, b11111, 0`)}${REST}${spu(`set_indx I2, b00001, ${n}`)}${REST}gen_addr AD1, ${tensor}, I2; nop; nop; nop\n${REST}`;

/** Registers of the descriptor that a core is working on (specs/gaudi/registers/tpc-cfg.ts), by which it has been started. */
const DESCRIPTOR_REGISTERS = [
  'KERNEL_SYNC_OBJECT_MESSAGE',
  'KERNEL_SYNC_OBJECT_ADDR',
  'KERNEL_KERNEL_BASE_ADDRESS_LOW',
  'KERNEL_KERNEL_BASE_ADDRESS_HIGH',
  'KERNEL_TID_BASE_DIM',
  'KERNEL_TID_SIZE_DIM',
  'KERNEL_KERNEL_CONFIG',
  'KERNEL_SRF',
] as const;

const own: Readonly<Record<string, string>> = {
  halt: END,
  // tensor 0, i32: the scalars
  scalars: `${scalars.map((n) => `${locate(0, n)}nop; nop; nop; st_g AD1, S${n}\n`).join('')}${END}`,
  // tensor 0, i32: waits until it is not 0, then adds S0 to it into tensor 1
  follow:
    `${locate(1, 0)}nop\n${locate(0, 0).replaceAll('AD1', 'AD2')}` +
    `again:\nld_g S1, AD2; nop; nop; nop\n${REST}${spu('cmp_eq.i32 SP1, S1, 0')}${REST}` +
    `${spu('jmpr again, SP1')}nop\n${spu('add.i32 S1, S1, S0')}${REST}nop; nop; nop; st_g AD1, S1\n${END}`,
  // tensor 0, i32: counts down from S0, then stores S1
  linger: `here:\n${spu('sub.i32 S0, S0, 1')}${REST}${spu('cmp_grt.i32 SP1, S0, 0')}${REST}${spu('jmpr here, SP1')}nop\n${locate(0, 0)}nop; nop; nop; st_g AD1, S1\n${END}`,
  // tensor 0, i32: the registers of the descriptor, and what they are when 1 more was written to each; then they are as before
  descriptor: `${DESCRIPTOR_REGISTERS.map((name, n) => {
    const { offset } = tpcCfg.rows[name];
    const store = (element: number, scalar: string) => `${locate(0, element)}nop; nop; nop; st_g AD1, ${scalar}\n`;
    return `ld_l mmio S1, ${offset}; nop; nop; nop\n${REST}${spu('add.i32 S2, S1, 1')}${REST}nop; nop; nop; st_l mmio ${offset}, S2\n${REST}ld_l mmio S3, ${offset}; nop; nop; nop\n${REST}nop; nop; nop; st_l mmio ${offset}, S1\n${REST}${store(2 * n, 'S1')}${store(2 * n + 1, 'S3')}`;
  }).join('')}${END}`,
  // jumps to itself
  endless: `here:\n${spu('jmpr here')}nop\n${END}`,
  // counts, and never comes back to where it was
  counting: `here:\n${spu('add.i32 S1, S1, 1')}${REST}${spu('jmpr here')}nop\n${END}`,
  // writes to what is no local memory
  beyond: `${spu('mov.i32 S1, 0x10000')}${REST}nop; nop; nop; st_l S1, S2\n${END}`,
  // the vector 1 into tensor 0 by a store that adds, once for each member of dimension 0
  tally: `${spu('mov_irf_dim 0 S4, I1')}${spu('set_indx I2, b11111, 0')}nop; nop; mov.i32 V0, 1; nop\n${REST}loop 0, S4, 1, <, over\nnop\nnop; nop; nop; st_tnsr 0, I2, V0\nnop\nnop\nover:\nnop\n${END}`,
};

/** All programs by name. @throws AssemblyError */
export function assembled(): Readonly<Record<string, ProgramFacts>> {
  const texts: Record<string, string> = { ...own };
  for (const file of readdirSync(folder)) {
    if (file.endsWith('.tpc')) texts[path.basename(file, '.tpc')] = readFileSync(path.join(folder, file), 'utf8');
  }
  const kernels = Object.entries(texts).map(([name, text]) => [name, assembleKernel(text, name)] as const);
  return Object.fromEntries(kernels.map(([name, { code, tables }]) => [name, { code, tables }]));
}
