/** Every command shows examples in its help, and they work: what needs a virtual machine or minutes, up to the point of action. */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import type { Command } from 'commander';
import { makeProgram } from '../../src/cli/commands.ts';
import { Results } from '../../src/exercise/coverage/results.ts';

const root = path.join(import.meta.dirname, '../..');
const folder = mkdtempSync(path.join(tmpdir(), 'help-'));
after(() => rmSync(folder, { recursive: true }));
const file = (name: string) => path.join(folder, name);

/** What boots a machine, runs for minutes, or waits for a person. */
const LONG = /--on (vm|model,vm)|--kernel|\bvm (run|shell|setup)\b|^sagrada exercise$|^sagrada (view|fuzz)\b/;

const program = await makeProgram('');
const commands = [program, ...below(program)];

function below(command: Command): readonly Command[] {
  const visible = command.createHelp().visibleCommands(command);
  const own = visible.filter((one) => command.commands.includes(one));
  return own.flatMap((one) => [one, ...below(one)]);
}

function fullName(command: Command): string {
  return command.parent ? `${fullName(command.parent)} ${command.name()}` : command.name();
}

function examplesOf(command: Command): readonly string[] {
  let help = '';
  const writeOut = (text: string) => {
    help += text;
  };
  command.configureOutput({ writeOut });
  command.outputHelp();
  const [, examples = ''] = help.split('\nExamples:\n');
  // what it does is beside it, or below it and further in
  return [...examples.matchAll(/^ {2}(\S.*?)(?: {2,}.*)?$/gm)].map(([, line = '']) => line);
}

for (const name of ['bin', 'bin-parse', 'work']) mkdirSync(file(name));
const real = `#!/bin/sh\nexec ${process.execPath} ${root}/bin/sagrada.js "$@"\n`;
writeFileSync(file('bin/sagrada'), real, { mode: 0o755 });
writeFileSync(
  file('parse.ts'),
  `import { makeProgram } from '${root}/src/cli/commands.ts';
const program = await makeProgram(process.argv[2] ?? '');
const disarm = (command) => {
  command.action(() => console.error('parsed'));
  command.commands.forEach(disarm);
};
program.commands.forEach(disarm);
await program.parseAsync(process.argv);
`,
);
writeFileSync(file('bin-parse/sagrada'), `#!/bin/sh\nexec ${process.execPath} ${file('parse.ts')} "$@"\n`, {
  mode: 0o755,
});
for (const name of ['kernels', 'examples']) symlinkSync(path.join(root, name), file(`work/${name}`));
writeFileSync(file('work/stream.qman'), 'nop\n');
const runs = [
  ['cache/results.sqlite', 1, 'model', 'a model'],
  ['cache/results.sqlite', 2, 'model', 'a model'],
  ['cache/results.sqlite', 1, 'vm', 'Linux 6.12.107+deb13-amd64'],
  ['cache/results.sqlite', 1, 'vm', 'Linux 7.3.4+deb13-amd64'],
  ['work/part1.sqlite', 1, 'model', 'a model'],
  ['work/part2.sqlite', 2, 'model', 'a model'],
] as const;
for (const [i, [name, shard, target, system]] of runs.entries()) {
  using results = new Results(file(name), true);
  const what = { target, system, machine: 'gaudi', seed: 1, version: '0', options: '', whole: true };
  const run = results.begin({ ...what, shard, shards: 2 }, new Date(`2026-11-22T20:4${5 - (i % 4)}:00.000Z`));
  run.result({ id: 'a: b', suite: 'a', name: 'b', status: 'passed', ms: 1, messages: [], points: [] });
  run.end(1);
}

for (const command of commands) {
  test(`the examples of "${fullName(command)}" work`, () => {
    const examples = examplesOf(command);
    assert.ok(examples.length > 0, 'there is none');
    for (const example of examples) {
      assert.match(example, /\bsagrada /);
      // that the scripts are right is for the tests of completion
      const line = /source/.test(example) ? (/sagrada completion \w+/.exec(example)?.[0] ?? '') : example;
      const bin = file(LONG.test(line) ? 'bin-parse' : 'bin');
      const { status, stdout, stderr } = spawnSync('bash', ['-o', 'pipefail', '-c', line], {
        cwd: file('work'),
        env: { ...process.env, PATH: `${bin}:${process.env.PATH}`, SAGRADA_CACHE: file('cache') },
        encoding: 'utf8',
        stdio: ['ignore', 'pipe', 'pipe'],
      });
      // a machine may lack something
      const expected = line.startsWith('sagrada doctor') ? /[01]/ : /^0$/;
      assert.match(String(status), expected, `${example}\n${stdout}${stderr}`);
      if (bin.endsWith('parse')) assert.match(stderr, /parsed\n$/, example);
    }
  });
}
