/** Macros, repetitions, conditions and expressions of programs, as LLVM's assembler has them. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { tpcGaudi } from '../../specs/tpc/gaudi.ts';
import { AssemblyError } from '../../src/isa/diagnostics.ts';
import { assembleVliw } from '../../src/isa/vliw/assembler.ts';
import { disassembleVliw } from '../../src/isa/vliw/disassembler.ts';
import { seed } from '../seed.ts';

const assemble = (text: string, constants: Record<string, number> = {}) =>
  assembleVliw(tpcGaudi, text, { file: 'a.tpc', hazards: false, constants });

/** What a text comes to, a bundle to a line. */
function lines(text: string, constants: Record<string, number> = {}): string[] {
  return disassembleVliw(tpcGaudi, assemble(text, constants).bytes)
    .split('\n')
    .filter((line) => line !== '' && !line.endsWith(':'));
}

function errors(text: string): string {
  try {
    assemble(text);
  } catch (error) {
    assert.ok(error instanceof AssemblyError, String(error));
    return error.message;
  }
  return assert.fail('it was taken');
}

const nop = 'nop; nop; nop; nop';
const mov = (n: number) => `nop; mov.i32 S1, ${n > 9 ? `0x${n.toString(16)}` : n}; nop; nop`;
/** A bundle that says which it is. */
const say = (n: number | string) => `nop; mov.i32 S1, ${n}`;

describe('bad input', () => {
  it('of blocks and conditions names its line', () => {
    assert.match(errors('nop\n.macro m\nnop'), /^a.tpc:2:1: error: this block is never ended/);
    assert.match(errors('.rept 2\nnop'), /^a.tpc:1:1: error: this block is never ended/);
    assert.match(errors('.if 1\nnop'), /^a.tpc:1:1: error: this condition is never closed by .endif/);
    assert.match(errors('nop\n.endif'), /^a.tpc:2:1: error: .endif without .if/);
    assert.match(errors('.else'), /.else without .if/);
    assert.match(errors('.if 0\n.else\n.else\n.endif'), /^a.tpc:3:1: error: .else after .else/);
    assert.match(errors('.endm'), /.endm without what it ends/);
    assert.match(errors('.if nothing\n.endif'), /^a.tpc:1:5: error: a number or a name of one is expected/);
    assert.match(errors('.rept -1\nnop\n.endr'), /-1 rounds/);
    assert.match(errors('.set A, 1 / 0'), /^a.tpc:1:15: error: division by zero|division by zero/);
  });

  it('of calls of macros names the call', () => {
    const macro = '.macro m a:req, b=2\nnop; mov.i32 \\a, \\b\n.endm\n';
    assert.match(errors(`${macro}m`), /^a.tpc:4:1: error: a of m is missing/);
    assert.match(errors(`${macro}m S1, 2, 3`), /^a.tpc:4:3: error: m takes 2 arguments/);
    assert.match(errors(`${macro}m S1, a=S2`), /a is given twice/);
    assert.match(errors(`${macro}  m W1`), /^a.tpc:4:1: error: .*"W1" is no register/s);
    assert.match(errors('.macro 1x\n.endm'), /.macro NAME PARAMETER... is expected/);
    assert.match(errors('.purgem m'), /there is no macro "m"/);
    assert.match(errors('.error "no such chip"'), /^a.tpc:1:\d+: error: no such chip/);
  });

  it('that has no end is cut off', () => {
    assert.match(errors('.macro m\nm\n.endm\nm'), /macros nest 20 deep at most/);
    assert.match(errors('.macro m\nm\nm\nm\n.endm\nm'), /macros nest 20 deep at most/);
    assert.match(errors('.rept 200000\n.rept 200000\n.endr\n.endr'), /take too long/);
    assert.match(errors('.rept 200000\n.rept 200000\nnop\n.endr\n.endr'), /too much text|take too long/);
  });

  it('of any kind is an error with a place, or a program', () => {
    const piece = fc.constantFrom(
      ...['.macro m a', '.endm', '.rept 2', '.endr', '.if 1', '.else', '.endif', 'm S1', 'nop', '\\a', '.irp x, 1, 2'],
      ...[
        '.ifdef A',
        '.set A, 3',
        'A = A + 1',
        '.exitm',
        '.macro',
        '.irpc c, abc',
        '(',
        '"',
        '.ifc a, b',
        ';',
        '.elseif',
      ],
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 12 }), (parts) => {
        try {
          assemble(parts.join('\n'));
        } catch (error) {
          assert.ok(error instanceof AssemblyError, String(error));
        }
      }),
      { seed: seed(), numRuns: 500 },
    );
  });
});

describe('macros', () => {
  it('take arguments by place and by name, with defaults', () => {
    const macro = '.macro m reg, value=7\nnop; mov.i32 \\reg, \\value\n.endm\n';
    assert.deepEqual(lines(`${macro}m S1\nm S1, 8\nm value=9, reg=S1\nm S1 10`), [7, 8, 9, 10].map(mov));
  });

  it('call others, end early, and number their labels', () => {
    const text = `.macro inner n
.if \\n == 0
.exitm
.endif
${say('\\n')}
.endm
.macro outer
again\\@:
        inner 0
        inner 3
        nop; jmpr again\\@, SP1
        nop
.endm
        outer
        outer`;
    const got = assemble(text);
    assert.deepEqual([...got.labels.keys()].length, 2);
    assert.equal(lines(text).length, 6);
    assert.deepEqual(
      got.listing.map(({ line }) => line),
      [14, 14, 14, 15, 15, 15],
      'bundles are of the line that called',
    );
  });

  it('have parameters within words, and all that is left', () => {
    const text = `.macro op name, type, args:vararg
nop; nop; \\name\\().\\type \\args
.endm
op add, f32, V1, V2, V3
.purgem op`;
    assert.deepEqual(lines(text), ['nop; nop; add.f32 V1, V2, V3; nop']);
  });
});

describe('repetitions', () => {
  it('repeat lines, for a number and for each of a list', () => {
    assert.deepEqual(lines(`.rept 2\nnop\n${say(1)}\n.endr`), [nop, mov(1), nop, mov(1)]);
    assert.deepEqual(lines(`.irp n, 1, 2, 3\n${say('\\n')}\n.endr`), [1, 2, 3].map(mov));
    assert.deepEqual(lines(`.irpc n, 456\n${say('\\n')}\n.endr`), [4, 5, 6].map(mov));
    assert.deepEqual(lines('.rept 0\nnonsense\n.endr\nnop'), [nop]);
  });

  it('count with symbols', () => {
    assert.deepEqual(lines(`.set N, 1\n.rept 3\n${say('N')}\n.set N, N * 2\n.endr`), [1, 2, 4].map(mov));
  });
});

describe('conditions', () => {
  const branch = (test: string, constants: Record<string, number> = {}) =>
    lines(`${test}\n${say(1)}\n.else\n${say(2)}\n.endif`, constants)[0] === mov(1);

  it('take one branch', () => {
    const text = (n: number) =>
      `.set N, ${n}\n.if N == 1\n${say(1)}\n.elseif N == 2\n${say(2)}\n.else\n.if 0\nbad\n.else\n${say(3)}\n.endif\n.endif`;
    assert.deepEqual(
      [1, 2, 3].flatMap((n) => lines(text(n))),
      [1, 2, 3].map(mov),
    );
    assert.deepEqual(lines(`.if 0\n.if 1\nbad\n.else\nbad\n.endif\n.macro m\n.endm\n.endif\nnop`), [nop]);
  });

  it('of all kinds', () => {
    const taken = ['.if 2', '.ifne 1', '.ifeq 0', '.ifge 0', '.ifgt 1', '.ifle 0', '.iflt -1', '.ifb', '.ifnb x'];
    const not = ['.if 0', '.ifne 0', '.ifeq 1', '.ifge -1', '.ifgt 0', '.ifle 1', '.iflt 0', '.ifb x', '.ifnb'];
    assert.deepEqual(
      taken.map((test) => branch(test)),
      taken.map(() => true),
    );
    assert.deepEqual(
      not.map((test) => branch(test)),
      not.map(() => false),
    );
    assert.ok(branch('.ifdef GIVEN', { GIVEN: 1 }) && !branch('.ifdef GIVEN') && branch('.ifndef GIVEN'));
    assert.ok(branch('.ifc abc, abc') && !branch('.ifc abc, abd') && branch('.ifnc a, b'));
    assert.ok(branch('.ifeqs "a b", "a b"') && branch('.ifnes "a", "b"'));
  });
});

describe('expressions', () => {
  const value = (text: string) => lines(`N = ${text}\nnop; mov.i32 S1, N`)[0];

  it('have the precedences of LLVM, which are not those of C', () => {
    assert.equal(value('1 + 2 * 3'), mov(7));
    assert.equal(value('1 + 6 & 3'), mov(3), '& binds stronger than +');
    assert.equal(value('1 << 2 + 1'), mov(5), '<< binds stronger than +');
    assert.equal(value('(1 << (2 + 1)) | 0x10'), mov(24));
    assert.equal(value('7 / 2 + 7 % 4'), mov(6));
    assert.equal(value('!0 + ~-3 + (2 <= 2) + (1 && 0 || 1)'), mov(5));
  });

  it('stand in data', () => {
    const sections = assemble(
      '.set A, 5\n.section .x\n.byte A + 1, -1, A << 2\n.fill 2, 2, A\n.zero 1, 9\n.text\nnop',
    ).sections;
    assert.deepEqual([...(sections.get('.x') ?? [])], [6, 255, 20, 5, 0, 5, 0, 9]);
  });
});
