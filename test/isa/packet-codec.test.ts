import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { type Fields, gaudiQman, type PacketBodies, type PacketName } from '../../specs/gaudi-qman.ts';
import { packetSet } from '../../src/isa/packet-codec.ts';
import { bit, bits, packet, payload } from '../../src/isa/packets.ts';
import { ModelError } from '../../src/sim/errors.ts';
import { seed } from '../seed.ts';
import { randomPacket } from './arbitrary.ts';

function words(...values: number[]): Uint32Array {
  return Uint32Array.from(values);
}

function wordsOf(bytes: Uint8Array): Uint32Array {
  return new Uint32Array(bytes.slice().buffer);
}

function refusal(category: string, where: string, message: RegExp) {
  return (error: unknown) => {
    assert.ok(error instanceof ModelError);
    assert.equal(error.category, category);
    assert.equal(error.where, where);
    assert.match(error.message, message);
    return true;
  };
}

describe('decode refuses', () => {
  it('an opcode that no packet has', () => {
    for (const opcode of [0x0, 0xe, 0x10, 0x1f]) {
      const where = `gaudi-qman.0x${opcode.toString(16)}`;
      assert.throws(() => gaudiQman.decode(words(0, opcode << 24), 0), refusal('undefined', where, /no packet/));
      assert.throws(() => gaudiQman.packetLength(words(0, opcode << 24), 0), refusal('undefined', where, /no packet/));
    }
  });

  it('reserved bits that are set, naming them', () => {
    assert.throws(
      () => gaudiQman.decode(words(0x30, 0x0b00_0100), 0),
      refusal('guest', 'gaudi-qman.STOP', /reserved bits 4, 5, 40 are set/),
    );
    assert.throws(
      () => gaudiQman.decode(words(0x20, 0x0800_0000), 0),
      refusal('guest', 'gaudi-qman.FENCE', /reserved bit 5 is set/),
    );
  });

  it('a packet that the buffer cuts off, wherever', () => {
    const msg = words(1, 0x0300_0000, 0);
    assert.throws(() => gaudiQman.decode(msg, 0), refusal('guest', 'gaudi-qman.MSG_LONG', /truncated: 3 of 4 words/));
    assert.throws(() => gaudiQman.decode(msg, 2), refusal('guest', 'gaudi-qman', /truncated: 1 of at least 2 words/));
    assert.throws(() => gaudiQman.decode(msg, 3), refusal('guest', 'gaudi-qman', /truncated: 0 of/));
    assert.throws(() => gaudiQman.decode(msg, 9), refusal('guest', 'gaudi-qman', /truncated: 0 of/));
    const bulk = words(0xffff, 0x4200_0000, 1, 2);
    assert.throws(
      () => gaudiQman.decode(bulk, 0),
      refusal('guest', 'gaudi-qman.WREG_BULK', /truncated: 4 of 131072 words/),
    );
  });
});

describe('encode refuses', () => {
  it('values that do not fit', () => {
    const dma = { tsize: 1, src: 0, dst: 0 };
    assert.throws(
      () => gaudiQman.encode('LIN_DMA', { ...dma, tsize: 2 ** 32 }),
      /LIN_DMA.tsize: 0x100000000 does not fit in 32 bits/,
    );
    assert.throws(() => gaudiQman.encode('LIN_DMA', { ...dma, tsize: -1 }), /LIN_DMA.tsize: -1 does not fit/);
    assert.throws(() => gaudiQman.encode('LIN_DMA', { ...dma, tsize: 1.5 }), /LIN_DMA.tsize: 1.5 is no integer/);
    assert.throws(
      () => gaudiQman.encode('LIN_DMA', { ...dma, dst: 1n << 56n }),
      /LIN_DMA.dst: 0x1[0]{14} does not fit in 56 bits/,
    );
    assert.throws(() => gaudiQman.encode('LIN_DMA', { ...dma, src: 2 ** 60 }), /LIN_DMA.src: .* is no safe integer/);
    assert.throws(() => gaudiQman.encode('LIN_DMA', { ...dma, eb: 2 }), /LIN_DMA.eb: 0x2 does not fit in 1 bits/);
    assert.throws(() => gaudiQman.encode('WREG_BULK', { reg_offset: 0, values: [1, 2 ** 32] }), /values\[1\]/);
  });

  it('fields that are missing, unknown or contradict the payload', () => {
    assert.throws(() => gaudiQman.encodeRow('FENCE', { id: 1, dec: 1 }), /FENCE.target is missing/);
    assert.throws(() => gaudiQman.encodeRow('NOP', { toString: 1 }), /NOP has no field toString/);
    assert.throws(() => gaudiQman.encodeRow('NIP', {}), /gaudi-qman has no packet NIP/);
    assert.throws(
      () => gaudiQman.encode('WREG_BULK', { reg_offset: 0, values: [1, 2, 3] }),
      /3 words are no multiple of 2/,
    );
    assert.throws(
      () => gaudiQman.encode('WREG_BULK', { reg_offset: 0, values: [1, 2], size64: 2 }),
      /size64: 2, but values makes it 1/,
    );
  });
});

describe('packets have the bytes that the kernel driver writes', () => {
  // The numbers were put together by hand from the masks of the kernel's gaudi_packets.h and its use of them.
  it('signal: add 1 to sync object 5 of W_S (gaudi_gen_signal_cb)', () => {
    const bytes = gaudiQman.encode('MSG_SHORT', {
      value: gaudiQman.format('sob', { value: 1, add: true }),
      offset: 5 * 4,
      base: 3,
      eb: true,
      rb: true,
      mb: true,
    });
    assert.deepEqual([...wordsOf(bytes)], [0x8000_0001, 0xe4c0_0014]);
  });

  it('monitor: group 2, mask 0xfe, value 7 (gaudi_add_arm_monitor_pkt)', () => {
    assert.equal(gaudiQman.format('mon_arm', { group: 2, mask: 0xfe, value: 7 }), 0x000e_fe02);
    assert.equal(gaudiQman.format('mon_arm', { group: 0xff, mask: 0xff, value: 0x7fff, equal: true }), 0xffff_ffff);
  });

  it('fence 2 with target and decrement 1 (gaudi_add_fence_pkt)', () => {
    const bytes = gaudiQman.encode('FENCE', { id: 2, target: 1, dec: 1, rb: 1, mb: 1 });
    assert.deepEqual([...wordsOf(bytes)], [0x8001_0001, 0xc800_0000]);
  });

  it('memset (gaudi_memset_device_memory)', () => {
    const bytes = gaudiQman.encode('LIN_DMA', {
      tsize: 0x1000,
      src: 0x9999_9999_9999_9999n,
      dst: 0x2000_0000,
      memset: 1,
      mb: 1,
    });
    assert.deepEqual([...wordsOf(bytes)], [0x1000, 0xc900_0018, 0x9999_9999, 0x9999_9999, 0x2000_0000, 0]);
  });

  it('completion (gaudi_add_end_of_cb_packets)', () => {
    const bytes = gaudiQman.encode('MSG_PROT', { value: 0xc000_0001, addr: 0x80_0000_1000, eb: 1, mb: 1 });
    assert.deepEqual([...wordsOf(bytes)], [0xc000_0001, 0xa700_0000, 0x1000, 0x80]);
  });

  it('register write: the offset is in control bits 8 to 23', () => {
    const bytes = gaudiQman.encode('WREG_32', { value: 5, reg_offset: 0x8074, pred: 31 });
    assert.deepEqual([...wordsOf(bytes)], [5, 0x4180_741f]);
  });
});

describe('decode', () => {
  it('undoes encode for every legal packet', () => {
    fc.assert(
      fc.property(randomPacket(gaudiQman), ({ name, fields }) => {
        const packetWords = wordsOf(gaudiQman.encodeRow(name, fields));
        const stream = new Uint32Array(packetWords.length + 5);
        stream.set(packetWords, 3);
        const decoded = gaudiQman.decode(stream, 3);
        assert.equal(decoded.name, name);
        assert.deepEqual({ ...decoded.fields }, fields);
        assert.equal(decoded.sizeInWords, packetWords.length);
        assert.equal(gaudiQman.packetLength(stream.subarray(0, 5), 3), packetWords.length);
      }),
      { seed: seed(), numRuns: 2000 },
    );
  });

  it('takes random words only if they encode to themselves', () => {
    const word = fc.integer({ min: 0, max: 0xffff_ffff });
    const header = fc.tuple(
      fc.integer({ min: 0, max: 31 }),
      fc.oneof(fc.constant(0), word),
      fc.oneof(fc.constant(0), word),
    );
    let taken = 0;
    fc.assert(
      fc.property(header, fc.array(word, { minLength: 4, maxLength: 4 }), ([opcode, low, high], rest) => {
        const stream = words(low, ((high & 0xe0ff_ffff) | (opcode << 24)) >>> 0, ...rest);
        let decoded: ReturnType<typeof gaudiQman.decode>;
        try {
          decoded = gaudiQman.decode(stream, 0);
        } catch (error) {
          assert.ok(error instanceof ModelError);
          assert.ok(error.category === 'undefined' || error.category === 'guest');
          return;
        }
        taken++;
        const again = wordsOf(gaudiQman.encodeRow(decoded.name, decoded.fields));
        assert.deepEqual(again, stream.slice(0, decoded.sizeInWords));
      }),
      { seed: seed(), numRuns: 5000 },
    );
    assert.ok(taken > 500, `only ${taken} packets were taken`);
  });

  it('takes any packet whose reserved bits were cleared, with the same fields', () => {
    const noisy = words(0xdead_beef, 0xeb12_3456);
    assert.throws(() => gaudiQman.decode(noisy, 0), /reserved bits/);
    assert.equal(gaudiQman.decode(gaudiQman.withoutReserved(noisy), 0).name, 'STOP');
    assert.deepEqual(gaudiQman.withoutReserved(words(5, 0x1e00_0000)), words(5, 0x1e00_0000));
    assert.deepEqual(gaudiQman.withoutReserved(words(5)), words(5));
  });

  it('gives a payload that later writes to the stream do not change', () => {
    const stream = wordsOf(gaudiQman.encode('WREG_BULK', { reg_offset: 0, values: [1, 2] }));
    const decoded = gaudiQman.decode(stream, 0);
    stream[2] = 99;
    assert.ok(decoded.name === 'WREG_BULK');
    assert.deepEqual([...decoded.fields.values], [1, 2]);
  });

  it('gives wide fields as bigint and all others as number, in types and at run time', () => {
    const fields: Fields<'LIN_DMA'> = {
      tsize: 1,
      wrcomp: 0,
      transpose: 0,
      dtype: 0,
      linear: 1,
      memset: 0,
      compress: 0,
      decompress: 0,
      context_id_low: 0,
      eb: 0,
      rb: 1,
      mb: 0,
      src: 2n,
      dst: 3n,
      context_id_high: 0,
    };
    const decoded = gaudiQman.decode(wordsOf(gaudiQman.encode('LIN_DMA', fields)), 0);
    assert.deepEqual({ ...decoded.fields }, fields);
  });
});

describe('rows', () => {
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

  it('that share an opcode, share a bit, or leave their word are refused', () => {
    const a = packet(1, '', { x: bits(0, 31, '') }, row);
    assert.throws(
      () => packetSet({ ...facts, rows: { A: a, B: packet(1, '', {}, row) } }),
      /test.B: opcode 1 is taken/,
    );
    assert.throws(
      () => packetSet({ ...facts, rows: { A: packet(32, '', {}, row) } }),
      /test.A: opcode 32 is taken or too large/,
    );
    const overlap = packet(1, '', { x: bits(0, 8, ''), y: bit(8, '') }, row);
    assert.throws(() => packetSet({ ...facts, rows: { A: overlap } }), /test.A.y: bit 8 is taken/);
    const opcode = packet(1, '', { x: bit(60, '') }, row);
    assert.throws(() => packetSet({ ...facts, rows: { A: opcode } }), /test.A.x: bit 60 is taken/);
    const crossing = packet(1, '', { x: bits(16, 40, '') }, row);
    assert.throws(
      () => packetSet({ ...facts, rows: { A: crossing } }),
      /test.A.x: bits 16 to 40 are not within a word/,
    );
    const uncounted = packet(1, '', { values: payload('n', 2, '') }, row);
    assert.throws(() => packetSet({ ...facts, rows: { A: uncounted } }), /test.A.values: n is no field/);
  });

  it('without a body, or a body without a row, do not compile', () => {
    const all = Object.fromEntries(Object.keys(gaudiQman.rows).map((name) => [name, () => undefined]));
    const bodies = all as unknown as PacketBodies;
    const { NOP: _, ...missing } = bodies;
    // @ts-expect-error NOP has no body
    const incomplete: PacketBodies = missing;
    // @ts-expect-error there is no packet NIP
    const name: PacketName = 'NIP';
    // @ts-expect-error dst is a bigint
    const dst: Fields<'LIN_DMA'>['dst'] = 5;
    assert.ok(incomplete && name && dst);
  });
});
