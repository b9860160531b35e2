import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { gaudiQman } from '../../specs/gaudi-qman.ts';
import { instructionSets } from '../../specs/index.ts';
import { picture } from '../../src/isa/document.ts';
import type { InstructionSet } from '../../src/isa/instruction-set.ts';
import { bit, bits, packet, payload } from '../../src/isa/packets.ts';
import { provePackets } from '../../src/isa/proof.ts';

const facts = {
  name: 'test',
  title: '',
  doc: '',
  sources: {},
  opcode: [56, 60],
  unitWords: 2,
  padding: 'A',
  formats: {},
} as const;
const row = { source: 'test', example: '' };

describe('the proof', () => {
  it('finds shared opcodes, shared bits, ranges that are none, and payloads that nothing counts', () => {
    const a = packet(1, '', { x: bits(0, 8, ''), y: bits(8, 9, ''), z: bit(60, '') }, row);
    const b = packet(1, '', { x: bits(9, 8, '') }, row);
    const c = packet(40, '', { values: payload('n', 2, '') }, row);
    assert.deepEqual(provePackets({ ...facts, rows: { A: a, B: b, C: c } }).violations, [
      'A: bit 8 is both x and y',
      'A: bit 60 is both opcode and z',
      'B and A share opcode 1',
      'B.x: bits 9 to 8 are no range',
      'C.values: nothing counts it',
      'C: opcode 40 has no encoding',
    ]);
  });

  it('holds for gaudi-qman: no overlap, every bit of every packet accounted for', () => {
    const proof = provePackets(gaudiQman.facts);
    assert.deepEqual(proof.violations, []);
    assert.equal(proof.packets.length + proof.free.length, 32);
    for (const { name, bits: total, owners } of proof.packets) {
      assert.equal(owners.length, total);
      assert.equal(total, gaudiQman.sizeInWords(name as keyof typeof gaudiQman.rows) * 32);
    }
  });

  it('agrees with the decoder about every single bit', () => {
    for (const { name, opcode, owners } of provePackets(gaudiQman.facts).packets) {
      for (const [n, owner] of owners.entries()) {
        if (owner === 'opcode') continue;
        const words = new Uint32Array(owners.length / 32 + 2 * 0xffff);
        words[1] = opcode << 24;
        words[n >>> 5] = ((words[n >>> 5] as number) | (1 << (n & 31))) >>> 0;
        if (owner === 'reserved') {
          assert.throws(() => gaudiQman.decode(words, 0), new RegExp(`${name}: reserved bit ${n} is set`));
        } else {
          const set = Object.entries(gaudiQman.decode(words, 0).fields).filter(
            ([, value]) => typeof value !== 'object' && BigInt(value) !== 0n,
          );
          assert.deepEqual(
            set.map(([field]) => field),
            [owner],
          );
        }
      }
    }
  });
});

describe('every row of gaudi-qman', async () => {
  const isa = (await instructionSets['gaudi-qman']?.load()) as InstructionSet;
  for (const [name, { example, source, doc }] of Object.entries(gaudiQman.rows)) {
    it(`${name} has an example that assembles to it and back, a source and a meaning`, () => {
      const { bytes, warnings } = isa.assemble(example);
      assert.deepEqual(warnings, []);
      const words = new Uint32Array(bytes.slice().buffer);
      const decoded = gaudiQman.decode(words, 0);
      assert.equal(decoded.name, name);
      assert.equal(decoded.sizeInWords, words.length);
      assert.deepEqual(isa.assemble(isa.disassemble(bytes)).bytes, bytes);
      assert.match(source, /^\[[A-Z]\] /);
      assert.ok(doc.length > 10);
    });
  }
});

describe('the reference', async () => {
  const isa = (await instructionSets['gaudi-qman']?.load()) as InstructionSet;
  const text = isa.document();

  it('has a section per packet, with syntax, fields, the bytes of the example, and the source', () => {
    const [, section = ''] = /^## MSG_LONG\n([\s\S]*?)^## /m.exec(text) ?? [];
    for (const part of [
      '    msg_long [addr], value\n',
      '| pred | 32-36 | 0 | predicate that must be set',
      'msg_long [SOB_E_N(12)], sob(1, add), eb, mb\n01000080000000a3 30204ffc7f000000',
      'Source: [T] struct packet_msg_long',
    ]) {
      assert.ok(section.includes(part), part);
    }
    for (const name of Object.keys(gaudiQman.rows)) assert.ok(text.includes(`\n## ${name}\n`), name);
  });

  it('explains every letter that its sources use', () => {
    for (const [mark] of text.matchAll(/\[[A-Z]\] /g)) assert.ok(text.includes(`\n- ${mark}`), mark);
  });

  it('tells what is not verified, as the list does', () => {
    const listed = isa.rows().flatMap((each) => each.unverified);
    assert.ok(listed.length > 0);
    for (const { what, reason } of listed) assert.ok(text.includes(reason), what);
  });

  it('draws fields to scale, and names below what does not fit', () => {
    const owners = [
      ...Array<string>(16).fill('size'),
      ...Array<string>(15).fill('reserved'),
      'flag',
      ...Array<string>(40).fill('addr'),
      ...Array<string>(24).fill('reserved'),
    ];
    assert.equal(
      picture(owners),
      [
        '        31 30 29 28 27 26 25 24 23 22 21 20 19 18 17 16 15 14 13 12 11 10  9  8  7  6  5  4  3  2  1  0',
        '       +--+--------------------------------------------+-----------------------------------------------+',
        'word 0 |1 |............................................|                     size                      |',
        '       +--+--------------------------------------------+-----------------------------------------------+',
        'word 1 |                                           addr 31:0                                           |',
        '       +-----------------------------------------------------------------------+-----------------------+',
        'word 2 |.......................................................................|      addr 39:32       |',
        '       +-----------------------------------------------------------------------+-----------------------+',
        '  1 = flag',
      ].join('\n'),
    );
  });
});
