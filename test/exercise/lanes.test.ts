import assert from 'node:assert/strict';
import process from 'node:process';
import { test } from 'node:test';
import type { Result, RunEvent } from '../../src/exercise/events.ts';
import { runInLanes } from '../../src/exercise/lanes.ts';
import { UserError } from '../../src/sim/errors.ts';

const CONFIG = { suites: ['info', 'cb', 'errors'], seed: 3, timeout: 300, trace: true, grep: 'a|e' };
const MACHINE = { machine: 'gaudi-x2' };

async function run(jobs: number): Promise<RunEvent[]> {
  const events: RunEvent[] = [];
  const { signal } = new AbortController();
  await runInLanes(CONFIG, { machine: MACHINE, jobs, signal }, (event) => void events.push(event));
  return events;
}

test('side by side or one after the other: the same calls with the same answers, told in the same order', async () => {
  const without = (event: RunEvent) => (event.type === 'result' ? { ...event.result, ms: 0 } : event);
  const [alone, together] = [await run(1), await run(3)];
  assert.ok(alone.length > 100, `${alone.length} events`);
  assert.deepEqual(together.map(without), alone.map(without));
  // a plan for all, then start and result of each test in its order, then the end
  assert.ok(together[0]?.type === 'plan');
  const expected = together[0].tests.flatMap(({ id }) => [`start ${id}`, `result ${id}`]);
  const told = together.slice(1).map((e) => {
    if (e.type === 'result') return `result ${e.result.id}`;
    return e.type === 'start' ? `start ${e.id}` : e.type;
  });
  assert.deepEqual(told, [...expected, 'end']);
});

test('a run that is ended tells of nothing that began later, and leaves no thread behind', async () => {
  const controller = new AbortController();
  const told: RunEvent[] = [];
  const reason = new Error('enough');
  const end = (event: RunEvent) => {
    told.push(event);
    if (event.type === 'result') controller.abort(reason);
  };
  const { signal } = controller;
  await assert.rejects(runInLanes(CONFIG, { machine: MACHINE, jobs: 2, signal }, end), reason);
  const count = told.length;
  assert.ok(!process.getActiveResourcesInfo().includes('MessagePort'), 'a worker thread is left');
  await new Promise((resolve) => setTimeout(resolve, 200));
  assert.equal(told.length, count);
});

test('a suite is run on a machine of its own choice, and what that lacks is left out there only', async () => {
  const events: RunEvent[] = [];
  const { signal } = new AbortController();
  const config = {
    suites: ['info', 'p2p'],
    seed: 1,
    timeout: 300,
    grep: 'status|in the command|have the same dma-buf',
  };
  const machineOf = (suite: string) => (suite === 'p2p' ? 'gaudi-efa' : undefined);
  await runInLanes(config, { machine: MACHINE, machineOf, jobs: 1, signal }, (event) => void events.push(event));
  const plan = events.find((event) => event.type === 'plan');
  assert.deepEqual(
    plan?.leftOut?.flatMap(({ tests }) => tests),
    ['p2p: two network cards have the same dma-buf'],
  );
  const results = events.flatMap((event): Result[] => (event.type === 'result' ? [event.result] : []));
  const done = results.find(({ id }) => id === 'p2p: a list of pages in the command: 12 KiB');
  assert.equal(done?.status, 'passed', done?.failure?.message ?? 'not run');
  const moved = done?.moved?.find(({ from, to }) => from === 'efa0' && to === 'gaudi0');
  assert.equal(moved?.route, 'switch');
  assert.equal(moved?.written, 12 * 1024);
  assert.equal(moved?.read, 12 * 1024);
});

test('a machine that does not exist is told of', async () => {
  const { signal } = new AbortController();
  const machine = { machine: 'gaudi-x3' };
  await assert.rejects(
    runInLanes(CONFIG, { machine, jobs: 1, signal }, () => {}),
    (error: Error) => {
      return error instanceof UserError || /gaudi-x3/.test(error.message);
    },
  );
});
