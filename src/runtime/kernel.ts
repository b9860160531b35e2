/**
 * Kernels: programs for tensor cores, from object files, and what a launch of one takes.
 *
 *   const relu = Kernel.fromObject(readFileSync('relu.o'));
 *   using x = device.allocHost(4 * 4096);
 *   using y = device.allocHost(4 * 4096);
 *   await device.launch(relu, {
 *     tensors: [new Tensor(x, { type: 'f32', shape: [4096] }), new Tensor(y, { type: 'f32', shape: [4096] })],
 *     indexSpace: [16],
 *     cores: 8,
 *   });
 */

import { readKernel } from '../isa/vliw/elf.ts';
import { INTERFACE_SECTION, type KernelInterface, parseInterface } from '../tpc/run/interface.ts';

/** Bytes of a bundle: the unit of a program. */
const BUNDLE = 32;
const METADATA = '.tpc_metadata';
/** Place of the field specialFunctionUsed, which exists from version 3 on (tpc_llvm, TPCMetadataSection.h). */
const SPECIAL_FUNCTIONS = { OFFSET: 4, SINCE: 3 } as const;

export interface KernelFacts {
  readonly name?: string;
  /** It looks up function tables, which take part of the vector memory. Default false. */
  readonly tables?: boolean;
  /** What it says of its tensors, scalars and index space. */
  readonly parameters?: KernelInterface;
}

/** A program for tensor cores. Immutable, and of no device. */
export class Kernel {
  readonly name: string;
  /** The bundles; the first is where it begins. */
  readonly code: Uint8Array;
  readonly tables: boolean;
  readonly parameters: KernelInterface | undefined;

  /** @throws RangeError for what is no whole number of bundles */
  constructor(code: Uint8Array, facts: KernelFacts = {}) {
    if (code.length === 0 || code.length % BUNDLE !== 0)
      throw new RangeError(`a program of ${code.length} bytes: a bundle has ${BUNDLE}`);
    this.code = code.slice();
    this.name = facts.name ?? 'kernel';
    this.tables = facts.tables ?? facts.parameters?.tables ?? false;
    this.parameters = facts.parameters;
  }

  /**
   * Assembles a program, in the syntax of `sagrada asm --isa tpc-gaudi`. The assembler is loaded for it.
   * @param name for messages
   * @throws AssemblyError with all that is wrong
   */
  static async assemble(text: string, name?: string): Promise<Kernel> {
    const { assembleKernel } = await import('./kernel-assembly.ts');
    return assembleKernel(text, name);
  }

  /**
   * From an object file: ours, or one of the vendor's compiler.
   * @throws ModelError for a file that is no such object, or broken
   */
  static fromObject(bytes: Uint8Array): Kernel {
    const { text, sections, name } = readKernel(bytes);
    const own = sections.get(INTERFACE_SECTION);
    const parameters = own && parseInterface(new TextDecoder().decode(own));
    const metadata = sections.get(METADATA);
    const special =
      metadata !== undefined &&
      (metadata[0] ?? 0) >= SPECIAL_FUNCTIONS.SINCE &&
      (metadata[SPECIAL_FUNCTIONS.OFFSET] ?? 0) !== 0;
    return new Kernel(text, {
      ...(name === undefined ? {} : { name }),
      tables: special || (parameters?.tables ?? false),
      ...(parameters ? { parameters } : {}),
    });
  }
}

const float = new Float32Array(1);
const word = new Uint32Array(float.buffer);

/** The word of an f32, for a scalar parameter. */
export function floatWord(value: number): number {
  float[0] = value;
  return word[0] as number;
}
