/** What `tpc run` and `tpc debug` share: a kernel with tensors, ready to go. */

import type { Command } from 'commander';
import { InvalidArgumentError } from 'commander';
import { AssemblyError, formatDiagnostics } from '../isa/diagnostics.ts';
import { ModelError, UserError } from '../sim/errors.ts';
import { fillElements } from '../tpc/run/elements.ts';
import { bindShapes, indexSpaceOf, type Shape } from '../tpc/run/interface.ts';
import { type KernelProgram, loadProgram } from '../tpc/run/program.ts';
import { Stand, type StandTensor } from '../tpc/run/stand.ts';
import { inputName, readInput } from './isa-input.ts';
import { paddingBits, parseIndexSpace, parseScalars, parseTensor, type TensorArgument } from './tpc-arguments.ts';

export interface KernelOptions {
  readonly seed: number;
  readonly set?: readonly string[];
  readonly indexSpace?: string;
  readonly budget: number;
  readonly hazards: boolean;
}

/** Options of tensors in the order in which they stand, whether --in or --out: it is that of their numbers. */
export type TensorTexts = { readonly text: string; readonly output: boolean }[];

/** Adds what tells a kernel and its tensors; the list that is returned fills when options are parsed. */
export function addKernelOptions(command: Command): TensorTexts {
  const texts: TensorTexts = [];
  const add = (output: boolean) => (text: string) => {
    texts.push({ text, output });
    return texts;
  };
  command
    .argument('<kernel>', 'assembly text, an object file or bare bundles; - is standard input')
    .option(
      '--in <tensor>',
      'a tensor with contents, NAME=TYPE[SIZE,...]:FILL or NAME=FILE.npy; may be repeated',
      add(false),
    )
    .option(
      '--out <tensor>',
      'a tensor that is printed, NAME=TYPE[SIZE,...]; may be repeated; default: what the kernel says',
      add(true),
    )
    .option(
      '--set <scalar>',
      'a scalar parameter, NAME=NUMBER or S0=NUMBER, where 1 is an integer and 1.0 an f32; may be repeated',
      collect,
    )
    .option('--index-space <sizes>', 'members of each dimension, e.g. 64x4; default: what the kernel says, or 1')
    .option('--seed <n>', 'of random contents', whole(0), 1)
    .option('--budget <bundles>', 'end a program that has not ended after so many', whole(1), 2e7)
    .option('--no-hazards', 'do not warn of values that are read before their latency has passed');
  return texts;
}

function collect(text: string, before: readonly string[] = []): readonly string[] {
  return [...before, text];
}

export function whole(least: number, most = 2 ** 52): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!Number.isInteger(value) || value < least || value > most) {
      throw new InvalidArgumentError(`A whole number from ${least}${most < 2 ** 52 ? ` to ${most}` : ''} is expected.`);
    }
    return value;
  };
}

export interface PreparedKernel {
  readonly program: KernelProgram;
  readonly tensors: readonly StandTensor[];
  /** What was said of each tensor. */
  readonly arguments: readonly TensorArgument[];
  readonly scalars: readonly number[];
  readonly indexSpace: readonly number[];
  /** A core with the tensors filled. */
  stand(compile: boolean): Stand;
}

/** Undefined for text that does not assemble: its diagnostics are printed. @throws UserError for what does not fit */
export async function prepareKernel(
  file: string,
  texts: TensorTexts,
  options: KernelOptions,
): Promise<PreparedKernel | undefined> {
  const program = programOrReport(await readInput(file), file === '-' ? inputName(file) : file);
  if (!program) return undefined;
  if (options.hazards && program.warnings) {
    console.error(formatDiagnostics(program.warnings.source, program.warnings.warnings));
  }
  const given = texts.map(({ text, output }, n) => parseTensor(text, output, options.seed * 1000 + n));
  const names = given.map((each) => each.name);
  const twice = names.find((name, n) => names.indexOf(name) !== n);
  if (twice !== undefined) throw new UserError(`tensor ${twice} is told twice`);
  const ordered = order(program, given);
  const tensors = ordered.map(({ argument, shape }) => ({
    name: argument.name,
    ...shape,
    padding: paddingBits(argument, shape.type),
  }));
  const scalars = parseScalars(options.set ?? [], program.interface);
  if (!options.indexSpace && !program.interface && program.usesIndexSpace) {
    console.error('sagrada: the kernel does not say its index space: one member is run; --index-space tells more');
  }
  const indexSpace = options.indexSpace
    ? parseIndexSpace(options.indexSpace)
    : program.interface
      ? indexSpaceOf(program.interface, new Map(tensors.map((each) => [each.name, each])))
      : [1, 1, 1, 1, 1];
  return {
    program,
    tensors,
    arguments: ordered.map(({ argument }) => argument),
    scalars,
    indexSpace,
    stand(compile) {
      const stand = guarded(() => new Stand({ program, tensors, scalars, compile }));
      ordered.forEach(({ argument, shape }, n) => {
        const { fill } = argument;
        const count = shape.sizes.reduce((product, size) => product * size, 1);
        if (fill) fillElements(stand.elements[n] as Uint8Array, shape.type, count, (i) => fill(i, shape.type));
      });
      return stand;
    },
  };
}

/** Diagnostics are printed as they are, so that each line begins with `file:line:column`. */
function programOrReport(bytes: Uint8Array, name: string): KernelProgram | undefined {
  try {
    return loadProgram(bytes, name);
  } catch (error) {
    if (!(error instanceof AssemblyError)) throw error;
    console.error(error.message);
    process.exitCode = 1;
    return undefined;
  }
}

function guarded(make: () => Stand): Stand {
  try {
    return make();
  } catch (error) {
    throw error instanceof ModelError ? new UserError(error.message) : error;
  }
}

/** By the names that the kernel has, in its order; or as they were told. */
function order(program: KernelProgram, given: readonly TensorArgument[]): { argument: TensorArgument; shape: Shape }[] {
  if (!program.interface) {
    return given.map((argument) => {
      if (!argument.shape) {
        throw new UserError(
          `${program.file} does not say what ${argument.name} is: --out ${argument.name}=TYPE[SIZE,...]`,
        );
      }
      return { argument, shape: argument.shape };
    });
  }
  const shapes = bindShapes(program.interface, new Map(given.map((each) => [each.name, each.shape])));
  return program.interface.tensors.map(({ name }) => ({
    argument: given.find((each) => each.name === name) ?? {
      name,
      output: true,
      shape: undefined,
      fill: undefined,
      padding: 0,
    },
    shape: shapes.get(name) as Shape,
  }));
}
