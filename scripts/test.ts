/**
 * Runs the tests: `npm test` all of them, `npm run test:unit` those that need neither a virtual machine nor the whole program
 * started anew for each test, `npm test -- FILE...` the named ones. Ends with the line `N passed, M failed, K skipped`. With CI=true a skipped test is a failure.
 */

import { spawnSync } from 'node:child_process';
import { globSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import process from 'node:process';
import { run } from 'node:test';
import { spec } from 'node:test/reporters';

const root = path.dirname(import.meta.dirname);
// the files of tests, and the programs that they start, are processes that load the same sources: where bin/sagrada.js has them
process.env.NODE_COMPILE_CACHE ??= path.join(tmpdir(), 'node-compile-cache');
const ci = process.env.CI === 'true';
const args = process.argv.slice(2);
const unitOnly = args.includes('--unit');
const named = args.filter((a) => !a.startsWith('--'));

const all = named.length > 0 ? named.map((f) => path.resolve(f)) : globSync('test/**/*.test.ts', { cwd: root });
const files = all.map((f) => path.resolve(root, f)).sort();
const vm = unitOnly ? [] : files.filter((f) => f.endsWith('.vm.test.ts'));
/** Has two guests at a time itself. */
const suites = vm.filter((f) => path.basename(f) === 'exercise.vm.test.ts');
/** Start commands, one after the other: more than half of the time of all that need no machine. */
const COMMANDS = ['cli/', 'mutants/', 'examples.test.ts', 'trace/run.test.ts', 'machine/vm-bad-input.test.ts'];
const startsCommands = (file: string) =>
  COMMANDS.some((part) => path.relative(path.join(root, 'test'), file).startsWith(part));
const unit = files.filter((f) => !f.endsWith('.vm.test.ts') && !(unitOnly && startsCommands(f)));

const total = { passed: 0, failed: 0, skipped: 0 };

/** Runs test files in processes of their own. Counts tests, not suites or files. */
async function runFiles(batch: string[], concurrency: number): Promise<void> {
  if (batch.length === 0) return;
  const stream = run({ files: batch, concurrency, cwd: root });
  stream.on('test:pass', (event) => {
    if (event.details.type === 'suite') return;
    if (event.skip !== undefined && event.skip !== false) total.skipped++;
    else total.passed++;
  });
  stream.on('test:fail', (event) => {
    if (event.details.type !== 'suite') total.failed++;
  });
  const reporter = new spec();
  stream.compose(reporter).pipe(process.stdout, { end: false });
  await new Promise((resolve, reject) => {
    reporter.on('end', resolve);
    stream.on('error', reject);
  });
}

const needsSetup = unit.some((f) => f.includes(`${path.sep}uapi${path.sep}`)) || vm.length > 0;
if (needsSetup && !unitOnly) {
  for (const kernel of ['backports', 'stable']) {
    const setup = spawnSync(process.execPath, ['bin/sagrada.js', 'vm', 'setup', '--kernel', kernel], {
      cwd: root,
      stdio: 'inherit',
    });
    if (setup.status !== 0) {
      console.error(
        `sagrada vm setup --kernel ${kernel} failed: the tests that need the guest will fail or be skipped`,
      );
    }
  }
}

await runFiles(unit, 2);
await runFiles(suites, 1);
await runFiles(
  vm.filter((f) => !suites.includes(f)),
  2,
);

console.log(`${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped`);
process.exitCode = total.failed > 0 || total.passed === 0 || (ci && total.skipped > 0) ? 1 : 0;
