/** What the views are drawn of, where a trace says what no recorder writes. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { syncObjects, transfers } from '../../src/view/page/facts.ts';
import type { Pen } from '../../src/view/page/pen.ts';
import { counted, regions } from '../../src/view/page/regions.ts';
import { followedCores } from '../../src/view/page/steps.ts';
import { type Field, lanesOf } from '../../src/view/page/store.ts';
import { Timeline } from '../../src/view/page/timeline.ts';
import type { TraceData } from '../../src/view/page/trace-data.ts';

const VALUES: readonly Field['value'][] = [
  Number.NaN,
  Number.POSITIVE_INFINITY,
  -1,
  0.5,
  1e300,
  2n ** 64n,
  -(2n ** 63n),
  'no number',
  '',
  true,
  new Uint8Array(3),
];
const NAMES = 'address size bytes source destination rows object value virtual handle offset code cycle from to owner';
const CATEGORIES =
  'memory bus dma sync_object tpc_follow tpc_program tpc_bundle tpc_register tpc_kernel device test unheard-of';

/** An event of each kind and name for each value, at times that are as far apart as can be. */
function hostile(): TraceData {
  const categories = CATEGORIES.split(' ');
  const names = ['allocate', 'free', 'map', 'unmap', 'copy', 'fill', 'V0', '__proto__'];
  const count = categories.length * names.length * VALUES.length;
  const of = (size: number) => Uint32Array.from({ length: count }, (_, event) => event % size);
  const start = Float64Array.from({ length: count }, (_, event) => (event < count / 2 ? event : 2 ** 64 + event));
  const order = Uint32Array.from({ length: count }, (_, event) => event);
  const track = new Uint32Array(count);
  const value = (event: number) => VALUES[Math.floor(event / (categories.length * names.length))] ?? 0;
  return {
    title: 'hostile',
    tracks: [{ path: [] }],
    lanes: lanesOf(1, track, start, start, order),
    start,
    end: start,
    track,
    name: Uint32Array.from({ length: count }, (_, event) => Math.floor(event / categories.length) % names.length),
    names,
    category: of(categories.length),
    categories,
    order,
    everything: order,
    duration: 2 ** 64 + count,
    clock: 'wall',
    problem: undefined,
    fields: (event) => NAMES.split(' ').map((name) => ({ name, value: value(event) })),
    around: () => [],
    links: () => ({ from: [], to: [] }),
  };
}

describe('a trace that says what no recorder writes', () => {
  const data = hostile();

  it('has memory, transfers and sync objects of whole numbers', () => {
    const all = regions(data);
    assert.ok(all.length > 0);
    for (const { address, size } of all) {
      assert.ok(address >= 0n);
      assert.ok(Number.isSafeInteger(size) && size >= 0);
    }
    for (const { bytes } of transfers(data)) assert.ok(Number.isSafeInteger(bytes) && bytes >= 0);
    for (const { changes } of syncObjects(data))
      for (const { value } of changes) assert.ok(Number.isSafeInteger(value));
    for (const levels of counted(data).values()) for (const { bytes } of levels) assert.ok(Number.isSafeInteger(bytes));
  });

  it('has launches that can be stepped through', () => {
    for (const core of followedCores(data)) {
      for (const { offset } of core.text()) assert.ok(offset >= 0);
      for (let step = -1; step < core.steps.length; step++) core.registers(step);
    }
  });

  it('is drawn, from far and from near', () => {
    const timeline = new Timeline(data);
    Object.assign(timeline, { width: 1000, height: 500 });
    const drawn: string[] = [];
    const context = new Proxy({} as Pen, {
      get: (_, key) => (key === 'measureText' ? () => ({ width: 10 }) : () => void drawn.push(String(key))),
      set: () => true,
    });
    const colours = { background: '', text: '', dim: '', line: '', accent: '', categories: [] };
    for (const event of [undefined, 0, data.order.length - 1]) {
      if (event !== undefined) timeline.show(event);
      drawn.length = 0;
      timeline.draw(context, colours);
      assert.ok(drawn.length > 0 && drawn.length < 100_000, `${drawn.length} calls`);
      timeline.eventAt(500, 40);
    }
  });
});
