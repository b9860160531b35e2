/** Traces of devices that the kernel's own drivers use. */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import { openTrace } from '../../src/trace/open.ts';
import { entryOf, type TraceEntry } from '../../src/trace/text.ts';

const program = path.join(import.meta.dirname, '../../bin/sagrada.js');
const folder = mkdtempSync(path.join(tmpdir(), 'sagrada-trace-'));
after(() => rmSync(folder, { recursive: true }));

test('what the drivers of a card and a NIC do with them is recorded, in wall time', () => {
  const file = path.join(folder, 'guest');
  const began = performance.now();
  const words = ['vm', 'run', '--machine', 'gaudi-efa', '--trace', file, '--', 'true'];
  const { status, stderr } = spawnSync(process.execPath, [program, ...words], { encoding: 'utf8' });
  const seconds = (performance.now() - began) / 1000;
  assert.equal(status, 0, stderr);
  const trace = openTrace(file);
  assert.equal(trace.problem, undefined);
  assert.equal(trace.clock, 'wall');
  const columns = trace.columns();
  const all = Array.from({ length: trace.count }, (_, i) => entryOf(trace, columns, i));
  assert.ok(all.every(({ time }) => time >= 0 && time < seconds * 1e9));
  const of = (kind: string, device: string) => (entry: TraceEntry) =>
    entry.kind === kind && entry.track.startsWith(`vm/${device}/`);
  for (const kind of ['register_write', 'doorbell', 'buffer', 'packet', 'dma', 'message', 'bus', 'firmware']) {
    assert.ok(all.some(of(kind, 'gaudi0')), `nothing of ${kind}`);
  }
  for (const kind of ['register_write', 'admin_command', 'interrupt', 'bus']) {
    assert.ok(all.some(of(kind, 'efa0')), `nothing of ${kind}`);
  }
  // the driver's doorbell leads to what the engine does, and that to the host's memory
  const copy = all.findIndex(of('dma', 'gaudi0'));
  const chain = trace.flows(copy).flatMap((flow) => trace.flowEvents(flow).map((event) => all[event]?.kind));
  assert.deepEqual(chain.slice(0, 4), ['doorbell', 'buffer', 'dma', 'message']);
});
