/** Runs the property and fuzz tests again and again, each round with a new seed (SAGRADA_SEED), until one fails or Ctrl-C. */

import { spawnSync } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { globSync, readFileSync } from 'node:fs';
import path from 'node:path';
import process from 'node:process';

const root = path.dirname(import.meta.dirname);
const files = globSync('test/**/*.test.ts', { cwd: root }).filter(
  (f) => !f.endsWith('.vm.test.ts') && readFileSync(path.join(root, f), 'utf8').includes('seed'),
);

for (let round = 1; ; round++) {
  const seed = randomInt(2 ** 31);
  console.log(`round ${round}, SAGRADA_SEED=${seed}`);
  const run = spawnSync(process.execPath, ['--test', '--test-reporter=dot', ...files], {
    cwd: root,
    stdio: 'inherit',
    env: { ...process.env, SAGRADA_SEED: String(seed) },
  });
  if (run.status !== 0) {
    console.error(`failed with SAGRADA_SEED=${seed}`);
    process.exitCode = 1;
    break;
  }
}
