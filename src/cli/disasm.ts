import { Command, Option } from 'commander';
import { ModelError, UserError } from '../sim/errors.ts';
import { addExamples } from './help.ts';
import { inputName, loadInstructionSet, print, readInput } from './isa-input.ts';

interface Options {
  readonly isa: string;
  readonly input: 'auto' | 'binary' | 'hex';
  readonly data?: boolean;
  readonly listing?: boolean;
}

export function command(): Command {
  const disasm = new Command('disasm')
    .description('disassemble a command stream or a program, into text that assembles to the same bytes')
    .argument('<file>', 'bytes, or text in hexadecimal; - is standard input')
    .requiredOption('--isa <name>', 'instruction set, see "sagrada isa list"')
    .addOption(
      new Option('--input <kind>', 'what the file holds; auto: hexadecimal if it is all hexadecimal digits')
        .choices(['auto', 'binary', 'hex'])
        .default('auto'),
    )
    .option('--data', 'print what is no instruction as data, instead of refusing it')
    .option('--listing', 'add offset and words of each instruction in a comment')
    .action(run);
  return addExamples(
    disasm,
    [
      'sagrada asm --isa gaudi-qman --bin stream.qman | sagrada disasm --isa gaudi-qman --listing -',
      'a command stream',
    ],
    ['sagrada disasm --isa tpc-gaudi relu.o', 'an object file'],
  );
}

async function run(file: string, options: Options): Promise<void> {
  const isa = await loadInstructionSet(options.isa);
  const input = await readInput(file);
  const text = options.input === 'binary' ? undefined : hexDigits(input);
  if (options.input === 'hex' && text === undefined) {
    throw new UserError(`${inputName(file)} is not text in hexadecimal`);
  }
  const raw = text === undefined ? input : fromHex(file, text);
  try {
    const { bytes, symbols } = isa.objects?.recognises(raw)
      ? isa.objects.read(raw)
      : { bytes: raw, symbols: new Map() };
    const { data = false, listing = false } = options;
    await print(isa.disassemble(bytes, { data, listing, symbols }));
  } catch (error) {
    if (!(error instanceof ModelError)) throw error;
    const hint = error.where === 'elf' ? '' : '; --data prints such bytes as data';
    throw new UserError(`${inputName(file)}: ${error.message}${hint}`);
  }
}

/** The hexadecimal digits of a text of nothing but them, white space and comments; else undefined. */
function hexDigits(bytes: Uint8Array): string | undefined {
  // A byte that no text has says quickly that this is a binary.
  if (bytes.includes(0)) return undefined;
  const text = Buffer.from(bytes)
    .toString('latin1')
    .replace(/(#|\/\/).*/g, '');
  return /^[\s0-9a-fA-F]*$/.test(text) ? text.replace(/\s+/g, '') : undefined;
}

function fromHex(file: string, digits: string): Uint8Array {
  if (digits.length % 2 !== 0)
    throw new UserError(`${inputName(file)}: ${digits.length} hexadecimal digits are no whole bytes`);
  return new Uint8Array(Buffer.from(digits, 'hex'));
}
