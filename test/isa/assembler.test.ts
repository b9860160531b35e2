import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { gaudiQman } from '../../specs/gaudi-qman.ts';
import { instructionSets } from '../../specs/index.ts';
import { AssemblyError } from '../../src/isa/diagnostics.ts';
import type { InstructionSet } from '../../src/isa/instruction-set.ts';
import { ModelError } from '../../src/sim/errors.ts';
import { seed } from '../seed.ts';
import { randomPacket } from './arbitrary.ts';

const isa = (await instructionSets['gaudi-qman']?.load()) as InstructionSet;

function chain(length: number, line: (i: number) => string): string {
  return Array.from({ length }, (_, i) => line(i)).join('\n');
}

function hex(text: string): string {
  return Buffer.from(isa.assemble(text).bytes).toString('hex');
}

function errors(text: string): string {
  try {
    isa.assemble(text, { file: 'a.qman' });
  } catch (error) {
    assert.ok(error instanceof AssemblyError);
    return error.message;
  }
  return assert.fail(`assembled: ${text}`);
}

/** Message of the only diagnostic, with its line and column. */
function firstLine(text: string): string {
  return (errors(text).split('\n')[0] ?? '').replace('a.qman:', '');
}

/** Value of an expression, up to 64 bits. */
function value(expression: string): bigint {
  return Buffer.from(isa.assemble(`.quad ${expression}`).bytes).readBigUInt64LE();
}

describe('errors', () => {
  it('show file, line, column, the line, a caret and a suggestion; all of them, in order', () => {
    const text = [
      '  msg_lon [0x1000], 1',
      'nop',
      '\tfence id=4, target=1, dec=1   # four counters',
      'msg_long [SOB_E_NN(1)], 1',
      'lin_dma [0], [0], 1, memst=1',
    ].join('\n');
    assert.equal(
      errors(text),
      [
        'a.qman:1:3: error: unknown mnemonic "msg_lon"; did you mean "msg_long"?',
        ' 1 |   msg_lon [0x1000], 1',
        '   |   ^~~~~~~',
        'a.qman:3:11: error: 0x4 does not fit id, 2 bits without sign',
        ' 3 |  fence id=4, target=1, dec=1   # four counters',
        '   |           ^',
        'a.qman:4:11: error: unknown function "SOB_E_NN"; did you mean "SOB_E_N"?',
        ' 4 | msg_long [SOB_E_NN(1)], 1',
        '   |           ^~~~~~~~~~~',
        'a.qman:5:22: error: lin_dma has no field "memst"; did you mean "memset"?',
        ' 5 | lin_dma [0], [0], 1, memst=1',
        '   |                      ^~~~~',
      ].join('\n'),
    );
  });

  const cases: readonly (readonly [text: string, message: string])[] = [
    // operands
    ['msg_long [1]', '1:1: error: value is missing: expected msg_long [addr], value'],
    ['msg_short 3, 4', '1:11: error: expected [base, offset], found "3"'],
    ['msg_short [3], 4', '1:13: error: expected ",", found "]"'],
    ['fence [1], 2, 3', '1:7: error: id is not in brackets: expected fence id, target, dec'],
    ['nop 1', '1:5: error: too many operands: expected nop'],
    ['nop md', '1:5: error: too many operands: expected nop; did you mean "mb"?'],
    ['nop eb, eb', '1:9: error: eb is given twice'],
    ['nop.eb eb', '1:8: error: eb is given twice'],
    ['nop.ebb', '1:1: error: nop has no flag "ebb"; did you mean "eb"?'],
    ['fence 1, 2, 3, id=1', '1:16: error: id is given twice'],
    ['nop eb,', '1:8: error: expected an operand, found the end of the file'],
    ['nop eb mb', '1:8: error: expected "," or the end of the line, found "mb"'],
    ['msg_long [1, 2', '1:12: error: expected "]", found ","'],
    ['nop )', '1:5: error: too many operands: expected nop'],
    ['nop eb=', '1:8: error: expected a number, a name or "(", found the end of the file'],
    ['nop eb=2', '1:8: error: 0x2 does not fit eb, 1 bit without sign'],
    // payloads
    ['wreg_bulk 4, {1, 2, 3}', '1:14: error: 3 values: the number must be a multiple of 2'],
    ['wreg_bulk 4, 1', '1:14: error: expected "{" and the values, found "1"'],
    ['wreg_bulk 4, {1, 2', '1:19: error: expected "," or "}", found the end of the file'],
    ['wreg_bulk 4, {1, 2}, size64=3', '1:22: error: size64 is 1, from the values; leave it out'],
    ['wreg_bulk 4, {1, 1 << 32}', '1:18: error: 0x100000000 does not fit values, 32 bits without sign'],
    // numbers and expressions
    ['.word 010', '1:7: error: expected a number, a name or "(", found "010" (octal numbers begin with 0o)'],
    ['.word 12ab', '1:7: error: expected a number, a name or "(", found "12ab", which is no number'],
    ['.word 0x', '1:7: error: expected a number, a name or "(", found "0x", which is no number'],
    ['.word 1 / (2 - 2)', '1:11: error: division by zero'],
    ['.word 1 % 0', '1:11: error: division by zero'],
    ['.word 1 << 128', '1:12: error: a shift by 128 is not between 0 and 127'],
    ['.word 1 << 127 << 127', '1:7: error: the number does not fit in 128 bits'],
    [
      '.word -1',
      "1:7: error: -1 does not fit .word, 32 bits without sign (0xffffffff is the same in two's complement)",
    ],
    ['.byte 256', '1:7: error: 0x100 does not fit .byte, 8 bits without sign'],
    ['.word (1', '1:9: error: expected ")", found the end of the file'],
    ['.word @', '1:7: error: expected a number, a name or "(", found "@"'],
    [`.word ${'('.repeat(300)}1`, '1:108: error: the expression is nested too deeply'],
    [`.word ${'-'.repeat(300)}1`, '1:108: error: the expression is nested too deeply'],
    // symbols and functions
    ['.word SRAM_BAS', '1:7: error: unknown symbol "SRAM_BAS"; did you mean "SRAM_BASE"?'],
    ['.word SOB_E_N', '1:7: error: SOB_E_N needs 1 index, up to SOB_E_N(2047)'],
    ['.quad SOB_E_N(2048)', '1:15: error: index 2048 of SOB_E_N is not between 0 and 2047'],
    ['.quad SOB_E_N(-1)', '1:15: error: index -1 of SOB_E_N is not between 0 and 2047'],
    ['.quad SOB_E_N(1, 2)', '1:7: error: SOB_E_N needs 1 index, up to SOB_E_N(2047)'],
    ['.quad SRAM_BASE(1)', '1:7: error: SRAM_BASE is a single number and takes no index'],
    ['.word sob', '1:7: error: sob is a function: sob(value, [te], [add])'],
    ['.word sob()', '1:7: error: value is missing: sob(value, [te], [add])'],
    ['.word sob(1, 2)', '1:14: error: too many arguments: sob(value, [te], [add])'],
    ['.word sob(1, ad=1)', '1:14: error: no argument "ad": sob(value, [te], [add]); did you mean "add"?'],
    ['.word sob(1, value=2)', '1:20: error: value is given twice'],
    ['.word sob(0x8000)', '1:11: error: 0x8000 does not fit value, 15 bits without sign'],
    [
      '.word sob(-1)',
      "1:11: error: -1 does not fit value, 15 bits without sign (0x7fff is the same in two's complement)",
    ],
    // labels, constants, directives
    ['x: x: nop', '1:4: error: x is defined twice'],
    ['a.b: nop', '1:1: error: "a.b" is no name for a label or constant: it has a dot'],
    ['a = a + 1', '1:5: error: a is defined by itself'],
    [chain(200, (i) => `a${i} = a${i + 1}`), '100:7: error: the definition of a100 is nested too deeply'],
    ['.equ 1, 2', '1:6: error: expected a name, found "1"'],
    ['.algn 8', '1:1: error: unknown directive ".algn"; did you mean ".align"?'],
    ['nop\n.org 4', '2:1: error: .org 4 is behind offset 8, which has been reached'],
    ['.org end\nend:', '1:6: error: unknown symbol "end"'],
    ['.align 0', '1:1: error: an alignment of 0 is not positive'],
    ['nop\n.align 12', '2:1: error: .align leaves a gap of 4 bytes, which instructions of 8 bytes cannot fill'],
    ['.org 1 << 40', '1:1: error: the output would exceed 67108864 bytes'],
    ['.fill 1 << 40, 0', '1:1: error: .fill of 1099511627776 words is out of range'],
    ['nop\n.base 0', '2:1: error: .base must precede all labels and output'],
    ['.word 1\nnop', '2:1: error: an instruction at offset 4 is not aligned to 8 bytes; use .align'],
    ['1: nop', '1:1: error: expected a label, a mnemonic or a directive, found "1"'],
    ['sob(1)', '1:1: error: unknown mnemonic "sob"'],
  ];
  for (const [text, message] of cases) {
    it(JSON.stringify(text.length > 40 ? `${text.slice(0, 37)}...` : text), () =>
      assert.equal(firstLine(text), message),
    );
  }

  it('are counted where they are too many to show', () => {
    const lines = errors('bad\n'.repeat(500)).split('\n');
    assert.equal(lines.at(-1), 'and 480 more');
    assert.equal(lines.length, 3 * 20 + 1);
  });

  it('do not pass control characters on to the terminal, nor very long lines', () => {
    const message = errors(`nop \u001b[31m${'x'.repeat(10_000)}`);
    assert.ok(!message.includes('\u001b'));
    assert.ok(message.length < 1000);
  });

  it('never take another form, whatever the text', () => {
    const pieces = [
      'nop',
      'msg_long',
      '[',
      ']',
      '(',
      '{',
      '}',
      ',',
      '=',
      ':',
      '1',
      '0x',
      'sob',
      'eb',
      '.org',
      '.equ',
      '.word',
      'a',
      '\n',
      '-',
      '<<',
      '$',
      '@',
      '#',
    ];
    const text = fc.oneof(
      fc.string(),
      fc.array(fc.constantFrom(...pieces), { maxLength: 30 }).map((all) => all.join(' ')),
    );
    fc.assert(
      fc.property(text, (source) => {
        try {
          isa.assemble(source);
        } catch (error) {
          assert.ok(error instanceof AssemblyError, String(error));
        }
      }),
      { seed: seed(), numRuns: 3000 },
    );
  });
});

describe('warnings', () => {
  it('say where a packet breaks a rule of its source, and it assembles', () => {
    const { bytes, warnings } = isa.assemble('lin_dma [0], [0], 1, linear=0\nstop mb\nwreg_32 0, 0, rb=1');
    assert.deepEqual(
      warnings.map(({ severity, message }) => `${severity}: ${message}`),
      [
        'warning: linear of lin_dma must be 1; what the hardware does otherwise is not public',
        'warning: mb of stop must be 0; what the hardware does otherwise is not public',
      ],
    );
    assert.equal(bytes.length, 24 + 8 + 8);
  });
});

describe('expressions', () => {
  const cases: readonly (readonly [expression: string, value: bigint])[] = [
    ['1 + 2 * 3', 7n],
    ['(1 + 2) * 3', 9n],
    ['10 - 4 - 3', 3n],
    ['1 | 6 & 3 ^ 8', 11n],
    ['1 << 4 + 1', 32n],
    ['-7 / 2 + 4', 1n],
    ['~0 & 0xff', 255n],
    ['0b1010 + 0o17 + 0x_f + 1_000', 10n + 15n + 15n + 1000n],
    ['hi(SOB_E_N(12)) << 32 | lo(SOB_E_N(12))', 0x7f_fc4f_2030n],
    ['MON_ARM_W_S(3) - MON_PAY_ADDRL_W_S(0)', 0x180cn],
    ['DMA_CORE.COMMIT', 0x78n],
    ['DMA3_CORE.COMMIT - DMA0_CORE.COMMIT', 0x6_0000n],
    [`${'0 + '.repeat(100_000)}7`, 7n],
  ];
  for (const [expression, expected] of cases) {
    it(`${expression.slice(0, 60)} = ${expected}`, () => assert.equal(value(expression), expected));
  }

  it('have arguments by position, by name and as flags', () => {
    assert.equal(value('sob(1, add)'), 0x8000_0001n);
    assert.equal(value('sob(add, 1)'), 0x8000_0001n);
    assert.equal(value('sob(add=1, value=1)'), 0x8000_0001n);
    assert.equal(value('mon_arm(2, 0xfe, 7, equal)'), 0x000f_fe02n);
  });
});

describe('text', () => {
  it('has labels, constants, comments, any case, and flags in two places', () => {
    const text = `
      // a copy, and a sync object when it is done
      COUNT = 2 * SIZE            # used before it is known
      start:
      LIN_DMA.eb [SRAM_BASE], [0x1000], COUNT, MB
      .equ SIZE, 32
      again: finish: MSG_LONG [SOB_W_S(0)], sob(1, add), Op=timestamp
      cp_dma [start], again - start
      .quad finish, $
    `;
    const assembly = isa.assemble(text);
    assert.deepEqual(Object.fromEntries(assembly.labels), { start: 0n, again: 24n, finish: 24n });
    assert.equal(
      Buffer.from(assembly.bytes).toString('hex'),
      '40000000080000e9' +
        '0010000000000000' +
        '000000f07f000000' +
        '0100008000001003' +
        '002049fc7f000000' +
        '1800000000000045' +
        '0000000000000000' +
        '1800000000000000' +
        '3800000000000000',
    );
  });

  it('is placed by .base, and filled by .org, .align and .fill', () => {
    const assembly = isa.assemble(
      '.base 0x1000\na: nop mb\n.org 24\nb: .fill 3, 0x55\n.align 16\nc: .byte 1, 2\n.align 8',
    );
    assert.deepEqual(Object.fromEntries(assembly.labels), { a: 0x1000n, b: 0x1018n, c: 0x1030n });
    const nop = '000000000000000a';
    assert.equal(
      Buffer.from(assembly.bytes).toString('hex'),
      `000000000000008a${nop}${nop}${'55000000'.repeat(3)}00000000${nop}0102000000000000`,
    );
  });

  it('may define constants by thousands of others, and twice by each', () => {
    const doubled = chain(100, (i) => `a${i + 1} = a${i} + a${i}`);
    assert.equal(hex(`${doubled}\na0 = 1\n.quad a60`), '0000000000000010');
    assert.equal(hex(`a0 = 0\n${chain(5000, (i) => `a${i + 1} = a${i} + 1`)}\n.word a5000`), '88130000');
  });

  it('has the place of its own line as $, also where a constant is defined', () => {
    assert.equal(
      hex('.base 0x100\nnop\nhere = $\nnop\n.word here, $'),
      `${'000000000000000a'.repeat(2)}0801000010010000`,
    );
  });

  it('takes constants from the caller, and may not define them again', () => {
    assert.equal(Buffer.from(isa.assemble('.word X + 1', { constants: { X: 41 } }).bytes).readUInt32LE(), 42);
    assert.throws(() => isa.assemble('X = 1', { constants: { X: 41 } }), /X is defined twice/);
  });

  it('may end its lines as on any system, and without any', () => {
    assert.equal(hex('nop\r\nnop mb\r\n'), hex('nop\nnop mb'));
    assert.equal(hex('\ufeffnop'), hex('nop'));
    assert.equal(hex(''), '');
  });

  it('tells which line each packet came from', () => {
    const { listing } = isa.assemble('\nnop\nwreg_bulk 0, {1, 2,\n3, 4}\n\nstop');
    assert.deepEqual(listing, [
      { offset: 0, size: 8, line: 2 },
      { offset: 8, size: 24, line: 3 },
      { offset: 32, size: 8, line: 6 },
    ]);
  });
});

describe('disassembly', () => {
  it('refuses bytes that are no packet, with category and offset', () => {
    const bytes = isa.assemble('nop\n.word 1, 0x0b000000').bytes;
    assert.throws(
      () => isa.disassemble(bytes),
      (error: unknown) => {
        assert.ok(error instanceof ModelError);
        assert.equal(error.message, 'guest: gaudi-qman.STOP: at offset 0x8: reserved bit 0 is set');
        return true;
      },
    );
    assert.throws(() => isa.disassemble(new Uint8Array(9)), /undefined: gaudi-qman.0x0: at offset 0x0/);
    assert.throws(
      () => isa.disassemble(isa.assemble('nop\n.byte 1').bytes),
      /at offset 0x8: 1 bytes are no whole word/,
    );
  });

  it('prints names, and only what is not as usual', () => {
    const text = [
      'msg_long [SOB_E_N(12)], 0x80000001, op=timestamp, eb, mb',
      'msg_short [2, 0x180c], 0xafe01, rb',
      'lin_dma [SRAM_BASE], [0x1000000000000], 65536, memset, rb=0',
      'load_and_exe [0x1000], dst=scalars, load, exe, etype=upper, pred=31',
      'wreg_bulk 0x14, {',
      '  0, 1, 2, 3, 4, 5, 6, 7,',
      '  8, 9',
      '}',
      'nop',
      '',
    ].join('\n');
    assert.equal(isa.disassemble(isa.assemble(text).bytes).replace('VIRTUAL_BASE', '0x1000000000000'), text);
  });

  it('lists offsets and words on demand, as comments', () => {
    const bytes = isa.assemble('nop\nmsg_long [0], 1').bytes;
    const listing = isa.disassemble(bytes, { listing: true });
    assert.match(
      listing,
      /^nop +\/\/ 0000: 00000000 0a000000\nmsg_long \[0\], 1 +\/\/ 0008: 00000001 03000000 00000000 00000000\n$/,
    );
    assert.deepEqual(isa.assemble(listing).bytes, bytes);
  });

  it('of a piece of a larger buffer sees that piece only', () => {
    const whole = Buffer.concat([Buffer.from([1, 2, 3]), isa.assemble('nop mb').bytes]);
    assert.equal(isa.disassemble(whole.subarray(3)), 'nop mb\n');
  });

  it('assembles to the same bytes, for random streams of every packet', () => {
    fc.assert(
      fc.property(fc.array(randomPacket(gaudiQman), { maxLength: 8 }), (packets) => {
        const bytes = new Uint8Array(
          Buffer.concat(packets.map(({ name, fields }) => gaudiQman.encodeRow(name, fields))),
        );
        const text = isa.disassemble(bytes);
        const again = isa.assemble(text).bytes;
        assert.deepEqual(again, bytes);
        assert.equal(isa.disassemble(again), text);
      }),
      { seed: seed(), numRuns: 2000 },
    );
  });

  it('with data assembles to the same bytes, for random bytes', () => {
    const opcode = fc.constantFrom(...Object.values(gaudiQman.rows).map((row) => row.opcode), 0, 0xe);
    const plausible = fc
      .array(fc.tuple(fc.nat(3), opcode, fc.integer({ min: 0, max: 7 }), fc.nat(0xffff_ffff)), { maxLength: 10 })
      .map((all) =>
        Uint8Array.from(
          all.flatMap(([low, op, flags, next]) => [low, 0, 0, 0, 0, 0, 0, (flags << 5) | op, next & 255, 0, 0, 0]),
        ),
      );
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array({ maxLength: 100 }), plausible), (bytes) => {
        assert.deepEqual(isa.assemble(isa.disassemble(bytes, { data: true })).bytes, bytes);
      }),
      { seed: seed(), numRuns: 2000 },
    );
  });
});
