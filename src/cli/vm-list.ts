/** `sagrada vm list`: the machines there are, and the kernels that can be booted at once. */

import { Command } from 'commander';
import { listMachines, machineDescription, machineDevices } from '../machine/machines.ts';
import { inspect } from '../machine/vm/setup.ts';
import { addExamples } from './help.ts';
import { addCacheOptions } from './machine-options.ts';

interface Options {
  readonly cache: string;
  readonly json?: boolean;
}

export function listCommand(): Command {
  const list = addCacheOptions(new Command('list'))
    .description('list the machines there are, and Debian’s kernels with what of them is in the cache')
    .option('--json', 'as JSON')
    .action(run);
  return addExamples(
    list,
    ['sagrada vm list', 'what --machine and --kernel may be'],
    ['sagrada vm list --json', 'the same for a program'],
  );
}

async function run({ cache, json }: Options): Promise<void> {
  const machines = listMachines().map(({ name, doc }) => ({
    name,
    doc,
    devices: machineDevices(machineDescription(name)),
  }));
  const kernels = await Promise.all(
    (['backports', 'stable'] as const).map(async (name) => {
      const { kernel } = await inspect(cache, name);
      return { name, ...(kernel ? { release: kernel.release, title: kernel.title } : {}) };
    }),
  );
  if (json) {
    console.log(JSON.stringify({ machines, kernels }, undefined, 2));
    return;
  }
  const width = Math.max(...machines.map(({ name }) => name.length));
  console.log('machines:');
  for (const { name, doc } of machines) console.log(`  ${name.padEnd(width)}  ${doc}`);
  console.log('kernels:');
  for (const { name, release } of kernels)
    console.log(`  ${name.padEnd(width)}  ${release ?? `not fetched yet: sagrada vm setup --kernel ${name}`}`);
}
