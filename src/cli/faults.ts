/** `sagrada faults`: what a card can be made to do wrong. */

import { Command } from 'commander';
import { type FaultName, type FaultRow, faults } from '../../specs/gaudi/faults.ts';
import { suggestion } from '../isa/diagnostics.ts';
import { UserError } from '../sim/errors.ts';
import { faultList, faultText } from './fault-list.ts';
import { addExamples } from './help.ts';

export function command(): Command {
  const list = new Command('faults')
    .description('what a card can be made to do wrong with --fault, and what the driver does then')
    .argument('[name...]', 'tell all about these')
    .option('--json', 'as JSON')
    .action(run);
  return addExamples(list, ['sagrada faults', 'which there are'], ['sagrada faults ecc-double', 'one of them']);
}

function run(names: readonly string[], { json }: { readonly json?: boolean }): void {
  const unknown = names.find((name) => !Object.hasOwn(faults, name));
  if (unknown !== undefined) {
    throw new UserError(
      `no fault "${unknown}"${suggestion(unknown, Object.keys(faults))}; "sagrada faults" lists them`,
    );
  }
  if (json) {
    const all = Object.entries<FaultRow>(faults).map(([name, row]) => ({ name, ...row }));
    const chosen = names.length === 0 ? all : all.filter(({ name }) => names.includes(name));
    console.log(JSON.stringify(chosen, undefined, 2));
    return;
  }
  const texts = names.map((name) => faultText(name, faults[name as FaultName]));
  process.stdout.write(names.length === 0 ? faultList() : texts.join('\n'));
}
