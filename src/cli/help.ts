/** What `--help` says beyond the options: examples, which a test runs. */

import type { Command } from 'commander';

/** A command line as one types it, and what it does. */
export type Example = readonly [line: string, what: string];

/** Of which a command line with what it does still fits beside each other. */
const WIDTH = 100;

/** Adds examples to a command's help: at least one, and all of them work. */
export function addExamples(command: Command, ...examples: readonly Example[]): Command {
  const width = Math.max(...examples.map(([line]) => line.length));
  const beside = examples.every(([, what]) => width + what.length + 4 <= WIDTH);
  const lines = examples.map(([line, what]) =>
    beside ? `  ${line.padEnd(width)}  ${what}` : `  ${line}\n      ${what}`,
  );
  return command.addHelpText('after', `\nExamples:\n${lines.join('\n')}`);
}
