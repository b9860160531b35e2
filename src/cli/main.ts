/** The command line: finds the command, loads only its file, prints errors as one line. */

import { Command, CommanderError } from 'commander';
import { UserError } from '../sim/errors.ts';
import { Interruption } from './interruption.ts';
import { version } from './version.ts';

/** A command's file exports `command()`, which builds it with its options and action. */
interface CommandFile {
  command(): Command;
}

const commands: Readonly<Record<string, () => Promise<CommandFile>>> = {
  asm: () => import('./asm.ts'),
  compare: () => import('./compare.ts'),
  disasm: () => import('./disasm.ts'),
  doctor: () => import('./doctor.ts'),
  exercise: () => import('./exercise.ts'),
  history: () => import('./history.ts'),
  isa: () => import('./isa.ts'),
  report: () => import('./report.ts'),
  run: () => import('./run.ts'),
  tpc: () => import('./tpc.ts'),
  vm: () => import('./vm.ts'),
};

/** Runs the command in `argv` (as process.argv) and sets process.exitCode. */
export async function main(argv: readonly string[]): Promise<void> {
  const program = new Command('sagrada')
    .description('Exercise Linux accelerator drivers, with the hardware included.')
    .version(version())
    .enablePositionalOptions()
    .exitOverride();
  const name = argv[2] ?? '';
  const files = Object.hasOwn(commands, name) ? [commands[name]] : Object.values(commands);
  for (const load of files) if (load) program.addCommand((await load()).command().exitOverride());
  try {
    await program.parseAsync(argv);
  } catch (error) {
    process.exitCode = report(error);
  }
}

/** Prints what went wrong. @returns the exit status: 2 for wrong usage, as a shell's for a signal, 1 for anything else. */
function report(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
  if (error instanceof UserError) {
    console.error(`sagrada: ${error.message}`);
    return error instanceof Interruption ? error.status : 1;
  }
  console.error('sagrada: internal error (a defect of ours; please report it)');
  console.error(error);
  return 1;
}
