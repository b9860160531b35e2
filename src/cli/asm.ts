import { basename, extname } from 'node:path';
import { Command, InvalidArgumentError } from 'commander';
import type { AssembleOptions, Assembly } from '../isa/assembler.ts';
import { AssemblyError, formatDiagnostics } from '../isa/diagnostics.ts';
import type { InstructionSet } from '../isa/instruction-set.ts';
import { UserError } from '../sim/errors.ts';
import { addExamples } from './help.ts';
import { inputName, loadInstructionSet, print, readInput, writeOutput } from './isa-input.ts';

interface Options {
  readonly isa: string;
  readonly output?: string;
  readonly hex?: boolean;
  readonly bin?: boolean;
  readonly permissive?: boolean;
  readonly hazards: boolean;
  readonly define?: Readonly<Record<string, bigint>>;
}

export function command(): Command {
  const asm = new Command('asm')
    .description('assemble a command stream or a program')
    .argument('<file>', 'assembly text; - is standard input')
    .requiredOption('--isa <name>', 'instruction set, see "sagrada isa list"')
    .option('-o, --output <file>', 'write the bytes to a file')
    .option('--hex', 'print the bytes in hexadecimal, one instruction to a line')
    .option('--bin', 'the bytes alone, also where the instruction set has object files')
    .option('--permissive', "warn of what the vendor's assembler encodes wrongly, and encode it as that does")
    .option('--no-hazards', 'do not warn of values that are read before their latency has passed')
    .option('-D, --define <name=value>', 'define a name for the text; may be repeated', addDefine)
    .action(run);
  return addExamples(
    asm,
    ["echo 'nop' | sagrada asm --isa gaudi-qman --hex -", 'one packet, as hexadecimal'],
    ['sagrada asm --isa tpc-gaudi kernels/relu.tpc -o relu.o', 'a kernel, as an object file'],
  );
}

function addDefine(text: string, defines: Readonly<Record<string, bigint>> = {}): Readonly<Record<string, bigint>> {
  const match = /^([A-Za-z_]\w*)=(0[xX][0-9a-fA-F]{1,32}|\d{1,39})$/.exec(text);
  if (!match) throw new InvalidArgumentError('NAME=NUMBER is expected.');
  return { ...defines, [match[1] as string]: BigInt(match[2] as string) };
}

async function run(file: string, options: Options): Promise<void> {
  if (options.hex && options.output !== undefined) throw new UserError('--hex and --output exclude each other');
  if (options.hex && options.bin) throw new UserError('--hex and --bin exclude each other');
  const isa = await loadInstructionSet(options.isa);
  const text = decodeText(file, await readInput(file));
  const assembly = assembleOrReport(isa, text, {
    file: inputName(file),
    constants: options.define ?? {},
    permissive: options.permissive ?? false,
    hazards: options.hazards,
  });
  if (!assembly) return;
  if (assembly.warnings.length > 0) console.error(formatDiagnostics(assembly.source, assembly.warnings));
  if (options.output !== undefined) {
    writeOutput(options.output, outputBytes(isa, file, assembly, options));
    return;
  }
  if (options.bin || (!options.hex && !process.stdout.isTTY)) return print(outputBytes(isa, file, assembly, options));
  if (!options.hex) console.error('sagrada: hexadecimal, because this is a terminal; -o FILE writes the bytes');
  const lines = assembly.listing.map(({ offset, size }) =>
    hexLine(assembly.bytes.subarray(offset, offset + size), isa.objects ? 32 : 8),
  );
  await print(lines.join(''));
}

/** Diagnostics are printed as they are, so that each line begins with `file:line:column`. */
function assembleOrReport(isa: InstructionSet, text: string, options: AssembleOptions): Assembly | undefined {
  try {
    return isa.assemble(text, options);
  } catch (error) {
    if (!(error instanceof AssemblyError)) throw error;
    console.error(error.message);
    process.exitCode = 1;
    return undefined;
  }
}

/** @throws UserError for what is not UTF-8: most likely a binary */
function decodeText(file: string, bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw new UserError(`${inputName(file)} is not text in UTF-8; is it a binary for "sagrada disasm"?`);
  }
}

/** An object file where the instruction set has such, named after the text. */
function outputBytes(isa: InstructionSet, file: string, assembly: Assembly, options: Options): Uint8Array {
  if (!isa.objects || options.bin) return assembly.bytes;
  const name = file === '-' ? 'main' : basename(file, extname(file));
  return isa.objects.write(assembly, name);
}

/** Bytes in memory order, `group` of them to a group. */
function hexLine(bytes: Uint8Array, group: number): string {
  const hex = Buffer.from(bytes).toString('hex');
  return `${(hex.match(new RegExp(`.{1,${group * 2}}`, 'g')) ?? []).join(' ')}\n`;
}
