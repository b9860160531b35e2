/**
 * The program that the driver loads as gaudi_tpc.bin and has every tensor core run when it initialises the chip: ours, from its
 * source in kernels/.
 */

import { readFileSync } from 'node:fs';
import path from 'node:path';
import { tpcGaudi } from '../../specs/tpc/gaudi.ts';
import { assembleVliw } from '../isa/vliw/assembler.ts';

const SOURCE = path.join(import.meta.dirname, '..', '..', 'kernels', 'memory-clear.tpc');

let program: Uint8Array | undefined;

/** The bundles of kernels/memory-clear.tpc. @throws AssemblyError */
export function tpcFirmware(): Uint8Array {
  program ??= assembleVliw(tpcGaudi, readFileSync(SOURCE, 'utf8'), { file: SOURCE, hazards: false }).bytes;
  return program;
}
