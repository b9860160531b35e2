import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { tpcCfg } from '../../specs/gaudi/registers/tpc-cfg.ts';
import { gaudiQman } from '../../specs/gaudi-qman.ts';
import { AssemblyError } from '../../src/isa/diagnostics.ts';
import { writeKernel } from '../../src/isa/vliw/elf.ts';
import { serializeMetadata } from '../../src/isa/vliw/metadata.ts';
import { floatWord, Kernel } from '../../src/runtime/kernel.ts';
import { corePackets, shares } from '../../src/runtime/launch.ts';
import { SyncObject } from '../../src/runtime/sync.ts';
import { Tensor, tensorBytes } from '../../src/runtime/tensor.ts';
import { ModelError } from '../../src/sim/errors.ts';
import { cutIndexSpace } from '../../src/tpc/index-space.ts';
import { readTensor } from '../../src/tpc/tensor.ts';
import { seed } from '../seed.ts';

describe('index space', () => {
  it('of what is no size, and into no parts, is refused', () => {
    for (const size of [[], [1, 1, 1, 1, 1, 1], [0], [-1], [1.5], [2 ** 31]])
      assert.throws(() => cutIndexSpace(size, 1), RangeError, `${size}`);
    for (const count of [0, -1, 1.5, Number.NaN]) assert.throws(() => cutIndexSpace([4], count), RangeError);
  });

  it('every member is in one part, no part is empty, and there are as many as can be', () => {
    const sizes = fc.array(fc.integer({ min: 1, max: 7 }), { minLength: 1, maxLength: 5 });
    fc.assert(
      fc.property(sizes, fc.integer({ min: 1, max: 8 }), (size, count) => {
        const boxes = cutIndexSpace(size, count);
        const members = size.reduce((a, b) => a * b, 1);
        assert.equal(boxes.length, Math.min(count, members));
        const seen = new Set<string>();
        for (const { offset, size: part } of boxes) {
          assert.equal(offset.length, 5);
          for (let n = 0; n < part.reduce((a, b) => a * b, 1); n++) {
            let rest = n;
            const place = part.map((length, d) => {
              const at = (offset[d] as number) + (rest % length);
              rest = Math.floor(rest / length);
              assert.ok(at < (size[d] ?? 1));
              return at;
            });
            assert.ok(!seen.has(place.join()), `${place} is in two parts`);
            seen.add(place.join());
          }
        }
        assert.equal(seen.size, members);
      }),
      { seed: seed() },
    );
  });

  it('parts are of much the same size where the sizes are powers of two', () => {
    const volumes = cutIndexSpace([16, 4, 2], 8).map(({ size }) => size.reduce((a, b) => a * b, 1));
    assert.deepEqual(volumes, Array(8).fill(16));
  });
});

describe('tensors', () => {
  it('that no descriptor can hold are refused', () => {
    const type = 'f32';
    for (const shape of [[], [1, 1, 1, 1, 1, 1], [-1], [0.5], [2 ** 32]])
      assert.throws(() => new Tensor(0n, { type, shape }), RangeError, `${shape}`);
    assert.throws(() => new Tensor(0n, { type, shape: [4, 4], strides: [1] }), RangeError);
    assert.throws(() => new Tensor(0n, { type, shape: [4], strides: [-1] }), RangeError);
    assert.throws(() => new Tensor(-1n, { type, shape: [4] }), RangeError);
    assert.throws(() => new Tensor(0n, { type: 'f64' as typeof type, shape: [4] }), /f64: there are i8, /);
  });

  it('are in the descriptor what the core reads there', () => {
    const options = { type: 'bf16', shape: [100, 7, 3], strides: [1, 128, 1024], padding: -1.5, rmw: 'max' } as const;
    const tensor = new Tensor(0x1_0000_0000_1000n, options);
    const words = tensor.descriptor();
    const read = readTensor({ read: (offset) => words[(offset - 0x400) / 4] as number, write: () => {} }, 0);
    assert.deepEqual(
      { ...read, sizes: read.sizes.slice(0, 3), strides: read.strides.slice(0, 3) },
      {
        number: 0,
        base: 0x1_0000_0000_1000,
        type: 'bf16',
        elementBytes: 2,
        padding: 0xbfc0,
        dims: [0, 1, 2],
        sizes: options.shape,
        strides: options.strides,
        rmw: 'max',
      },
    );
  });

  it('know their elements and bytes', () => {
    const dense = new Tensor(0n, { type: 'i16', shape: [10, 3] });
    assert.deepEqual([dense.elements, dense.bytes, tensorBytes('i16', [10, 3])], [30, 60, 60]);
    assert.deepEqual(dense.strides, [1, 10]);
    assert.equal(new Tensor(0n, { type: 'f32', shape: [10, 3], strides: [1, 100] }).bytes, 4 * 210);
    assert.equal(new Tensor(0n, { type: 'f32', shape: [10, 0] }).bytes, 0);
  });
});

describe('kernels', () => {
  const text = new Uint8Array(64).fill(1);
  const object = (sections: ReadonlyMap<string, Uint8Array>) =>
    writeKernel({ text, sections, symbols: [], name: 'mine' });

  it('that are no object, and programs that are no bundles, are refused', () => {
    assert.throws(() => Kernel.fromObject(new Uint8Array(100)), ModelError);
    assert.throws(() => Kernel.fromObject(object(new Map()).subarray(0, 80)), ModelError);
    assert.throws(() => new Kernel(new Uint8Array(0)), RangeError);
    assert.throws(() => new Kernel(new Uint8Array(33)), RangeError);
  });

  it('have name, code and what they need from their object', () => {
    const plain = Kernel.fromObject(object(new Map()));
    assert.deepEqual([plain.name, plain.code, plain.tables], ['mine', text, false]);
    const metadata = serializeMetadata(new Map([['specialfunctionused', 1]]));
    assert.equal(Kernel.fromObject(object(new Map([['.tpc_metadata', metadata]]))).tables, true);
    const own = new TextEncoder().encode('in x f32 *\nout y f32 *\ntables\n');
    const described = Kernel.fromObject(object(new Map([['.interface', own]])));
    assert.equal(described.tables, true);
    assert.deepEqual(
      described.parameters?.tensors.map(({ name, output }) => [name, output]),
      [
        ['x', false],
        ['y', true],
      ],
    );
  });

  it('are assembled, or it is said why not', async () => {
    assert.equal((await Kernel.assemble('halt\nnop\nnop\nnop\n', 'stop')).code.length, 128);
    await assert.rejects(Kernel.assemble('hold\n', 'wrong'), AssemblyError);
  });
});

describe('launches', () => {
  it('name cores that there are', () => {
    for (const cores of [0, 9, -1, 1.5, [], [8 as 0], [1, 1] as const])
      assert.throws(() => shares({ cores, indexSpace: [100] }), RangeError, `${cores}`);
    assert.deepEqual(
      shares({ cores: [6, 2], indexSpace: [3] }).map(({ core, box }) => [core, box.offset[0], box.size[0]]),
      [
        [6, 0, 2],
        [2, 2, 1],
      ],
    );
    assert.equal(shares({ cores: 8, indexSpace: [3] }).length, 3, 'no core without members');
  });

  it('of a kernel that tells its tensors and scalars have them all', async () => {
    const text =
      '.section .interface\n.ascii "in x f32 n\\nout y f32 n\\nscalar a f32\\n"\n.text\nhalt\nnop\nnop\nnop\n';
    const kernel = await Kernel.assemble(text, 'scale');
    const [part] = shares({});
    const tensor = new Tensor(0x1000n, { type: 'f32', shape: [3] });
    const packets = (tensors: readonly Tensor[], scalars: readonly number[]) =>
      corePackets(kernel, 0x1000n, part?.box ?? assert.fail(), new SyncObject('E_N', 9), { tensors, scalars });
    assert.throws(() => packets([tensor], [1]), /has 2 tensors \(x, y\); it is given 1/);
    assert.throws(() => packets([tensor, tensor], []), /has 1 scalars \(a\); it is given 0/);
    packets([tensor, tensor, tensor], [1]);
  });

  it('write the registers of a core, and EXECUTE last', () => {
    const kernel = new Kernel(new Uint8Array(32), { tables: true });
    const [part] = shares({ indexSpace: [5, 4] });
    const done = new SyncObject('E_N', 9);
    const stream = corePackets(kernel, 0x12_0000_1000n, part?.box ?? assert.fail(), done, {
      tensors: [new Tensor(0x99_0000_0080n, { type: 'f32', shape: [3] })],
      scalars: [floatWord(1), -1],
      tables: { 64: 0x7_0000_0000n },
      rounding: 'rz',
    });
    const written = new Map<number, number>();
    const words = new Uint32Array(stream.bytes.slice().buffer);
    let last = -1;
    const write = (offset: number, value: number) => {
      last = offset;
      written.set(offset, value);
    };
    for (let at = 0; at < words.length; ) {
      const packet = gaudiQman.decode(words, at);
      if (packet.name === 'WREG_32') write(packet.fields.reg_offset, packet.fields.value);
      if (packet.name === 'WREG_BULK') {
        const { reg_offset, values } = packet.fields;
        for (const [n, value] of values.entries()) write(reg_offset + 4 * n, value);
      }
      at += packet.sizeInWords;
    }
    const register = (row: keyof typeof tpcCfg.rows, n = 0) =>
      written.get(0x6000 + tpcCfg.rows[row].offset + n * (tpcCfg.rows[row].stride[0] ?? 0));
    assert.equal(last, 0x6000 + tpcCfg.rows.TPC_EXECUTE.offset);
    assert.equal(register('TPC_EXECUTE'), 1);
    assert.equal(register('QM_KERNEL_BASE_ADDRESS_LOW'), 0x1000);
    assert.equal(register('QM_KERNEL_BASE_ADDRESS_HIGH'), 0x12);
    assert.equal(register('QM_TENSOR_BASE_ADDR_LOW'), 0x80);
    assert.equal(register('QM_TENSOR_BASE_ADDR_HIGH'), 0x99);
    assert.deepEqual(
      [0, 1, 2].map((d) => register('QM_TID_SIZE_DIM', d)),
      [5, 4, 1],
    );
    assert.deepEqual(
      [0, 1, 2].map((n) => register('QM_SRF', n)),
      [0x3f80_0000, 0xffff_ffff, 0],
    );
    assert.equal(register('QM_KERNEL_CONFIG'), 1 | (2 << 2));
    assert.equal(register('QM_SYNC_OBJECT_ADDR'), Number(done.address % 2n ** 32n));
    assert.equal(register('QM_SYNC_OBJECT_MESSAGE'), 0x8000_0001);
    assert.equal(register('LUT_FUNC64_BASE_ADDR_HI'), 7);
    assert.equal(register('ROUND_CSR'), 1);
  });
});
