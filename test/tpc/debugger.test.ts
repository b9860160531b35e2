/** The debugger by its commands: any of them gives text or a UserError, and what it shows is what a run gives. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { UserError } from '../../src/sim/errors.ts';
import { Debugger } from '../../src/tpc/run/debugger.ts';
import { fillElements } from '../../src/tpc/run/elements.ts';
import { loadProgram } from '../../src/tpc/run/program.ts';
import { Stand } from '../../src/tpc/run/stand.ts';
import { seed } from '../seed.ts';

const part = { offset: [0, 0, 0, 0, 0], size: [1, 1, 1, 1, 1] };

function session(text: string, budget = 1000): Debugger {
  const program = loadProgram(new TextEncoder().encode(text), 'test.tpc');
  const tensors = [{ name: 'x', type: 'f32' as const, sizes: [70], padding: 0 }];
  const stand = () => {
    const made = new Stand({ program, tensors, scalars: [7] });
    fillElements(made.elements[0] as Uint8Array, 'f32', 70, (n) => n + 1);
    return made;
  };
  return new Debugger({ program, tensors, stand, part, budget });
}

const KERNEL = `start: nop; mov.i32 S1, 5
ld_tnsr V1, 0, I0
nop; nop; mov.f32 V2, 2.0
nop
loop 0, S1, 1, <, end
nop
nop; add.i32 S2, S2, 3
nop
nop
nop
end: nop; cmp_eq.i32 SP3, S2, 15; mul.f32 V3, V1, V2
nop
nop; mov.i32 S9, 1, SP3
nop; dbg
nop; nop; nop; st_tnsr 0, I0, V3
halt
nop
nop
nop
`;

test('what cannot be done is a UserError that says what could be', () => {
  const cases: readonly (readonly [string, RegExp])[] = [
    ['brek', /no command "brek"; did you mean "break"\?/],
    ['break nowhere', /there is no label "nowhere"/],
    ['break 0x11', /there is no bundle at 0x11/],
    ['break 0xffffe0', /there is no bundle at 0xffffe0; the last is at 0x240/],
    ['break 99', /no bundle at or after line 99/],
    ['delete 4', /there is no breakpoint 4/],
    ['step none', /a number of bundles/],
    ['step 0', /a number of bundles/],
    ['list -1', /a number of bundles/],
    ['print', /is no register/],
    ['print V45', /there is no V45; the last is V44/],
    ['print S36', /there is no S36/],
    ['print V1 f99', /there is no type "f99"/],
    ['memory y', /there is no memory "y" \(there are x, vlm, slm\)/],
    ['memory x[60..71]', /it has 70/],
    ['memory x[4..4]', /it has 70/],
    ['memory slm[2..8]', /in the middle of an element/],
    ['memory vlm[0..81920]', /at most 4096/],
  ];
  for (const [line, message] of cases)
    assert.throws(() => session(KERNEL).execute(line), { name: 'UserError', message });
});

test('any commands in any order: text or a UserError', () => {
  const line = fc.oneof(
    fc.constantFrom(
      'step',
      'next',
      'continue',
      'restart',
      'where',
      'list',
      'registers',
      'tensors',
      'help',
      'delete',
      'break',
    ),
    fc.constantFrom(
      'break end',
      'break 3',
      'break 0x20',
      'step 7',
      'print V1',
      'print V41 i8',
      'print SP3',
      'print VP1',
    ),
    fc.constantFrom(
      'memory x',
      'memory x[3..9] u8',
      'memory slm[0..64]',
      'memory vlm[256..512] bf16',
      'print S2 f32',
      'print AD7',
    ),
    fc.string({ maxLength: 12 }),
  );
  fc.assert(
    fc.property(fc.array(line, { maxLength: 25 }), (lines) => {
      const debug = session(KERNEL);
      for (const each of lines) {
        try {
          assert.equal(typeof debug.execute(each), 'string');
        } catch (error) {
          assert.ok(error instanceof UserError, `${each}: ${error}`);
        }
      }
    }),
    { seed: seed(), numRuns: 80 },
  );
});

test('it shows scalars, predicates, vectors and tensors as the program has them', () => {
  const debug = session(KERNEL);
  assert.match(debug.execute('continue'), /^DBG\n0x1c0 test.tpc:15: /);
  assert.equal(debug.execute('print S2'), 'S2 15 0xf 2.101948e-44\n');
  assert.equal(debug.execute('print SP3'), 'SP3 true\n');
  assert.equal(debug.execute('print S9 i32'), 'S9 1\n');
  assert.match(debug.execute('print V3'), /^V3 f32 .*on its way.*\n {4}0: 2 4 6 8 /);
  assert.match(debug.execute('print V1 u8'), /^V1 u8\n {4}0: 0 0 128 63 /);
  assert.match(debug.execute('registers'), /^S0=7 S1=5 S2=15 /);
  assert.equal(debug.execute('memory x[62..66]'), 'x[62] 63 64 65 66\n');
  debug.execute('continue');
  assert.equal(debug.execute('memory x[62..66]'), 'x[62] 126 128 65 66\n');
  assert.throws(() => debug.execute('step'), /has ended; "restart"/);
  debug.execute('restart');
  assert.equal(debug.execute('memory x[62..66]'), 'x[62] 63 64 65 66\n');
});

test('a loop is passed by next, a breakpoint in it stops, and the budget ends what does not end', () => {
  const debug = session(KERNEL);
  debug.execute('step 4');
  assert.match(debug.execute('next'), /^0x140 test.tpc:11: /);
  const stopping = session(KERNEL);
  stopping.execute('break 7');
  stopping.execute('step 4');
  assert.match(stopping.execute('next'), /^breakpoint 1\n0xc0 /);
  stopping.execute('continue');
  assert.equal(stopping.execute('print S2 i32'), 'S2 3\n');
  assert.match(session('top: nop; jmpr top\nnop\n', 50).execute('run'), /^stopped after 50 bundles\n/);
});
