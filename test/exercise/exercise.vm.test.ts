/**
 * The main job: each test of the exerciser is a test here. Two cards on both of Debian's kernels, on one of them compared with the
 * model of the driver, call by call, with random sequences besides; the older firmware protocol;
 * and what depends on order once more with engines that are late.
 */

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import path from 'node:path';
import process from 'node:process';
import { createInterface } from 'node:readline';
import { after, before, describe, test } from 'node:test';
import { sequenceSuite } from '../../src/exercise/agreement/sequences.ts';
import type { Result } from '../../src/exercise/events.ts';
import type { Need } from '../../src/exercise/needs.ts';
import { suites } from '../../src/exercise/suites/index.ts';

const cli = path.join(import.meta.dirname, '..', '..', 'bin', 'sagrada.js');

interface Run {
  readonly args: readonly string[];
  /** Suites. */
  readonly only?: readonly string[];
  /** Targets. */
  readonly on?: string;
  /** What this machine and kernel have not; tests that need it are left out. */
  readonly lacks?: readonly Need[];
}

/** Seconds that a test may take: many times what it does, for a machine that has other things to do. */
const PATIENCE = '300';
const SEQUENCES = 25;
const all = [...suites, sequenceSuite(1, SEQUENCES)];

const runs: readonly Run[] = [
  {
    args: ['--machine', 'gaudi-x2-efa-x2', '--kernel', 'backports', '--sequences', String(SEQUENCES)],
    // faults have a guest of their own: most of their time is that of resets, in which another guest can run
    only: all.map((s) => s.name).filter((name) => name !== 'faults'),
    on: 'model,vm',
    lacks: ['no-p2p', 'apart', 'nic-apart'],
  },
  {
    args: ['--machine', 'gaudi-x2', '--kernel', 'stable', '--seed', '2'],
    only: suites.map((s) => s.name).filter((name) => name !== 'faults'),
    lacks: ['p2p', 'apart', 'nic', 'nics', 'nic-apart', 'no-host-routes'],
  },
  { args: ['--machine', 'gaudi-x2', '--kernel', 'backports'], only: ['faults'] },
  { args: ['--machine', 'gaudi-x2', '--kernel', 'stable', '--seed', '2'], only: ['faults'] },
  { args: ['--machine', 'gaudi-efa-apart'], only: ['p2p'], on: 'model,vm', lacks: ['nic', 'nics'] },
  { args: ['--machine', 'gaudi-x2-apart', '--kernel', 'backports'], only: ['dmabuf'], lacks: ['p2p', 'no-p2p'] },
  { args: ['--firmware', 'static'], only: ['info'] },
  { args: ['--delay', 'DMA:20', '--delay', 'SYNC_MNGR:50', '--device-seed', '7'], only: ['sync'] },
];

function declare({ args: options, only, on = 'vm', lacks = [] }: Run): void {
  const chosen = all
    .filter((s) => (only === undefined ? suites.includes(s) : only.includes(s.name)))
    .flatMap((s) => s.tests)
    .filter((t) => t.options.needs === undefined || !lacks.includes(t.options.needs));
  describe(`sagrada exercise --on ${on} ${[...(only ?? []), ...options].join(' ')}`, { concurrency: 1 }, () => {
    const results = new Map<string, Result>();
    const waiting = new Map<string, (result: Result | undefined) => void>();
    let complaints = '';
    let ended: Promise<number | null>;
    let over = false;

    before(() => {
      const args = ['exercise', ...(only ?? []), '--on', on, ...options, '--timeout', PATIENCE, '--format', 'json'];
      const child = spawn(process.execPath, [cli, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
      child.stderr.on('data', (data: Buffer) => {
        complaints += data.toString();
      });
      createInterface({ input: child.stdout }).on('line', (line) => {
        const event = JSON.parse(line) as { type: string } & Result;
        if (event.type !== 'result') return;
        results.set(event.id, event);
        waiting.get(event.id)?.(event);
      });
      ended = new Promise((resolve) => child.on('close', resolve));
      void ended.then(() => {
        over = true;
        for (const resolve of waiting.values()) resolve(undefined);
      });
    });

    const result = (id: string): Promise<Result | undefined> | Result | undefined =>
      results.get(id) ?? (over ? undefined : new Promise((resolve) => waiting.set(id, resolve)));

    for (const { id } of chosen) {
      test(id, async (t) => {
        const got = await result(id);
        assert.ok(got, `it was not run:\n${complaints}`);
        const why = [got.failure?.message, ...got.messages.map((line) => `driver: ${line}`)].join('\n');
        if (got.status === 'skipped') t.skip(got.reason ?? '');
        else assert.equal(got.status, 'passed', why);
      });
    }

    test('the exit status says that all passed', async () => {
      assert.equal(await ended, 0, complaints);
    });

    after(() => ended);
  });
}

// two guests at a time: in half of its time a guest waits for a card that is being reset
describe('the exerciser', { concurrency: 2 }, () => {
  for (const run of runs) declare(run);
});
