/** What a kernel tells of its course, in the kernel's own formats. */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { edgesOf } from '../../../src/exercise/fuzz/kcov.ts';
import { Symbols } from '../../../src/exercise/fuzz/symbols.ts';
import { callsOf, parseFormat } from '../../../src/exercise/fuzz/trace-pages.ts';
import { seed } from '../../seed.ts';

/** As Linux 7.3 has it in events/ftrace/function/format. */
const FORMAT = `name: function
ID: 1
format:
\tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;
\tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;

\tfield:unsigned long ip;\toffset:8;\tsize:8;\tsigned:0;
\tfield:unsigned long parent_ip;\toffset:16;\tsize:8;\tsigned:0;
`;
const format = parseFormat(FORMAT);

/** A page of events: words of 32 bits after the header. */
function page(words: readonly number[], commit = words.length * 4): Uint8Array {
  const bytes = new Uint8Array(4096);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(0, 123n, true);
  view.setUint32(8, commit, true);
  for (const [i, word] of words.entries()) view.setUint32(16 + 4 * i, word, true);
  return bytes;
}

const call = (ip: number, parent: number, type = 1) => [type, 77, ip, 0xffff_ffff, parent, 0xffff_ffff];
/** type_len counts words; a delta of time above it. */
const short = (data: readonly number[]) => [data.length | (9 << 5), ...data];
const long = (data: readonly number[]) => [0, 4 + data.length * 4, ...data];
const kernel = (low: number) => 0xffff_ffff_0000_0000n + BigInt(low);

describe('pages of the trace buffer', () => {
  test('whatever is in them, they are read to their end', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 600 }), fc.nat(5000), (bytes, commit) => {
        const whole = page([]);
        whole.set(bytes, 16);
        new DataView(whole.buffer).setUint32(8, commit, true);
        for (const { callee, caller } of callsOf(whole.subarray(0, 16 + bytes.length), format)) {
          assert.equal(typeof callee, 'bigint');
          assert.equal(typeof caller, 'bigint');
        }
      }),
      { seed: seed(), numRuns: 300 },
    );
  });

  test('an event that is cut off is passed over, and so are those of another kind', () => {
    const words = [...short(call(0x10, 0x20)), ...short(call(0x30, 0x40, 5)), ...short(call(0x50, 0x60))];
    assert.deepEqual(callsOf(page(words, words.length * 4 - 4), format), [
      { callee: kernel(0x10), caller: kernel(0x20) },
    ]);
    assert.deepEqual(callsOf(new Uint8Array(8), format), []);
  });

  test('calls are found in order, between times and padding; flags of the length do not count', () => {
    const words = [
      30 | (1 << 5),
      5, // the time went on
      ...short(call(0x1000, 0x2000)),
      31,
      0, // a time
      29 | (1 << 5),
      8,
      0xffff, // padding
      ...long(call(0x3000, 0x4000)),
      29,
      0, // the rest of the page
      ...short(call(0x5000, 0x6000)),
    ];
    const both = [
      { callee: kernel(0x1000), caller: kernel(0x2000) },
      { callee: kernel(0x3000), caller: kernel(0x4000) },
    ];
    assert.deepEqual(callsOf(page(words), format), both);
    assert.deepEqual(callsOf(page(words, (words.length * 4) | (1 << 31)), format), both);
  });

  test('a format that has no addresses is refused', () => {
    assert.throws(() => parseFormat('ID: 5\n'), /not understood/);
    assert.throws(() => parseFormat(FORMAT.replace('parent_ip', 'parent')), /not understood/);
  });
});

const KALLSYMS = `ffffffff81000000 T _stext
ffffffff81234560 T _dev_err
ffffffff81300000 t other
ffffffffc0400100 t hl_second\t[habanalabs]
ffffffffc0400000 t hl_first\t[habanalabs]
ffffffffc0700000 r a_table\t[habanalabs]
ffffffffc0400800 t neighbour\t[another]
`;

describe('names of addresses', () => {
  const symbols = new Symbols(KALLSYMS, 'habanalabs', new Set(['_dev_err']));

  test('code of the module has its function and a distance, whatever the order of the list', () => {
    assert.equal(symbols.nameOf(0xffffffffc0400000n), 'hl_first+0x0');
    assert.equal(symbols.nameOf(0xffffffffc04000ffn), 'hl_first+0xff');
    assert.equal(symbols.nameOf(0xffffffffc0400110n), 'hl_second+0x10');
  });

  test('of the rest of the kernel only entries of functions that were asked for have names', () => {
    assert.equal(symbols.nameOf(0xffffffff81234560n), '_dev_err');
    assert.equal(symbols.nameOf(0xffffffff81234564n), '_dev_err', 'behind ENDBR64');
    assert.equal(symbols.nameOf(0xffffffff81300000n), undefined);
    assert.equal(symbols.nameOf(0xffffffffc0400800n), undefined, 'of another module');
    assert.equal(symbols.nameOf(0xffffffffc0700000n), undefined, 'no code');
    assert.equal(symbols.nameOf(0n), undefined);
  });

  test('there is nothing to name where addresses are not told, or the module is not loaded', () => {
    assert.ok(new Symbols(KALLSYMS, 'xe').isEmpty);
    assert.equal(new Symbols(KALLSYMS, 'xe').nameOf(0xffffffffc0400000n), undefined);
  });

  test('blocks that come one after the other are edges; those of others lie between', () => {
    const blocks = [
      0xffffffffc0400000n,
      0xffffffff81300000n,
      0xffffffffc0400110n,
      0xffffffffc0400000n,
      0xffffffffc0400110n,
    ];
    assert.deepEqual(edgesOf(blocks, symbols), [
      'edge elsewhere hl_first+0x0',
      'edge hl_first+0x0 hl_second+0x10',
      'edge hl_second+0x10 hl_first+0x0',
    ]);
  });
});
