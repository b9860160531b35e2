/** A kernel as a file: assembly text, an object file, or bare bundles. Where each bundle comes from, for messages. */

import { tpcGaudi } from '../../../specs/tpc/gaudi.ts';
import { assembleVliw } from '../../isa/vliw/assembler.ts';
import { BUNDLE_BYTES, type Bundle, type Loop, slots } from '../../isa/vliw/bundle.ts';
import { disassembleVliw } from '../../isa/vliw/disassembler.ts';
import { isElf, readKernel } from '../../isa/vliw/elf.ts';
import { ModelError, UserError } from '../../sim/errors.ts';
import { INTERFACE_SECTION, type KernelInterface, parseInterface } from './interface.ts';

export interface KernelProgram {
  readonly file: string;
  /** Whole bundles. */
  readonly bytes: Uint8Array;
  /** Offsets of labels. */
  readonly labels: ReadonlyMap<string, number>;
  /** What it says of itself; undefined for a kernel without section `.interface`. */
  readonly interface: KernelInterface | undefined;
  /** It has lookups, for which function tables must be there and vector local memory is small. */
  readonly usesTables: boolean;
  /** It reads I1, the size of its part of the index space. */
  readonly usesIndexSpace: boolean;
  /** Hazards and the like, as the assembler prints them. */
  readonly warnings: AssemblyWarnings | undefined;
  /** Where the bundle at `offset` comes from: `relu.tpc:31`, or `relu.o+0x1c0` where there is no text. */
  place(offset: number): string;
  /** Its text: the line, or its disassembly. */
  text(offset: number): string;
  /** Offset of the bundle of the first line from `line` on (from 1) that has one; undefined: none, or there is no text. */
  offsetOfLine(line: number): number | undefined;
}

type AssemblyWarnings = Pick<ReturnType<typeof assembleVliw>, 'source' | 'warnings'>;

/**
 * @param file its name, for messages
 * @throws AssemblyError (a UserError) for text that does not assemble, UserError for an object that is broken
 */
export function loadProgram(bytes: Uint8Array, file: string): KernelProgram {
  if (isElf(bytes)) return fromObject(bytes, file);
  const text = textOf(bytes);
  if (text === undefined) return fromBundles(bytes, file, new Map(), undefined);
  const assembly = assembleVliw(tpcGaudi, text, { file });
  const lines = new Map(assembly.listing.map(({ offset, line }) => [offset, line]));
  const section = assembly.sections.get(INTERFACE_SECTION);
  return {
    file,
    bytes: notEmpty(assembly.bytes, file),
    labels: new Map([...assembly.labels].map(([name, address]) => [name, Number(address)])),
    interface: interfaceOf(section, file),
    ...usesOf(assembly.bytes),
    warnings: assembly.warnings.length > 0 ? assembly : undefined,
    place: (offset) => (lines.has(offset) ? `${file}:${lines.get(offset)}` : `${file}+0x${offset.toString(16)}`),
    text: (offset) => withoutComment(assembly.source.line(lines.get(offset) ?? 0)),
    offsetOfLine: (line) => assembly.listing.find((each) => each.line >= line)?.offset,
  };
}

function fromObject(bytes: Uint8Array, file: string): KernelProgram {
  try {
    const { text, symbols, sections } = readKernel(bytes);
    const labels = new Map(symbols.map(({ name, value }) => [name, value]));
    return fromBundles(text, file, labels, interfaceOf(sections.get(INTERFACE_SECTION), file));
  } catch (error) {
    throw error instanceof ModelError ? new UserError(`${file}: ${error.message}`) : error;
  }
}

function interfaceOf(section: Uint8Array | undefined, file: string): KernelInterface | undefined {
  if (!section) return undefined;
  try {
    return parseInterface(Buffer.from(section).toString('utf8'));
  } catch (error) {
    throw error instanceof UserError ? new UserError(`${file}: ${error.message}`) : error;
  }
}

function fromBundles(
  bytes: Uint8Array,
  file: string,
  labels: ReadonlyMap<string, number>,
  kernel: KernelInterface | undefined,
): KernelProgram {
  if (bytes.length % BUNDLE_BYTES !== 0) {
    throw new UserError(`${file}: neither text, nor an object file, nor whole bundles of ${BUNDLE_BYTES} bytes`);
  }
  let lines: readonly string[] | undefined;
  const disassembled = () =>
    disassembleVliw(tpcGaudi, bytes, { data: true })
      .split('\n')
      .filter((line) => !line.endsWith(':'));
  return {
    file,
    bytes: notEmpty(bytes, file),
    labels,
    interface: kernel,
    ...usesOf(bytes),
    warnings: undefined,
    place: (offset) => `${file}+0x${offset.toString(16)}`,
    text(offset) {
      lines ??= disassembled();
      return lines[offset / BUNDLE_BYTES] ?? '';
    },
    offsetOfLine: () => undefined,
  };
}

function notEmpty(bytes: Uint8Array, file: string): Uint8Array {
  if (bytes.length === 0) throw new UserError(`${file}: it has no bundle`);
  return bytes;
}

/** Undefined for what is no text. */
function textOf(bytes: Uint8Array): string | undefined {
  if (bytes.includes(0)) return undefined;
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    return undefined;
  }
}

function withoutComment(line: string): string {
  return line.replace(/(\/\/|#).*$/, '').trim();
}

/** Bundles that cannot be decoded are none of this function's business: they are refused when they are reached. */
function usesOf(bytes: Uint8Array): Pick<KernelProgram, 'usesTables' | 'usesIndexSpace'> {
  let usesTables = false;
  let usesIndexSpace = false;
  for (let offset = 0; offset + BUNDLE_BYTES <= bytes.length; offset += BUNDLE_BYTES) {
    const bundle = tryDecode(bytes, offset);
    if (bundle?.kind !== 'bundle') continue;
    usesTables ||= bundle.load?.mnemonic.startsWith('lookup') === true;
    usesIndexSpace ||= slots.some((slot) =>
      bundle[slot]?.operands.some((o, n) => {
        return o.kind === 'register' && o.file === 'I' && o.number === 1 && bundle[slot]?.roles[n] !== 'dest';
      }),
    );
  }
  return { usesTables, usesIndexSpace };
}

function tryDecode(bytes: Uint8Array, offset: number): Bundle | Loop | undefined {
  try {
    return tpcGaudi.decodeBundle(bytes, offset);
  } catch (error) {
    if (error instanceof ModelError) return undefined;
    throw error;
  }
}
