/** The commands: each is a file, which is loaded when it is needed. */

import { Command } from 'commander';
import { addExamples } from './help.ts';
import { version } from './version.ts';

/** A command's file exports `command()`, which builds it with its options and action. */
interface CommandFile {
  command(): Command;
}

const files: Readonly<Record<string, () => Promise<CommandFile>>> = {
  asm: () => import('./asm.ts'),
  compare: () => import('./compare.ts'),
  completion: () => import('./completion.ts'),
  disasm: () => import('./disasm.ts'),
  doctor: () => import('./doctor.ts'),
  exercise: () => import('./exercise.ts'),
  faults: () => import('./faults.ts'),
  fuzz: () => import('./fuzz.ts'),
  history: () => import('./history.ts'),
  isa: () => import('./isa.ts'),
  report: () => import('./report.ts'),
  run: () => import('./run.ts'),
  tpc: () => import('./tpc.ts'),
  trace: () => import('./trace.ts'),
  view: () => import('./view.ts'),
  vm: () => import('./vm.ts'),
};

/** The whole program, or with one command alone where `name` is one: the others are not loaded then. */
export async function makeProgram(name: string): Promise<Command> {
  const program = new Command('sagrada')
    .description('Exercise Linux accelerator drivers, with the hardware included.')
    .version(version())
    .enablePositionalOptions()
    .exitOverride();
  addExamples(
    program,
    ['sagrada exercise', 'run the suites on a model of the driver and the card'],
    ['sagrada exercise --on vm', 'run them against the real driver in a virtual machine'],
    ['sagrada report', 'see what of the interface they have exercised'],
    ['sagrada doctor', 'find out what is missing on this machine'],
  );
  const chosen = Object.hasOwn(files, name) ? [files[name]] : Object.values(files);
  for (const load of chosen) if (load) program.addCommand((await load()).command().exitOverride());
  return program;
}
