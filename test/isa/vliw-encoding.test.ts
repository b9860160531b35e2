import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { tpcGaudi } from '../../specs/tpc/gaudi.ts';
import { assembleVliw } from '../../src/isa/vliw/assembler.ts';
import { disassembleVliw } from '../../src/isa/vliw/disassembler.ts';
import { ModelError } from '../../src/sim/errors.ts';
import { seed } from '../seed.ts';
import { allForms, anyBundle, anyInstruction, anyLoop, bundleOf } from './vliw-arbitrary.ts';

const quiet = { hazards: false };

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}

function assembled(text: string): string {
  return hex(assembleVliw(tpcGaudi, text, quiet).bytes);
}

/** What the vendor's assembler makes of these lines. */
const vendor: readonly (readonly [line: string, bytes: string])[] = [
  ['nop; nop; nop; nop', '3f00000000f80100000000000000800f00f00100000000000000000000000000'],
  ['nop; mov.i32 S5, 0x12345678; nop; nop', 'c81f501000f80100000000000000800f00f0013c2b1a09000000000000000000'],
  ['nop; add.i32 S1, S2, S3, SP4; nop; nop', '8260101004f80100000000000000800f00f00100000000000000000000000000'],
  ['nop; add.i32.st S1, S2, 100, !SP4; nop; nop', '82e01f9014f80100000000000000800f00f00132000000000000000000000000'],
  ['nop; mul.i32.upper32 S5, S1, S2; nop; nop', '4140501040f80100000000000000800f00f00100000000000000000000000000'],
  ['nop; mac.f32 S5, S1, 1.5; nop; nop', '40e05f0000f80100000000000000800f00f0010000e01f000000000000000000'],
  ['nop; add.i32 b11011 I5, I4, I2; nop; nop', '02515814c0fe0100000000000000800f00f00100000000000000000000000000'],
  ['nop; cmp_grt.f32 SP1, S3, 0.5; nop; nop', 'cde01f0300f80100000000000000800f00f0010000801f000000000000000000'],
  ['nop; mov_irf_dim 2 S7, I3; nop; nop', 'e610700020f80100000000000000800f00f00100000000000000000000000000'],
  [
    'set_indx I2, b00011, S4; set_indx I3, b00001, S5; nop; nop',
    '6701301440f80100001800000022410200f00100000000000000000000000000',
  ],
  ['ld_l mmio S3, 0x414; nop; nop; nop', '3f00000000f801000002000080bfa10500f0010a020000000000000000000000'],
  ['ld_l_v V7, S6, !VP2; nop; nop; nop', '3f00000000f801000000000000a3030700f04b00000000000000000000000000'],
  ['ld_tnsr V4, 0x3, I2; nop; nop; nop', '3f00000000f80100000600000041820800f00100000000000000000000000000'],
  ['ld_tnsr_low V4, 0x3, I2, SP1; nop; nop; nop', '3f00000000f80100000600000041020900f00500000000000000000000000000'],
  ['gen_addr AD1, 0x2, I3; nop; nop; nop', '3f00000000f801000004000080c1500000f00100000000000000000000000000'],
  ['ld_g S3, AD1; nop; nop; nop', '3f00000000f801000000000080d0210600f00100000000000000000000000000'],
  ['lookup_2c BV32 D4, V3, 129; nop; nop; nop', '3f00000000f80100000201008001820300f08140000000000000000000000000'],
  ['mov V3, V9; nop; nop; nop', '3f00000000f80100000000008084810200f00100000000000000000000000000'],
  ['nop; nop; add.f32 V1, V2, V3, VP4; nop', '3f00000000100406000004005000800f00f00100000000000000000000000000'],
  ['nop; nop; mac.f32.neg V5, V1, 0x3f800000; nop', '3f000000000002fe000014080000800f00f0010000c01f000000000000000000'],
  ['nop; nop; mac.bf16.acc_fp32 D8, V1, V2; nop', '3f00000000000204000020300000800f00f00100000000000000000000000000'],
  ['nop; nop; mul.i32 D4, V1, S3; nop', '3f00000000080286000010400000800f00f00100000000000000000000000000'],
  ['nop; nop; sel_grt.f32 V4, V5, V6, V7, V8; nop', '3f00000000300b0c0e1010000000800f00f00100000000000000000000000000'],
  [
    'nop; nop; sel2_less.i32 D4, V5, V6, V7, V8; nop',
    '3f00000000400b0c0e1010400000800f00f00100000000000000000000000000',
  ],
  [
    'nop; nop; convert.f32 target_type=bf16 rz V1, V2; nop',
    '3f00000000b00482000004040000800f00f00100000000000000000000000000',
  ],
  [
    'nop; nop; form_fp_num.bf16 force_sign0 exp_is_num V11, V12, V18, V19; nop',
    '3f0000000080192426142c200000800f00f00100000000000000000000000000',
  ],
  [
    'nop; nop; get_lut_entry_and_interval_start.f32 D2, V6, 16; nop',
    '3f00000000780d20000008000000800f00f00100000000000000000000000000',
  ],
  ['nop; nop; shuffle.f32 V1, V2, V3; nop', '3f00000000600506000004000000800f00f00100000000000000000000000000'],
  ['nop; nop; nop; st_tnsr 0x1, I2, V5', '3f00000000f801000a0000000000802f18b00000000000000000000000000000'],
  ['nop; nop; nop; st_l_v S3, V5', '3f00000000f801000a0000000000803f04700000000000000000000000000000'],
  ['nop; mov.i32 S6, S32; nop; nop', '0808601000f80100000000000000800f00f00100000000000000000000000000'],
  ['nop; halt; halt; nop', '2000000000000100000000000000800f00f00100000000000000000000000000'],
];

describe('encodings are those of the vendor', () => {
  for (const [line, bytes] of vendor) {
    it(line, () => assert.equal(assembled(line), bytes));
  }

  it('a loop counts to the last bundle of its body', () => {
    const bytes = assembled('loop 0, S3, 1, <, end1\nnop\nnop\nend1:\nnop');
    assert.equal(bytes.slice(0, 64), '2260101400000000100000000004200000000000000000000000000000000000');
  });

  it('a jump counts from its own bundle', () => {
    const bytes = assembled(`main:\n${'nop\n'.repeat(34)}nop; jmpr main, !SP2; nop; nop`);
    assert.equal(bytes.slice(-64), 'e41f008002f80100000000000000800f00f001e0fdff7f000000000000000000');
  });

  it('LOAD and STORE have one predicate', () => {
    const line = 'ld_tnsr V4, 0, I2, SP3; add.i32 b00010 I2, 64, I2; add.f32 V1, V2, V3; st_tnsr 1, I3, V5, SP3';
    assert.equal(assembled(line), 'c25f2814801004060a0004000041823818b00c20000000000000000000000000');
  });
});

describe('bundles', () => {
  for (const form of new Set(allForms)) {
    const { slot, name } = form.instruction;
    it(`${slot} ${name} ${form.text}: any instruction decodes to itself`, () => {
      fc.assert(
        fc.property(anyInstruction(form), (instruction) => {
          const bytes = tpcGaudi.encodeBundle(bundleOf(instruction) as never);
          const decoded = tpcGaudi.decodeBundle(bytes);
          assert.equal(decoded.kind, 'bundle');
          if (name !== 'nop') assert.deepEqual(decoded[slot], instruction);
        }),
        { seed: seed(), numRuns: 20 },
      );
    });
  }

  it('a loop decodes to itself', () => {
    fc.assert(
      fc.property(anyLoop, (loop) => {
        assert.deepEqual(tpcGaudi.decodeBundle(tpcGaudi.encodeBundle(loop)), loop);
      }),
      { seed: seed(), numRuns: 500 },
    );
  });

  it('programs of any bundles disassemble to text that assembles to them', () => {
    const anyProgram = fc.array(
      fc.oneof(
        { weight: 8, arbitrary: anyBundle },
        { weight: 1, arbitrary: anyLoop.map((loop) => tpcGaudi.encodeBundle(loop)) },
      ),
      {
        minLength: 1,
        maxLength: 12,
      },
    );
    fc.assert(
      fc.property(anyProgram, (bundles) => {
        const bytes = new Uint8Array(Buffer.concat(bundles));
        const text = disassembleVliw(tpcGaudi, bytes);
        assert.equal(assembled(text), hex(bytes), text);
      }),
      { seed: seed(), numRuns: 300 },
    );
  });

  it('32 bytes are themselves again, or refused with a category', () => {
    const flips = fc.array(fc.integer({ min: 0, max: 255 }), { minLength: 1, maxLength: 4 });
    const nearly = fc.tuple(anyBundle, flips).map(([bundle, bits]) => {
      const bytes = bundle.slice();
      for (const bit of bits) bytes[bit >> 3] = (bytes[bit >> 3] as number) ^ (1 << (bit & 7));
      return bytes;
    });
    const random = fc.uint8Array({ minLength: 32, maxLength: 32 });
    let accepted = 0;
    fc.assert(
      fc.property(fc.oneof({ weight: 4, arbitrary: nearly }, { weight: 1, arbitrary: random }), (bytes) => {
        let text: string;
        try {
          text = disassembleVliw(tpcGaudi, bytes);
        } catch (error) {
          assert.ok(error instanceof ModelError, String(error));
          return;
        }
        accepted++;
        assert.equal(assembled(text), hex(bytes), text);
      }),
      { seed: seed(), numRuns: 3000 },
    );
    assert.ok(accepted > 100, `only ${accepted} were bundles`);
  });
});
