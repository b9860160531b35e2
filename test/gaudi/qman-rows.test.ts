/** Rows of messages are taken in one go where nothing else happens: nobody can tell. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { VirtualClock } from '../../src/sim/clock.ts';
import { Bench, packet } from './qman-bench.ts';

/** Makes an event of each time that a process waits for. */
class Stepwise extends VirtualClock {
  override advance(): boolean {
    return false;
  }
}

/** Does so now and then. */
class Fitful extends VirtualClock {
  #asked = 0;

  override advance(time: number): boolean {
    return ++this.#asked % 3 !== 0 && super.advance(time);
  }
}

/** Nothing is taken in one go. */
class Plain extends VirtualClock {
  constructor() {
    super();
    Object.defineProperty(this, 'advance', { value: undefined });
  }
}

const message = fc.record({
  kind: fc.constantFrom('message', 'message', 'message', 'nop', 'dma'),
  to: fc.nat({ max: 3 }),
  value: fc.nat(),
  count: fc.integer({ min: 1, max: 12 }),
  eb: fc.nat({ max: 1 }),
  mb: fc.constantFrom(0, 1, 1, 1),
  pred: fc.constantFrom(0, 0, 0, 3),
});
const program = fc.record({
  packets: fc.array(message, { minLength: 1, maxLength: 12 }),
  others: fc.array(fc.record({ at: fc.nat({ max: 3000 }), stream: fc.integer({ min: 1, max: 3 }) }), { maxLength: 4 }),
  guard: fc.constantFrom(0, 0x20, 0x100),
  latency: fc.constantFrom(0, 0, 7),
  delays: fc.array(fc.nat({ max: 40 }), { maxLength: 6 }),
  fault: fc.option(fc.nat({ max: 20 })),
});
type Program = typeof program extends fc.Arbitrary<infer T> ? T : never;

/** Who wrote what when, and what is left in the registers. */
function run({ packets, others, guard, latency, delays, fault }: Program, clock: VirtualClock): string[] {
  let asked = 0;
  let checked = 0;
  const bench = new Bench({ delay: () => delays[asked++] ?? 0, fault: () => checked++ === fault }, clock);
  bench.bus.latency = latency;
  bench.write('CP_BARRIER_CFG', guard, 0);
  const seen: string[] = [];
  const push = bench.trace.push.bind(bench.trace);
  bench.trace.push = (...lines: string[]) => {
    seen.push(...lines.map((line) => `${clock.now()} ${line}`));
    return push(...lines);
  };
  const bytes = packets.flatMap(({ kind, count, to, value, eb, mb, pred }) => {
    if (kind === 'nop') return [packet('NOP', { eb, mb })];
    if (kind === 'dma') return [packet('LIN_DMA', { tsize: count, src: 0n, dst: 0n, eb })];
    return Array.from({ length: count }, (_, i) =>
      packet('MSG_LONG', { addr: 0x9000 + 4 * to + 0x1000 * (to % 2), value: value + i, eb, mb, pred }),
    );
  });
  bench.submit(0, ...bytes);
  for (const { at, stream } of others) {
    clock.at(at, () => bench.submit(stream, packet('MSG_LONG', { addr: 0x9800, value: stream, mb: 1 })));
  }
  bench.run(10_000_000);
  assert.equal(bench.qman.busy(), false);
  const registers = (['CP_CURRENT_INST_LO', 'CP_CURRENT_INST_HI', 'GLBL_STS1'] as const).map((name) =>
    bench.read(name, 0),
  );
  return [...seen, ...registers.map(String), ...bench.complaints(), String(asked), String(checked)];
}

test('rows of messages have the effects, at the times, that the packets have one by one', () => {
  fc.assert(
    fc.property(program, (p) => {
      const alone = run(p, new Plain());
      assert.ok(alone.length > 0);
      for (const clock of [new VirtualClock(), new Stepwise(), new Fitful()]) assert.deepEqual(run(p, clock), alone);
    }),
    { seed: 1, numRuns: 300 },
  );
});
