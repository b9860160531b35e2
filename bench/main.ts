/**
 * `npm run bench [-- --brief] [-- NAME...]`: runs the benchmarks, each a file beside this one, one after the other. They
 * print JSON lines; each line has a ratio against a reference that was measured in the same run.
 */

import { spawnSync } from 'node:child_process';
import { globSync } from 'node:fs';
import path from 'node:path';
import process from 'node:process';

const args = process.argv.slice(2);
const names = args.filter((a) => !a.startsWith('--'));
const all = globSync('*.ts', { cwd: import.meta.dirname }).filter((f) => f !== 'main.ts' && !f.endsWith('.guest.ts'));
const known = all.map((f) => path.basename(f, '.ts')).sort();
const unknown = names.find((n) => !known.includes(n));
if (unknown !== undefined) {
  console.error(`bench: no benchmark "${unknown}"; there are ${known.join(', ')}`);
  process.exit(2);
}

for (const name of names.length > 0 ? names : known) {
  const file = path.join(import.meta.dirname, `${name}.ts`);
  const run = spawnSync(process.execPath, [file, ...args.filter((a) => a.startsWith('--'))], { stdio: 'inherit' });
  if (run.status !== 0) {
    console.error(`bench: ${name} failed (status ${run.status ?? run.signal})`);
    process.exitCode = 1;
  }
}
