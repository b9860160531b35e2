/** `npm run check`: types, lint, format, import direction between rooms (biome.json), unused code. */

import { spawn } from 'node:child_process';
import path from 'node:path';
import process from 'node:process';

const root = path.dirname(import.meta.dirname);

const checks = {
  types: ['tsc', '-p', '.'],
  'types of the page': ['tsc', '-p', 'src/view/page'],
  'lint, format, rooms': ['biome', 'ci', '--colors=off', '.'],
  'unused code': ['knip'],
} as const;

interface Outcome {
  readonly name: string;
  readonly ok: boolean;
  readonly output: string;
}

function check(name: string, [command, ...args]: readonly [string, ...string[]]): Promise<Outcome> {
  return new Promise((resolve) => {
    const child = spawn(path.join(root, 'node_modules', '.bin', command), args, { cwd: root });
    let output = '';
    child.stdout.on('data', (data) => (output += data));
    child.stderr.on('data', (data) => (output += data));
    child.on('error', (error) => resolve({ name, ok: false, output: error.message }));
    child.on('close', (status) => resolve({ name, ok: status === 0, output }));
  });
}

const outcomes = await Promise.all(Object.entries(checks).map(([name, command]) => check(name, command)));
for (const { name, ok, output } of outcomes) {
  console.log(`${ok ? 'ok    ' : 'FAILED'} ${name}`);
  if (!ok) console.log(output.trim());
}
process.exitCode = outcomes.every((o) => o.ok) ? 0 : 1;
