/** What examples/ci holds works: as scripts on the model, and the job array in a Slurm cluster. */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import { startCluster, until } from './slurm.ts';

const root = path.join(import.meta.dirname, '../..');
const folder = mkdtempSync(path.join(tmpdir(), 'ci-'));
after(() => rmSync(folder, { recursive: true, force: true }));
const sagrada = `${process.execPath} ${path.join(root, 'bin/sagrada.js')}`;
const script = path.join(root, 'examples/ci/slurm.sh');

/** A folder of its own for a test, as `OUT`. */
function place(name: string, settings: Readonly<Record<string, string>>) {
  const out = path.join(folder, name);
  const env: NodeJS.ProcessEnv = {
    ...process.env,
    KERNELS: '',
    SEEDS: '',
    FUZZ: '',
    SUITES: 'cb',
    SHARDS: '2',
    OUT: out,
    SAGRADA: sagrada,
    ...settings,
  };
  const run = (...args: readonly string[]) => {
    const { status, stdout, stderr } = spawnSync('bash', [script, ...args], { env, encoding: 'utf8' });
    return { status, stdout, stderr };
  };
  const task = (id: string) => {
    env.SLURM_ARRAY_TASK_ID = id;
    return run();
  };
  return { out, env, run, task };
}

test('a task that does not exist, or none at all, is refused', () => {
  const { run, task } = place('refused', {});
  assert.equal(task('3').status, 2);
  assert.equal(run('what').status, 2);
  const { env } = place('none', {});
  const { status, stderr } = spawnSync('bash', [script], { env, encoding: 'utf8' });
  assert.notEqual(status, 0);
  assert.match(stderr, /SLURM_ARRAY_TASK_ID/);
});

test('kernels, parts of the tests and seeds each have a task', () => {
  const { run } = place('tasks', { KERNELS: 'backports stable', SEEDS: '5 6', FUZZ: '1h', SUITES: '' });
  const lines = run('tasks').stdout.trimEnd().split('\n');
  assert.equal(new Set(lines).size, 2 * (2 + 2 + 2));
  assert.ok(lines.some((line) => /--kernel stable .*--shard 2\/2/.test(line)));
  assert.ok(lines.some((line) => /sequences .*--kernel stable --seed 6/.test(line)));
  assert.ok(lines.includes('fuzz --on model,vm --kernel backports --seed 5 --for 1h'));
});

test('what the tasks of an array leave is merged; what is missing, or has failed, is told and fails the job', () => {
  const { out, run, task } = place('array', { SEEDS: '3', FUZZ: '2s' });
  assert.equal(task('1').status, 0);
  const early = run('merge');
  assert.equal(early.status, 1);
  assert.match(early.stderr, /^task 2 has left no results: .*--shard 2\/2$/m);
  assert.match(early.stderr, /of 2 parts these are missing: 2/);
  assert.equal(task('2').status, 0);
  assert.equal(task('3').status, 0);
  assert.match(run('merge').stderr, /^task 4 has left no results: fuzz /m);
  assert.equal(task('4').status, 0);
  const { status, stdout, stderr } = run('merge');
  assert.equal(stderr, '');
  assert.equal(status, 0);
  assert.match(stdout, /tests: \d+ passed, 0 failed/);
  assert.match(readFileSync(path.join(out, 'task1.xml'), 'utf8'), /<testsuite name="cb"/);
  assert.match(readFileSync(path.join(out, 'report.html'), 'utf8'), /^<!DOCTYPE html>/);
});

test('in a Slurm cluster of two nodes an array is spread, and merged when all of it has ended', async () => {
  const { out, env } = place('slurm', { SHARDS: '3' });
  const home = path.join(folder, 's');
  mkdirSync(home);
  await using cluster = await startCluster(home);
  const submitting = spawnSync('bash', [script, 'submit'], {
    env: { ...env, ...cluster.env },
    cwd: folder,
    encoding: 'utf8',
  });
  assert.equal(submitting.stderr, '');
  assert.match(submitting.stdout, /^Submitted batch job \d+\n$/);
  await until(async () => (await cluster.ask('squeue', '-h')) === '');
  const log = readFileSync(path.join(out, 'merge.log'), 'utf8');
  assert.match(log, /tests: \d+ passed, 0 failed/, log);
  const logs = [1, 2, 3].map((task) => readFileSync(path.join(out, `task${task}.log`), 'utf8'));
  const nodes = new Set(logs.map((text) => /^task \d on (\w+): /.exec(text)?.[1]));
  assert.deepEqual(nodes, new Set(['node1', 'node2']));
  assert.deepEqual(
    readdirSync(out).filter((name) => name.endsWith('.xml')),
    ['task1.xml', 'task2.xml', 'task3.xml'],
  );
});

/** Its `run:` steps by job, as lines for a shell, and its variables. */
function workflow() {
  const text = readFileSync(path.join(root, 'examples/ci/github.yml'), 'utf8');
  const jobs = new Map<string, string[]>();
  const lines = text.split('\n');
  let job = '';
  for (let i = lines.indexOf('jobs:') + 1; i < lines.length; i++) {
    const line = lines[i] ?? '';
    job = /^ {2}(\w+):$/.exec(line)?.[1] ?? job;
    const step = /^( +)run: (.*)$/.exec(line);
    if (!step) continue;
    const [, indent = '', first = ''] = step;
    const body = [];
    if (first === '|')
      while ((lines[i + 1] ?? '').startsWith(`${indent}  `)) body.push(lines[++i]?.slice(indent.length + 2));
    jobs.set(job, [...(jobs.get(job) ?? []), first === '|' ? body.join('\n') : first]);
  }
  return { text, jobs };
}

test('the steps of the workflow for GitHub run the parts and put them together', () => {
  const { text, jobs } = workflow();
  assert.ok(!text.includes('\t'));
  const bin = path.join(folder, 'bin');
  mkdirSync(bin);
  const program = (name: string, body: string) =>
    writeFileSync(path.join(bin, name), `#!/bin/sh\n${body}\n`, { mode: 0o755 });
  program('npx', `shift; exec ${sagrada} "$@"`);
  // these are about the machine
  program('npm', '');
  program('sudo', '');
  const work = path.join(folder, 'work');
  mkdirSync(work);
  const step = (body: string, env: Readonly<Record<string, string>>) => {
    const { status, stdout, stderr } = spawnSync('bash', ['-eo', 'pipefail', '-c', body], {
      cwd: work,
      env: { ...process.env, PATH: `${bin}:${process.env.PATH}`, SUITES: 'cb', ...env },
      encoding: 'utf8',
    });
    return { status, output: stdout + stderr };
  };
  for (const shard of [1, 2]) {
    for (const body of jobs.get('exercise') ?? []) {
      assert.doesNotMatch(body, /\$\{\{/, 'values come by the environment');
      const { status, output } = step(body, { TARGET: '--on model', SHARD: `${shard}/2`, PART: `model-${shard}` });
      assert.equal(status, 0, output);
    }
  }
  const summary = path.join(folder, 'summary.md');
  const bodies = jobs.get('report') ?? [];
  assert.equal(bodies.length, 2);
  for (const body of bodies) {
    const { status, output } = step(body, { GITHUB_STEP_SUMMARY: summary });
    assert.equal(status, 0, output);
  }
  assert.match(readFileSync(summary, 'utf8'), /^# The habanalabs interface/);
  assert.ok(existsSync(path.join(work, 'report.html')));
  rmSync(path.join(work, 'out/model-2.sqlite'));
  rmSync(path.join(work, 'all.sqlite'));
  assert.equal(step(bodies[1] ?? '', { GITHUB_STEP_SUMMARY: summary }).status, 1);
});

test('the commands of the page about CI work, here on the model and with one suite', () => {
  const page = readFileSync(path.join(root, 'docs/ci.md'), 'utf8');
  const [run = '', ...blocks] = [...page.matchAll(/^```sh\n(.*?)^```$/gms)].map(([, block = '']) => block);
  assert.equal(blocks.length, 2);
  const part = (shard: number) =>
    run
      .replace('exercise --on vm', 'exercise cb --on model')
      .replace('--shard 1/4', `--shard ${shard}/4`)
      .replace('part1', `part${shard}`);
  assert.notEqual(part(2), part(1));
  const work = path.join(folder, 'page');
  mkdirSync(work);
  const npx = `npx() { shift; ${sagrada} "$@"; }\n`;
  for (const block of [part(1), part(2), part(3), part(4), ...blocks]) {
    const { status, stdout, stderr } = spawnSync('bash', ['-e', '-c', npx + block], { cwd: work, encoding: 'utf8' });
    assert.equal(status, 0, block + stdout + stderr);
  }
});
