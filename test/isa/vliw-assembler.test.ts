import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { tpcGaudi } from '../../specs/tpc/gaudi.ts';
import { AssemblyError, formatDiagnostics } from '../../src/isa/diagnostics.ts';
import { assembleVliw } from '../../src/isa/vliw/assembler.ts';
import { seed } from '../seed.ts';

function errors(text: string): string {
  try {
    assembleVliw(tpcGaudi, text, { file: 'a.tpc', hazards: false });
  } catch (error) {
    assert.ok(error instanceof AssemblyError, String(error));
    return error.message;
  }
  return assert.fail(`assembled: ${text}`);
}

/** Bytes in hexadecimal, without warnings of hazards. */
function hex(text: string, permissive = false): string {
  return Buffer.from(assembleVliw(tpcGaudi, text, { hazards: false, permissive }).bytes).toString('hex');
}

function warnings(text: string, permissive = false): string[] {
  return assembleVliw(tpcGaudi, text, { permissive }).warnings.map((each) => each.message);
}

describe('bad input names its place and what was expected', () => {
  const cases: readonly (readonly [text: string, message: RegExp])[] = [
    ['nop; ad.i32 S1, S2, S3', /^a.tpc:1:6: error: there is no instruction "ad" in slot SPU; did you mean "add"\?/],
    [
      'ld_tnsr V1, 0, I2; ld_tnsr V1, 0, I2',
      /1:20: error: ld_tnsr is an instruction of LOAD, and this is the slot of SPU/,
    ],
    ['nop; nop; nop; nop; nop', /1:21: error: a bundle has four slots; this is the fifth/],
    ['nop nop', /1:5: error: a semicolon is expected before nop: it begins the next slot/],
    ['nop; add.f32 V1, V2, V3', /this is the slot of SPU, and vectors belong into the next, that of VPU/],
    ['nop; nop; mov V1, S2', /1:11: error: mov needs a data type/],
    ['nop; nop; add.f64 V1, V2, V3', /1:15: error: add has neither a switch nor a data type "f64"/],
    ['nop; mov.i32 S1, -5u', /an integer has no such suffix/],
    ['nop; add S1, S2, S3', /1:6: error: add needs a data type, e.g. add.i32/],
    ['nop; add.i32.i16 S1, S2, S3', /1:14: error: the data type comes first/],
    ['nop; add.f16 S1, S2, S3', /1:10: error: the chip has no data type f16/],
    ['nop; add.i32 S1, S2', /1:18: error: add takes dest, a, b/],
    ['nop; add.i32 S1, S2, V3', /1:22: error: b is a register S0\.\.\. or an immediate/],
    ['nop; add.i32 S1, S2, S3, S4', /1:26: error: add takes dest, a, b and a predicate/],
    ['nop; add.i32 S1, S2, S3, VP1', /takes no predicate VP1|add takes/],
    ['nop; add.i32 S1, S2, S36', /1:22: error: the chip has no register S36/],
    ['nop; add.i32 S1, S2, S77', /1:22: error: the chip has no register S77/],
    ['set_indx I35, b00001, S1', /1:10: error: the chip has no register I35/],
    ['nop; nop; mac.i16 V3, V1, V2', /1:19: error: dest is pairs of vectors: V3 cannot begin one/],
    ['nop; nop; sel2_less.f32 D3, V1, V2, V3, V4', /1:25: error: D3 is no register/],
    ['nop; add.i32 xyz S1, S2, S3', /1:14: error: "xyz" is no register and no switch of add/],
    ['nop; add.i32 sst S1, S2, S3', /did you mean "st"\?/],
    ['nop; add.f32 st S1, S2, S3', /1:14: error: st is not valid for f32/],
    ['nop; add.i32 st st S1, S2, S3', /1:17: error: st is given twice/],
    ['nop; nop; convert.f32 target_type=int64 V1, V2', /1:23: error: target_type is one of fp32, bf16, int32/],
    ['nop; nop; mov_dg sdg0=1 V1, V2, 0', /1:18: error: sdg0 goes only with all=1/],
    ['nop; nop; mov_dg src=4 V1, V2, 0', /src is a number from 0 to 3/],
    ['nop; add.i32 b111 I1, I2, I3', /1:14: error: a mask has five digits/],
    ['nop; add.i32 S1, S2,', /1:20: error: an operand must follow the comma/],
    ['nop; add.i32 S1 S2, S3', /1:17: error: a comma is expected before this operand/],
    ['nop; add.i32 S1, S2, 0x1ffffffff', /8589934591 does not fit the 32 bits of the immediate/],
    ['nop; add.i32 S1, S2, u8_300', /300 does not fit u8/],
    ['nop; add.f32 S1, S2, 1e99', /1e99 is too great for f32/],
    ['nop; add.f32 S1, S2, 1e-99', /1e-99 is too small for f32/],
    ['nop; jmpr nowhere', /1:11: error: label "nowhere" is not defined/],
    ['x:\nx:\nnop', /2:1: error: label "x" is already defined/],
    ['x: loop 0, S3, 1, <, x', /a loop ends after its begin/],
    ['loop 0, S3, 1, x', /it takes: loop start, boundary, step, comparison, label/],
    ['loop V0, S3, 1, <, x\nx:', /a scalar register or a number is expected/],
    ['nop; loop 0, S3, 1, <, x\nx:', /LOOP is a bundle of its own/],
    ['{\nnop\n', /1:1: error: this brace is never closed/],
    ['}', /no brace is open/],
    ['|| nop', /"\|\|" goes on with a bundle, and none is begun/],
    ['.glob main', /there is no directive ".glob"; did you mean ".globl"\?/],
    ['.section .data\nnop', /2:1: error: instructions belong into section .text/],
    ['.section .tpc_metadata\nmarch: DB 2', /2:8: error: DW is expected/],
    ['.section .tpc_metadata\nmarch: DW 9', /a number from 1 to 6 is expected/],
    ['ld_tnsr V1, 16, I2', /1:13: error: the chip has tensors 0 to 15/],
    ['nop; mov.i32 S1, "x"', /unexpected character/],
  ];
  for (const [text, message] of cases) {
    it(JSON.stringify(text), () => assert.match(errors(text), message));
  }

  it('shows the line with a caret', () => {
    const [, line, caret] = errors('\n  nop; add.i32 S1, S2, V3').split('\n');
    assert.equal(line, ' 2 |   nop; add.i32 S1, S2, V3');
    assert.equal(caret, '   |                        ^~');
  });

  it('one error per line does not hide those of others', () => {
    assert.equal(
      errors('foo\nnop\nbar')
        .split('\n')
        .filter((line) => line.includes('error:')).length,
      2,
    );
  });

  it('never throws anything but diagnostics', () => {
    const words = [
      'nop',
      'add.i32',
      'S1',
      'V3',
      ',',
      ';',
      '\n',
      'b00011',
      '!',
      'SP1',
      '=',
      '0x1',
      '-',
      '1.5',
      'x:',
      'loop',
      '<',
      '{',
      '}',
      '.section',
      '.tpc_metadata',
      '"',
      '/*',
      '*/',
      '//',
      '#',
      'mov_dg',
      'all',
      'src',
      'u8_',
      'halt',
      '%',
      '\0',
      '.long',
      'st_tnsr',
      'I2',
    ];
    fc.assert(
      fc.property(
        fc.array(fc.oneof(fc.constantFrom(...words), fc.string({ maxLength: 4 })), { maxLength: 30 }),
        (parts) => {
          try {
            assembleVliw(tpcGaudi, parts.join(' '));
          } catch (error) {
            assert.ok(error instanceof AssemblyError, String(error));
          }
        },
      ),
      { seed: seed(), numRuns: 3000 },
    );
  });
});

describe("what the vendor's assembler encodes wrongly", () => {
  const cases: readonly (readonly [text: string, message: RegExp, same: string])[] = [
    [
      'nop; mov.i32 S1, 5; mov.i32 V1, 6; nop',
      /a bundle has one immediate/,
      // The last one wins.
      '',
    ],
    [
      'ld_l S1, S2, SP1; nop; nop; st_g AD1, S2, SP2',
      /LOAD and STORE share one predicate/,
      'ld_l S1, S2, SP3; nop; nop; st_g AD1, S2, SP3',
    ],
    [
      'nop; nop; sel_grt.f32 V4, V5, V6, V7, V8; st_tnsr 1, I2, V5',
      /VPU and STORE share one source field/,
      'nop; nop; sel_grt.f32 V4, V5, V6, V7, V8; st_tnsr 1, I2, V7',
    ],
    ['nop; mov.i32 S36, 1', /the chip has no register S36/, ''],
  ];
  for (const [text, message, same] of cases) {
    it(`${text} is an error, and permissive a warning`, () => {
      assert.match(errors(text), message);
      assert.ok(warnings(text, true).some((each) => message.test(each)));
      if (same !== '') assert.equal(hex(text, true), hex(same));
    });
  }

  it('equal values of a shared field are no conflict', () => {
    assert.doesNotThrow(() => hex('nop; nop; sel_grt.f32 V4, V5, V6, V7, V8; st_tnsr 1, I2, V7'));
    assert.doesNotThrow(() => hex('nop; mov.i32 S1, 5; mov.i32 V1, 5; nop'));
  });

  it('a predicate of LOAD or STORE alone is one of both, with a warning', () => {
    const line = 'ld_tnsr V4, 0, I2; nop; nop; st_tnsr 1, I3, V5, SP3';
    assert.match(warnings(line).join(), /LOAD and STORE share one predicate: LOAD gets that of the other/);
    assert.equal(hex(line), hex('ld_tnsr V4, 0, I2, SP3; nop; nop; st_tnsr 1, I3, V5, SP3'));
    assert.deepEqual(warnings('nop; nop; nop; st_tnsr 1, I3, V5, SP3'), []);
    assert.match(
      errors('ld_tnsr V4, 0, I2, VP3; nop; nop; st_tnsr 1, I3, V5'),
      /STORE would get VP3, which it cannot have/,
    );
  });

  it('what can be encoded, but no compiler puts into one bundle, is a warning', () => {
    assert.match(warnings('ld_l S1, S2; nop; nop; st_l S3, S4').join(), /never puts ld_l and st_l into one bundle/);
  });

  it('a data type that no source lists is a warning', () => {
    assert.match(warnings('nop; nop; ash.bf16 V1, V2, V3').join(), /no source lists ash for bf16/);
  });
});

describe('the syntax', () => {
  const same: readonly (readonly [what: string, a: string, b: string])[] = [
    ['upper and lower case', 'NOP; ADD.I32 S1, s2, S3; NOP; NOP', 'nop; add.i32 S1, S2, S3; nop; nop'],
    ['slots that are missing', 'nop; add.i32 S1, S2, S3', 'nop; add.i32 S1, S2, S3; nop; nop'],
    ['a semicolon at the end', 'nop;', 'nop; nop; nop; nop'],
    ['braces', '{\nnop\nadd.i32 S1, S2, S3;\nnop\nnop\n}', 'nop; add.i32 S1, S2, S3; nop; nop'],
    ['bars', 'nop\n|| add.i32 S1, S2, S3;\n  || nop\n||nop', 'nop; add.i32 S1, S2, S3; nop; nop'],
    ['comments', 'nop /* a; b */; add.i32 S1, S2, S3 // c ; d', 'nop; add.i32 S1, S2, S3'],
    ['a comment over lines', '/* a\nb */ nop # c', 'nop'],
    ['switches after dots or blanks', 'nop; add.i32.st S1, S2, S3', 'nop; add.i32 st S1, S2, S3'],
    [
      'switches after the operands',
      'nop; nop; convert.f32 V0, V1, int32, rz, SP1',
      'nop; nop; convert.f32 target_type=int32 rz V0, V1, SP1',
    ],
    ['flags with a value', 'nop; add.i32 st=1 S1, S2, S3', 'nop; add.i32 st S1, S2, S3'],
    ['names of switches that mean the same', 'nop; add.i32 sat S1, S2, S3', 'nop; add.i32 st S1, S2, S3'],
    [
      'mov_dual_group',
      'nop; nop; mov_dual_group V1, V2, src_dual_group=1, wr_lower_group=1, 7',
      'nop; nop; mov_dg src=1 wr_lg=1 V1, V2, 7',
    ],
    ['a vector that begins a pair', 'nop; nop; mac.i16 V4, V1, V2', 'nop; nop; mac.i16 D4, V1, V2'],
    ['SP0 is no predicate', 'nop; add.i32 S1, S2, S3, SP0', 'nop; add.i32 S1, S2, S3'],
    ['a predicate register as an operand', 'nop; and.b SP1, SP2, SP3', 'nop; and.b SP1, SP2, SP3, SP0'],
    ['numbers with a type', 'nop; mov.i32 S1, i32_-12', 'nop; mov.i32 S1, -12'],
    ['numbers with a type in hexadecimal', 'nop; mov.u16 S1, u16_x12C', 'nop; mov.u16 S1, 300'],
    ['floats', 'nop; mov.f32 S1, 1.25', 'nop; mov.f32 S1, 0x3fa00000'],
    ['negative floats', 'nop; mov.f32 S1, -1.25f', 'nop; mov.f32 S1, 0xbfa00000'],
    ['bf16', 'nop; mov.bf16 S1, 1.25bf', 'nop; mov.bf16 S1, 0x3fa0'],
    ['floats that begin with a point', 'nop; mov.f32 S1, .1e5', 'nop; mov.f32 S1, 10000.0'],
    ['suffixes of C', 'nop; mov.i32 S1, -5ULL', 'nop; mov.i32 S1, -5'],
    ['halves are rounded to f32 first', 'nop; mov.i32 S1, 1.00048828125001h', 'nop; mov.i32 S1, 0x3c00'],
    ['halves', 'nop; mov.i32 S1, 1.5h', 'nop; mov.i32 S1, 0x3e00'],
    ['octal as in C', 'nop; mov.i32 S1, 010', 'nop; mov.i32 S1, 8'],
    ['halt alone', 'halt', 'nop; halt; halt; nop'],
    ['a count before the operands', 'nop; popcnt.u32 1 S1, S2', 'nop; popcnt.u32 set=1 S1, S2'],
    [
      'the function after the operands',
      'nop; nop; get_lut_entry_and_interval_start.bf16 V4, V2, 1, 1',
      'nop; nop; get_lut_entry_and_interval_start.bf16 tanh D4, V2, 1',
    ],
    ['partial is implied by its register', 'ld_tnsr V4, 0, I2, S30', 'ld_tnsr partial V4, 0, I2, S30'],
    ['aso without a comma', 'nop; nop; nop; aso vpu SP4', 'nop; nop; nop; aso vpu, SP4'],
    ['constants', '.set N, 7\nnop; mov.i32 S1, N', 'nop; mov.i32 S1, 7'],
    ['compilers write % before registers', 'nop; add.i32 %S1, %S2, %S3, %SP0', 'nop; add.i32 S1, S2, S3'],
    ['directives', '\t.text\n\t.globl main\n\t.type main,@function\nmain:\nnop', 'nop'],
  ];
  for (const [what, a, b] of same) it(what, () => assert.equal(hex(a), hex(b)));

  it('labels before, after and on the line of their bundle', () => {
    const { labels } = assembleVliw(tpcGaudi, 'a:\nb: nop\nnop; jmpr a\nc:');
    assert.deepEqual(
      [...labels],
      [
        ['a', 0n],
        ['b', 0n],
        ['c', 64n],
      ],
    );
  });

  it('metadata', () => {
    const { sections, bytes } = assembleVliw(
      tpcGaudi,
      '.section .tpc_metadata\nversion: DD 9\nmarch: DW 2\nscalarLd[3]: DB 1\nnop',
    );
    const metadata = sections.get('.tpc_metadata') as Uint8Array;
    assert.equal(metadata.length, 262);
    assert.deepEqual([metadata[0], metadata[8], metadata[26]], [9, 2, 8]);
    assert.equal(bytes.length, 32);
  });

  it('index map', () => {
    const { sections } = assembleVliw(tpcGaudi, '.section .IndexMap\nSCEVBEGIN IndexSpace:[0] #SCEVEND\n\nnop');
    assert.equal(Buffer.from(sections.get('.IndexMap') as Uint8Array).toString(), 'SCEVBEGIN IndexSpace:[0] #SCEVEND');
  });
});

describe('values that are read too early', () => {
  it('are warned of with the line that wrote them', () => {
    const { source, warnings: found } = assembleVliw(tpcGaudi, 'nop; mov.i32 S1, 5\nnop; add.i32 S2, S1, S1', {
      file: 'a.tpc',
    });
    assert.match(
      formatDiagnostics(source, found),
      /^a.tpc:2:6: warning: S1 is read in the next bundle; mov in line 1 writes it with a latency of 4, so this reads the value before/,
    );
  });

  it('not where the latency has passed', () => {
    assert.deepEqual(warnings('nop; mov.i32 S1, 5\nnop\nnop\nnop\nnop; add.i32 S2, S1, S1'), []);
    assert.equal(warnings('nop; mov.i32 S1, 5\nnop\nnop\nnop; add.i32 S2, S1, S1').length, 1);
  });

  it('and where a load is waited for, that it is', () => {
    assert.match(
      warnings('ld_tnsr V1, 0, I2\nnop; nop; mov.f32 V2, V1').join(),
      /^V1 is read in the next bundle; ld_tnsr in line 1 loads it in 4: the simulator waits for it/,
    );
  });

  it('both registers of a pair', () => {
    assert.match(warnings('nop; nop; mul.i32 D4, V1, V2\nnop; nop; add.i32 V1, V5, V0').join(), /^V5 is read/);
  });

  it('not when asked not to', () => {
    const { warnings: found } = assembleVliw(tpcGaudi, 'nop; mov.i32 S1, 5\nnop; add.i32 S2, S1, S1', {
      hazards: false,
    });
    assert.deepEqual(found, []);
  });
});
