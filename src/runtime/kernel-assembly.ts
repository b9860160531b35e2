/** Kernels from text. A file of its own, so that programs that write no assembly do not load the assembler. */

import { tpcGaudi } from '../../specs/tpc/gaudi.ts';
import { assembleVliw } from '../isa/vliw/assembler.ts';
import { INTERFACE_SECTION, parseInterface } from '../tpc/run/interface.ts';
import { Kernel } from './kernel.ts';

/**
 * Assembles a program for tensor cores.
 * @param name for messages
 * @throws AssemblyError with all that is wrong
 */
export function assembleKernel(text: string, name = 'kernel'): Kernel {
  const { bytes, sections } = assembleVliw(tpcGaudi, text, { file: name, hazards: false });
  const own = sections.get(INTERFACE_SECTION);
  return new Kernel(bytes, { name, ...(own ? { parameters: parseInterface(new TextDecoder().decode(own)) } : {}) });
}
