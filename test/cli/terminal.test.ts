/** What a terminal sees, and what a file or a program gets. */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import { pathToFileURL } from 'node:url';

const folder = mkdtempSync(path.join(tmpdir(), 'terminal-'));
after(() => rmSync(folder, { recursive: true }));
const cli = path.join(import.meta.dirname, '../../bin/sagrada.js');
const file = (name: string) => path.join(folder, name);
const COMMAND = ['exercise', 'cb', '--grep', 'fresh|keeps', '--results', file('results')];
const ESCAPE = '\u001b';

function environment(extra: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const { NO_COLOR, FORCE_COLOR, CI, ...env } = process.env;
  return { ...env, TERM: 'xterm-256color', SAGRADA_CACHE: file('cache'), ...extra };
}

/** Standard output and standard error of a run with neither at a terminal. */
function piped(extra: NodeJS.ProcessEnv, ...args: readonly string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [cli, ...args], {
    env: environment(extra),
    encoding: 'utf8',
  });
  return { status, stdout, stderr };
}

/** What a terminal gets of a shell's command. */
function atTerminal(extra: NodeJS.ProcessEnv, line: string): string {
  const { stdout } = spawnSync('script', ['-qec', line, '/dev/null'], { env: environment(extra), encoding: 'utf8' });
  return stdout;
}

const line = [process.execPath, cli, ...COMMAND].map((word) => `'${word}'`).join(' ');

test('what is no terminal gets no colour and nothing that is rewritten', () => {
  const { stdout, stderr } = piped({}, ...COMMAND);
  assert.doesNotMatch(stdout, /\r/);
  assert.ok(!stdout.includes(ESCAPE));
  assert.equal(stderr, '');
});

test('FORCE_COLOR colours a pipe, NO_COLOR a terminal not; the first wins', () => {
  assert.ok(piped({ FORCE_COLOR: '1' }, ...COMMAND).stdout.includes(`${ESCAPE}[32m`));
  assert.ok(piped({ FORCE_COLOR: '1', NO_COLOR: '1' }, ...COMMAND).stdout.includes(`${ESCAPE}[32m`));
  assert.ok(atTerminal({}, line).includes(`${ESCAPE}[32m`));
  assert.ok(!atTerminal({ NO_COLOR: '1' }, line).includes(`${ESCAPE}[32m`));
  assert.ok(!atTerminal({ FORCE_COLOR: '0' }, line).includes(`${ESCAPE}[32m`));
});

test('a terminal sees the test that runs, also when the report goes into a file', () => {
  assert.match(atTerminal({}, line), / {2}1\/2 cb: /);
  const report = file('report.json');
  assert.match(atTerminal({}, `${line} --json > ${report}`), / {2}2\/2[^\r]* cb: /);
  const lines = readFileSync(report, 'utf8').trimEnd().split('\n');
  assert.deepEqual(
    lines.map((one) => JSON.parse(one).type),
    ['run', 'result', 'result', 'totals'],
  );
});

test('--json is JSON of everything that lists or reports', () => {
  piped({}, ...COMMAND);
  const results = ['--results', file('results')];
  for (const args of [
    ['exercise', 'cb', '--list'],
    ['history', ...results],
    ['compare', 'last', 'last', ...results],
    ['report', ...results],
    ['doctor', '--qemu', '/bin/false'],
    ['vm', 'list'],
    ['isa', 'list'],
    ['isa', 'list', 'gaudi-qman'],
    ['isa', 'list', 'gaudi-qman', '--symbols'],
    ['isa', 'list', '--unverified'],
    ['faults'],
  ]) {
    const { stdout, stderr } = piped({}, ...args, '--json');
    assert.equal(stderr, '', args.join(' '));
    assert.equal(typeof JSON.parse(stdout), 'object', args.join(' '));
  }
  const registers = file('registers.json');
  assert.equal(piped({}, ...COMMAND, '--registers', registers).stderr, '');
  const devices = JSON.parse(readFileSync(registers, 'utf8'));
  assert.ok(devices[0].registers.length > 100);
  const { status, stderr } = piped({}, ...COMMAND, '--registers', '/proc/none');
  assert.equal(status, 1);
  assert.match(stderr, /^sagrada: --registers \/proc\/none: [^\n]+\n$/);
});

const terminal = JSON.stringify(pathToFileURL(path.join(import.meta.dirname, '../../src/cli/terminal.ts')).href);
const program = (body: string) => `import { progressLine, waiting } from ${terminal};\n${body}`;

test('a terminal sees that something goes on of which nothing is heard, and nothing of that stays', () => {
  writeFileSync(
    file('waits.ts'),
    program('await waiting(new Promise((resolve) => setTimeout(resolve, 3500)));\nconsole.log("done");'),
  );
  const shown = atTerminal({}, `'${process.execPath}' '${file('waits.ts')}'`);
  assert.match(shown, / {2}\.\.\. [23] s\r/);
  assert.ok(shown.endsWith(`\r${ESCAPE}[2Kdone\r\n`), JSON.stringify(shown));
  const { stdout, stderr } = spawnSync(process.execPath, [file('waits.ts')], { encoding: 'utf8' });
  assert.deepEqual([stdout, stderr], ['done\n', '']);
});

test('a download is a line that is rewritten, or where there is no terminal one for each tenth', () => {
  writeFileSync(
    file('loads.ts'),
    program('const tell = progressLine();\nfor (let i = 0; i <= 100; i++) tell(i * 3e6, 300e6);'),
  );
  const { stderr } = spawnSync(process.execPath, [file('loads.ts')], { encoding: 'utf8' });
  const lines = stderr.trimEnd().split('\n');
  assert.equal(lines.length, 11);
  assert.match(lines.at(-1) ?? '', /^ {2}300 of 300 MB$/);
  assert.ok(!stderr.includes('\r'));
  const shown = atTerminal({}, `'${process.execPath}' '${file('loads.ts')}'`);
  assert.match(shown, /\r\S* {2}150 of 300 MB/);
  assert.equal(shown.match(/\n/g)?.length, 1);
});
