/** The command line: runs the command, prints errors as one line. */

import { CommanderError } from 'commander';
import { UserError } from '../sim/errors.ts';
import { makeProgram } from './commands.ts';
import { failure } from './failure.ts';
import { Interruption } from './interruption.ts';

/** Runs the command in `argv` (as process.argv) and sets process.exitCode. */
export async function main(argv: readonly string[]): Promise<void> {
  tellLostOutput();
  const program = await makeProgram(argv[2] ?? '');
  try {
    await program.parseAsync(argv);
  } catch (error) {
    process.exitCode = report(error);
  }
}

/** What cannot be written, because the disk is full say, is told in one line, and fails the command. That a reader went away is theirs to judge. */
function tellLostOutput(): void {
  let lost = false;
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (lost || error.code === 'EPIPE') return;
    lost = true;
    console.error(`sagrada: ${failure('cannot write to standard output', error).message}`);
  });
  process.on('exit', () => {
    if (lost) process.exitCode ||= 1;
  });
  // nobody is left who could be told
  process.stderr.on('error', () => {});
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
