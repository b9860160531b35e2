/** When accumulators see results: by the table that the vendor's compiler spaces instructions with. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { tpcGaudi } from '../../specs/tpc/gaudi.ts';
import { assembleVliw } from '../../src/isa/vliw/assembler.ts';
import { CONFIG } from '../../src/tpc/machine.ts';
import { type Bench, bench, CODE } from './fixture.ts';

function fill(b: Bench, number: number, value: number): void {
  const { buffer, byteOffset } = b.core.state.vector(number);
  new Float32Array(buffer, byteOffset, 64).fill(value);
}

const nops = (count: number) => 'nop\n'.repeat(count);

/** V1 begins as 1 and V2 as 2; the first lane of a register after `first`, some bundles, `second`. */
function lane(first: string, between: number, second: string, result = 1): number {
  const b = bench(`${first}\n${nops(between)}${second}\n${nops(8)}`);
  b.core.start({ pc: CODE });
  fill(b, 1, 1);
  fill(b, 2, 2);
  b.core.run(100);
  return b.floats(result)[0] as number;
}

const mac = 'nop; nop; mac.f32 V1, V2, V2; nop';

/** What the assembler says of the second line. */
function warnings(first: string, between: number, second: string): string[] {
  return assembleVliw(tpcGaudi, `${first}\n${nops(between)}${second}\n`).warnings.map((each) => each.message);
}

test('a MAC sees the product of the one four bundles before in its accumulator, and not of one three before', () => {
  assert.equal(lane(mac, 2, mac), 5);
  assert.equal(lane(mac, 3, mac), 9);
  assert.match(warnings(mac, 2, mac)[0] ?? '', /^V1 is read 3 bundles later; mac in line 1 .* latency of 4/);
  assert.deepEqual(warnings(mac, 3, mac), []);
  const product = 'nop; nop; mul.f32 V1, V2, V2; nop';
  assert.equal(lane(product, 3, mac), 8);
  assert.deepEqual(warnings(product, 3, mac), []);
});

test('other operands of a MAC, and other instructions, see a product after six bundles', () => {
  const square = 'nop; nop; mac.f32 V3, V1, V1; nop';
  assert.equal(lane(mac, 4, square, 3), 1);
  assert.equal(lane(mac, 5, square, 3), 25);
  assert.match(warnings(mac, 4, square)[0] ?? '', /latency of 6/);
  assert.deepEqual(warnings(mac, 5, square), []);
});

test('the accumulator is read like any operand where another instruction has written it', () => {
  const add = 'nop; nop; add.f32 V1, V2, V2; nop';
  assert.equal(lane(add, 2, mac), 5);
  assert.equal(lane(add, 3, mac), 8);
  assert.match(warnings(add, 2, mac)[0] ?? '', /latency of 4/);
  assert.deepEqual(warnings(add, 3, mac), []);
});

test('a product for f32 accumulators has no short way into others', () => {
  const first = 'nop; nop; mac.f32 V4, V2, V2; nop';
  const second = 'nop; nop; mac.bf16.acc_fp32 D4, V1, V2; nop';
  assert.match(warnings(first, 4, second)[0] ?? '', /latency of 6/);
  assert.deepEqual(warnings(first, 5, second), []);
  assert.deepEqual(warnings(second, 3, second), []);
});

test('integer products take four bundles', () => {
  const first = 'nop; mac.i16 S1, S2, S2; nop; nop';
  const words = (between: number) => {
    const b = bench(`${first}\n${nops(between)}${first}\n${nops(4)}`);
    b.run({ srf: [0, 1, 3] });
    return b.core.state.scalar(1);
  };
  assert.deepEqual([words(2), words(3)], [10, 19]);
  assert.match(warnings(first, 2, first)[0] ?? '', /latency of 4/);
  assert.deepEqual(warnings(first, 3, first), []);
});

test('a loop whose MACs are four bundles apart is compiled, one whose MACs are closer is not; both give the same', () => {
  for (const between of [2, 3]) {
    const text = `loop 0, 100, 1, <, end\nnop\n${mac}\n${nops(between)}end:\n${nops(8)}`;
    const [compiled, interpreted] = [true, false].map((compile) => {
      const b = bench(text, { compile });
      b.config.write(CONFIG.interruptMask, 0xffffffff);
      b.core.start({ pc: CODE });
      fill(b, 2, 1);
      b.core.run(10_000);
      return { sum: b.floats(1)[5], rounds: b.core.compiledRounds };
    });
    assert.equal(compiled?.sum, interpreted?.sum);
    if (between === 3) assert.equal(compiled?.sum, 100);
    assert.equal((compiled?.rounds ?? 0) > 0, between === 3);
  }
});
