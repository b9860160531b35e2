import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { instructionSets } from '../../specs/index.ts';
import { tpcGaudi } from '../../specs/tpc/gaudi.ts';
import { assembleVliw } from '../../src/isa/vliw/assembler.ts';
import { slots } from '../../src/isa/vliw/bundle.ts';
import { exampleLine } from '../../src/isa/vliw/document.ts';
import { proveVliw } from '../../src/isa/vliw/proof.ts';
import type { VliwFacts } from '../../src/isa/vliw/rows.ts';

const { facts } = tpcGaudi;

describe('the proof', () => {
  const proof = proveVliw(facts);

  it('finds no two encodings that overlap, and an owner for each of 256 bits', () => {
    assert.deepEqual(proof.violations, []);
    assert.equal(proof.owners.length, 256);
    assert.equal(proof.owners.filter((owner) => owner === '').length, 0);
  });

  it('shared are two source fields and a predicate', () => {
    assert.equal(proof.shared.length, 8 + 9 + 6);
  });

  const broken: readonly (readonly [what: string, facts: VliwFacts, message: RegExp])[] = [
    [
      'two instructions with one opcode',
      {
        ...facts,
        rows: {
          ...facts.rows,
          spu: { ...facts.rows.spu, more: { ...(facts.rows.spu.nop as never as object), opcode: 0 } as never },
        },
      },
      /spu: more and mac share opcode 0/,
    ],
    ['a bit of nobody', { ...facts, reserved: { lo: 191, width: 64 } }, /bit 255 belongs to nothing/],
    ['a bit of two fields', { ...facts, imm: { lo: 150, width: 32 } }, /bit 150 is both/],
    [
      'two forms with one encoding',
      {
        ...facts,
        rows: {
          ...facts.rows,
          load: {
            ...facts.rows.load,
            ld_g: {
              ...(facts.rows.load.ld_g as never as object),
              forms: ['dest:S a=addr:AD', 'dest:S|SP a=addr:AD'],
            } as never,
          },
        },
      },
      /load.ld_g: .* have encodings in common/,
    ],
    [
      'an operand over a constant',
      {
        ...facts,
        rows: {
          ...facts.rows,
          load: {
            ...facts.rows.load,
            ld_g: { ...(facts.rows.load.ld_g as never as object), forms: ['dest:S a=addr:AD [a=1]'] } as never,
          },
        },
      },
      /is both/,
    ],
  ];
  for (const [what, wrong, message] of broken) {
    it(`sees ${what}`, () => assert.match(proveVliw(wrong).violations.join('\n'), message));
  }
});

describe('the rows', () => {
  it('are the 128 instructions of the slots', () => {
    assert.deepEqual(
      slots.map((slot) => Object.keys(facts.rows[slot]).length),
      [17, 41, 55, 15],
    );
  });

  for (const slot of slots) {
    for (const [name, row] of Object.entries(facts.rows[slot])) {
      it(`${slot} ${name}: its example is one of it`, () => {
        const { bytes } = assembleVliw(tpcGaudi, exampleLine(slot, row.example), { hazards: false });
        const bundle = tpcGaudi.decodeBundle(bytes);
        assert.equal(bundle.kind, 'bundle');
        assert.equal(bundle[slot]?.mnemonic ?? 'nop', name);
      });
    }
  }

  it('have a page each', async () => {
    const isa = await instructionSets['tpc-gaudi']?.load();
    const pages = isa?.pages?.() ?? [];
    assert.equal(pages.length, 1 + 128 + 1);
    for (const { name, text } of pages) {
      assert.match(text, /^# /, name);
      if (name !== 'index')
        for (const part of ['Syntax', 'Encoding', 'Operation', 'Example']) assert.ok(text.includes(`## ${part}`), name);
    }
    const names = new Set(pages.map((page) => `${page.name}.md`));
    for (const [, link] of (pages[0]?.text ?? '').matchAll(/\]\(([^)]+)\)/g))
      assert.ok(names.has(link ?? ''), String(link));
  });

  it('say why, where they are not certain', async () => {
    const isa = await instructionSets['tpc-gaudi']?.load();
    const open = (isa?.rows() ?? []).flatMap((row) => row.unverified);
    assert.ok(open.some(({ what }) => what === 'vpu.get_lut_entry_and_interval_start'));
    for (const { what, reason } of open) assert.ok(reason.length > 10, what);
  });

  it('know latencies', () => {
    const latency = (text: string) => {
      const bundle = tpcGaudi.decodeBundle(assembleVliw(tpcGaudi, text, { hazards: false }).bytes);
      assert.equal(bundle.kind, 'bundle');
      const instruction = bundle.load ?? bundle.spu ?? bundle.vpu ?? bundle.store;
      return instruction && tpcGaudi.latencyOf(instruction);
    };
    assert.equal(latency('nop; add.i32 S1, S2, S3'), 4);
    assert.equal(latency('nop; nop; mac.f32 V1, V2, V3'), 6);
    assert.equal(latency('nop; udiv_4step.u32 0 Z2, S4'), 7);
  });
});

describe('the grammar for editors', () => {
  it('in the tree is what the rows say', async () => {
    const isa = await instructionSets['tpc-gaudi']?.load();
    const file = new URL('../../editors/tpc/tpc.tmLanguage.json', import.meta.url);
    assert.deepEqual(JSON.parse(readFileSync(file, 'utf8')), JSON.parse(JSON.stringify(isa?.grammar?.())));
  });

  it('marks every mnemonic and register', async () => {
    const isa = await instructionSets['tpc-gaudi']?.load();
    const grammar = isa?.grammar?.() as { patterns: { match?: string; name?: string }[] };
    const expression = (part: string) => {
      const match = grammar.patterns.find((each) => each.match?.includes(part))?.match ?? '';
      return new RegExp(match.replace('(?i)', ''), 'i');
    };
    for (const slot of slots) {
      for (const name of Object.keys(facts.rows[slot])) assert.match(`${name}.i32 V1`, expression('udiv_4step'));
    }
    assert.match('!SP3', expression('!\\s*'));
    assert.match('V_LANE_ID_32', expression('V_LANE_ID_32'));
  });
});
