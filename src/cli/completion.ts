/** `sagrada completion`: the scripts that make a shell complete our command lines, and the answers that they ask for. */

import { existsSync } from 'node:fs';
import { Command } from 'commander';
import { instructionSets } from '../../specs/index.ts';
import type { Run } from '../exercise/coverage/results.ts';
import { listMachines } from '../machine/machines.ts';
import { cacheFolder } from '../os/cache.ts';
import { makeProgram } from './commands.ts';
import { bash, fish, zsh } from './completion-scripts.ts';
import { type Candidate, type Completion, completeWords, type Given } from './completion-words.ts';
import { addExamples } from './help.ts';
import { resultsFile } from './results-options.ts';

export function command(): Command {
  const completion = new Command('completion').description('print what makes a shell complete these commands');
  addExamples(
    completion,
    ['source <(sagrada completion bash)', 'in bash; put it into ~/.bashrc to keep it'],
    ['source <(sagrada completion zsh)', 'in zsh, after compinit; put it into ~/.zshrc'],
    ['sagrada completion fish | source', 'in fish; or into ~/.config/fish/completions/sagrada.fish'],
  );
  for (const [name, script] of Object.entries({ bash, zsh, fish })) {
    const shell = completion
      .command(name)
      .description(`print it for ${name}`)
      .action(() => void process.stdout.write(script));
    addExamples(shell, [`sagrada completion ${name} > sagrada.${name}`, 'to be sourced']);
  }
  completion
    .command('words', { hidden: true })
    .description(
      'what may stand last on a command line: its value and what it is, on a line each; then whether files may',
    )
    .argument('[word...]')
    .action(words);
  return completion;
}

async function words(list: readonly string[]): Promise<void> {
  const program = await makeProgram(list.length > 1 ? (list[0] ?? '') : '');
  const { candidates, files } = await completeWords(program, list, values);
  const lines = candidates.map(({ value, doc }) => `${value}\t${doc}\n`);
  process.stdout.write(`${lines.join('')}:${files}\n`);
}

const alone = (candidates: readonly Candidate[]): Completion => ({ candidates, files: 'none' });

/** What only we know: names of ours, and what was kept. */
async function values(name: string, given: Given): Promise<Completion | undefined> {
  switch (name) {
    case '--machine':
      return alone(listMachines().map((machine) => ({ value: machine.name, doc: machine.doc })));
    case '--isa':
    case 'isa':
      return alone(Object.entries(instructionSets).map(([value, { doc }]) => ({ value, doc })));
    case '--kernel': {
      const suites = [
        ...['backports', 'stable'].map((value) => ({ value, doc: `Debian's kernel` })),
        { value: 'coverage', doc: 'counts what runs of the drivers, and watches them' },
      ];
      return { candidates: suites, files: 'files' };
    }
    case '--on':
      return alone(['model', 'vm', 'model,vm'].map((value) => ({ value, doc: '' })));
    case 'suite': {
      const { namedSuites, suites } = await import('../exercise/suites/index.ts');
      const { SUITE } = await import('../exercise/agreement/sequences.ts');
      return alone([
        ...[...suites, ...namedSuites].map(({ name: value, about }) => ({ value, doc: about })),
        { value: SUITE, doc: 'random sequences of calls' },
      ]);
    }
    case '--fault':
    case 'name': {
      const { faults } = await import('../../specs/gaudi/faults.ts');
      return alone(Object.entries(faults).map(([value, { doc }]) => ({ value, doc })));
    }
    case '--grep': {
      const { chosenTests } = await import('../exercise/selection.ts');
      const tests = chosenTests({ suites: [], seed: 1, timeout: 60 });
      return alone(tests.map(({ id }) => ({ value: id.replaceAll(/[\\^$.*+?()[\]{}|]/g, '\\$&'), doc: '' })));
    }
    case '--run':
      return alone((await runs(given)).map(candidate));
    case 'before':
    case 'after': {
      const list = await runs(given);
      const kernels = new Set(list.map(({ system }) => /\d+\.\d+[\w.+~-]*/.exec(system)?.[0] ?? 'model'));
      return alone([...[...kernels].map((value) => ({ value, doc: 'what counts of it' })), ...list.map(candidate)]);
    }
  }
  return undefined;
}

/** Runs that were kept, the newest first; none where they cannot be read: this is no place to say why. */
async function runs(given: Given): Promise<readonly Run[]> {
  const results = given.get('results');
  const file = resultsFile({
    cache: given.get('cache') ?? cacheFolder(),
    ...(results === undefined ? {} : { results }),
  });
  if (!existsSync(file)) return [];
  const { Results } = await import('../exercise/coverage/results.ts');
  try {
    using kept = new Results(file, false);
    return kept.runs().slice(0, 50);
  } catch {
    return [];
  }
}

const candidate = ({ id, target, system }: Run): Candidate => ({ value: id, doc: `${target}, ${system}` });
