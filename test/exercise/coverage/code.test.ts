/** What ran of a driver's code: counted, added up, kept, and told of. */

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { apartOf } from '../../../src/exercise/coverage/apart.ts';
import { type FileCoverage, lcovOf, mergeCode } from '../../../src/exercise/coverage/code.ts';
import { filesOf, sourceName } from '../../../src/exercise/coverage/driver-files.ts';
import { FunctionTrace, parseFunctions } from '../../../src/exercise/coverage/function-trace.ts';
import { readReport, takeCounts } from '../../../src/exercise/coverage/gcov.ts';
import { LeakWatch, parseLeaks } from '../../../src/exercise/coverage/leaks.ts';
import { Results, type RunDescription } from '../../../src/exercise/coverage/results.ts';
import { lastRuns, summarise } from '../../../src/exercise/coverage/summary.ts';
import { coverageFormats } from '../../../src/exercise/report/coverage.ts';
import { seed } from '../../seed.ts';

const FOLDER = 'drivers/accel/habanalabs/';

const asid: FileCoverage = {
  file: `${FOLDER}common/asid.c`,
  functions: [
    { name: 'hl_asid_init', line: 12, count: 2 },
    { name: 'hl_asid_fini', line: 30, count: 0 },
  ],
  lines: [
    { line: 12, count: 2 },
    { line: 14, count: 2 },
    { line: 30, count: 0 },
  ],
  branches: [
    { line: 14, counts: [2, 0] },
    { line: 31, counts: [0, 0] },
  ],
};

const description: RunDescription = {
  target: 'vm',
  system: 'Linux 7.3.4',
  machine: 'gaudi',
  seed: 1,
  version: '1.0.0',
  options: '',
  whole: true,
  shard: 1,
  shards: 1,
};

describe('counts', () => {
  const count = fc.nat(1000);
  const files = fc.uniqueArray(
    fc.record({
      file: fc.constantFrom('a.c', 'b.c', 'c.c'),
      functions: fc.uniqueArray(fc.record({ name: fc.constantFrom('f', 'g'), line: fc.constant(1), count }), {
        selector: ({ name }) => name,
      }),
      lines: fc.uniqueArray(fc.record({ line: fc.integer({ min: 1, max: 5 }), count }), {
        selector: ({ line }) => line,
      }),
      branches: fc.uniqueArray(
        fc.record({ line: fc.integer({ min: 1, max: 5 }), counts: fc.array(count, { minLength: 2, maxLength: 2 }) }),
        { selector: ({ line }) => line },
      ),
    }),
    { selector: ({ file }) => file },
  );

  /** What does not depend on the order in which things are told. */
  const flat = (code: readonly FileCoverage[]) =>
    code
      .flatMap(({ file, functions, lines, branches }) => [
        ...functions.map(({ name, count: times }) => `${file} ${name} ${times}`),
        ...lines.map(({ line, count: times }) => `${file} ${line} ${times}`),
        ...branches.map(({ line, counts }) => `${file} ${line} ${counts}`),
      ])
      .sort();

  test('of several runs are added, in whatever order they come', () => {
    fc.assert(
      fc.property(files, files, files, (a, b, c) => {
        assert.deepEqual(flat(mergeCode([a, b, c])), flat(mergeCode([c, mergeCode([b, a])])));
      }),
      { seed: seed(), numRuns: 200 },
    );
    const [twice] = mergeCode([[asid], [asid]]);
    assert.deepEqual(twice?.lines, [
      { line: 12, count: 4 },
      { line: 14, count: 4 },
      { line: 30, count: 0 },
    ]);
    assert.deepEqual(twice?.branches[0], { line: 14, counts: [4, 0] });
  });

  test('as lcov has them: totals beside each kind, a branch of a line that did not run as not taken at all', () => {
    const more = { ...asid, lines: [...asid.lines, { line: 31, count: 0 }] };
    assert.deepEqual(lcovOf([more]).split('\n'), [
      'TN:',
      `SF:${FOLDER}common/asid.c`,
      'FN:12,hl_asid_init',
      'FN:30,hl_asid_fini',
      'FNDA:2,hl_asid_init',
      'FNDA:0,hl_asid_fini',
      'FNF:2',
      'FNH:1',
      'BRDA:14,0,0,2',
      'BRDA:14,0,1,0',
      'BRDA:31,0,0,-',
      'BRDA:31,0,1,-',
      'BRF:4',
      'BRH:1',
      'DA:12,2',
      'DA:14,2',
      'DA:30,0',
      'DA:31,0',
      'LF:4',
      'LH:2',
      'end_of_record',
      '',
    ]);
    assert.equal(lcovOf([]), '');
  });
});

describe('functions of a module', () => {
  test('what the compiler has made of a function counts as that function, what headers make of a trace point as none', () => {
    assert.equal(sourceName('hl_mmu_hr_pool_destroy.part.0'), 'hl_mmu_hr_pool_destroy');
    assert.equal(sourceName('hl_cb_fini.isra.0.cold'), 'hl_cb_fini');
    assert.equal(sourceName('__traceiter_habanalabs_mmu_map'), undefined);
  });

  test('one that is not known is in the file of both neighbours, one of two files in that of a neighbour', () => {
    const names = [
      'hl_asid_init',
      'brand_new',
      'hl_asid_fini',
      'between',
      'gaudi_add_mappings_for_device_cpu',
      'validate_packet_id',
    ];
    const functions = names.map((name, i) => ({ name, address: BigInt(100 + i) }));
    const files = filesOf([...functions, { name: 'goya_test_queue', address: 90n }].toReversed());
    const fileOf = (name: string) => files.get(BigInt(100 + names.indexOf(name)))?.slice(FOLDER.length);
    assert.equal(fileOf('brand_new'), 'common/asid.c');
    assert.equal(fileOf('between'), '(file not known)');
    assert.equal(fileOf('validate_packet_id'), 'gaudi/gaudi.c');
    assert.equal(files.get(90n), `${FOLDER}goya/`);
  });

  test('a kernel without a tracer, and one that does not know the module, are told of', async () => {
    await assert.rejects(
      FunctionTrace.of(async () => Buffer.alloc(0), 'habanalabs'),
      /no function tracer/,
    );
    await assert.rejects(
      FunctionTrace.of(async ([program]) => Buffer.from(program === 'cat' ? FORMAT : ''), 'habanalabs'),
      /does not tell the functions of habanalabs/,
    );
    assert.deepEqual(parseFunctions('nonsense\n\nffffffffc0000010 hl_poll [habanalabs]\n'), [
      { address: 0xffffffffc0000010n, name: 'hl_poll' },
    ]);
  });

  test('a call counts once for each time; what is called all the time is traced no longer', async () => {
    const written: string[] = [];
    let pages = [page([0x10, 0x20]), page(Array.from({ length: 120 }, () => 0x30))];
    const trace = await FunctionTrace.of(async (command) => {
      const line = command.join(' ');
      if (line.includes('format')) return Buffer.from(FORMAT);
      if (line.includes('available'))
        return Buffer.from('ffffffff00000010 hl_asid_init [m]\nffffffff00000030 hl_asid_fini.isra.0 [m]\n');
      if (line.includes('echo')) written.push(line);
      return line.includes('dd ') ? Buffer.concat(pages) : Buffer.alloc(0);
    }, 'm');
    assert.deepEqual(
      trace.files().flatMap(({ file, functions }) => functions.map(({ name, count }) => `${file} ${name} ${count}`)),
      [`${FOLDER}common/asid.c hl_asid_fini 120`, `${FOLDER}common/asid.c hl_asid_init 1`],
    );
    pages = Array.from({ length: 45 }, () => page(Array.from({ length: 120 }, () => 0x30)));
    await trace.take();
    await trace.take();
    assert.equal(written.length, 1);
    assert.match(written[0] ?? '', /!hl_asid_fini\.isra\.0'/);
  });
});

const FORMAT =
  'ID: 1\n\tfield:unsigned long ip;\toffset:8;\tsize:8;\n\tfield:unsigned long parent_ip;\toffset:16;\tsize:8;\n';

/** A page of the trace buffer with calls of the functions at these addresses. */
function page(addresses: readonly number[]): Buffer {
  const words = addresses.flatMap((low) => [6, 1, 0, low, 0xffff_ffff, 0, 0xffff_ffff]);
  const bytes = Buffer.alloc(4096);
  bytes.writeUInt32LE(words.length * 4, 8);
  for (const [i, word] of words.entries()) bytes.writeUInt32LE(word, 16 + 4 * i);
  return bytes;
}

describe('what gcov tells', () => {
  test('files of other folders are left out, a line of several functions is counted once', () => {
    const lines = [
      { line_number: 14, count: 3, branches: [] },
      { line_number: 14, count: 4, branches: [{ count: 1 }, { count: 0 }] },
    ];
    const functions = [{ name: 'hl_asid_init', start_line: 12, execution_count: 7 }];
    const text = JSON.stringify({
      current_working_directory: '/src',
      files: [
        { file: `/src/${FOLDER}common/asid.c`, functions, lines },
        { file: './include/linux/slab.h', functions: [], lines },
        { file: `${FOLDER}../../net/tun.c`, functions: [], lines },
      ],
    });
    assert.deepEqual(readReport(`${text}\n`, [FOLDER.slice(0, -1)]), [
      {
        file: `${FOLDER}common/asid.c`,
        functions: [{ name: 'hl_asid_init', line: 12, count: 7 }],
        lines: [{ line: 14, count: 7 }],
        branches: [{ line: 14, counts: [1, 0] }],
      },
    ]);
  });

  test('a driver that was compiled in its own folder has the names of the source', () => {
    const place = `/linux/${FOLDER}`.replace(/\/$/, '');
    const functions = [{ name: 'hl_asid_init', start_line: 12, execution_count: 7 }];
    const files = [{ file: 'common/asid.c', functions, lines: [] }];
    const text = JSON.stringify({ current_working_directory: place, files });
    assert.deepEqual(
      readReport(text, [FOLDER.slice(0, -1)]).map(({ file }) => file),
      [`${FOLDER}common/asid.c`],
    );
  });

  test('counts are taken from a guest by name, also of a driver that was built alone; a kernel that counts nothing is told of', async () => {
    await assert.rejects(
      takeCounts(async () => Buffer.alloc(0)),
      /does not count what runs/,
    );
    const text = `./src/${FOLDER}common/asid.gcda\nYWRjZw==\n/elsewhere.gcda\nAAAA\n./linux/${FOLDER}common/irq.gcda\nYWRjZw==\n`;
    const counts = await takeCounts(async () => Buffer.from(text));
    assert.deepEqual(
      [...counts],
      ['asid', 'irq'].map((name) => [`${FOLDER}common/${name}`, Buffer.from('adcg')]),
    );
  });
});

describe('a run with coverage', () => {
  test('is kept with it, also when files are merged; a file of an earlier version has none, and takes it', () => {
    const folder = mkdtempSync(path.join(tmpdir(), 'sagrada-code-'));
    try {
      const file = path.join(folder, 'one.sqlite');
      {
        using results = new Results(file, true);
        results.begin(description).code([asid]);
      }
      using both = new Results(':memory:', true);
      using one = new Results(file, false);
      both.merge(one);
      assert.deepEqual(both.code(both.run('last')), [asid]);
      const old = path.join(folder, 'old.sqlite');
      {
        using results = new Results(old, true);
        results.begin(description).end(1);
      }
      {
        using database = new DatabaseSync(old);
        database.exec('DROP TABLE code');
      }
      {
        using read = new Results(old, false);
        assert.deepEqual(read.code(read.run('last')), []);
      }
      using written = new Results(old, true);
      written.begin(description).code([asid]);
      assert.deepEqual(written.code(written.run('last')), [asid]);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  test('is told of in every format: shares by file, what did not run, and other chips apart, with the reason', () => {
    const other: FileCoverage = {
      file: `${FOLDER}gaudi2/gaudi2.c`,
      functions: [{ name: 'gaudi2_init', line: 1, count: 0 }],
      lines: [{ line: 1, count: 0 }],
      branches: [],
    };
    using results = new Results(':memory:', true);
    results.begin(description).code([asid, other]);
    const summary = summarise(results, lastRuns(results.runs()));
    const text = coverageFormats.text(summary);
    assert.match(text, /common\/asid\.c +1\/2 +2\/3 +1\/4\n/);
    assert.match(text, /\n {2}all +1\/2 +2\/3 +1\/4\n +50 % +66 % +25 %\n/);
    assert.match(text, /did not run\n {2}common\/asid\.c: hl_asid_fini\n/);
    assert.match(text, /the chip Gaudi2 \(1 function\): gaudi2\/\n/);
    assert.deepEqual(
      text.split('\n').filter((line) => line.length > 72),
      [],
    );
    assert.match(coverageFormats.markdown(summary), /\| common\/asid\.c \| 1\/2 \| 2\/3 \| 1\/4 \|/);
    assert.match(coverageFormats.html(summary), /did not run: <code>hl_asid_fini<\/code>/);
    assert.ok(coverageFormats.json(summary).includes('"hl_asid_fini"'));
    assert.deepEqual(
      apartOf([asid, other]).kept.map(({ file }) => file),
      [asid.file],
    );
  });
});

describe('memory that is lost', () => {
  const leak = (jiffies: number) => `unreferenced object 0xffff888003a7c000 (size 96):
  comm "node", pid 88, jiffies ${jiffies}
  hex dump (first 32 bytes):
    00 00 00 00 00 00 00 00 b8 c0 a7 03 80 88 ff ff  ................
  backtrace (crc 6f1b2c1d):
    hl_cb_create+0x40/0x120 [habanalabs]
`;
  /** Jiffies so many seconds after the start. */
  const after = (seconds: number) => 2 ** 32 - 75_000 + 250 * seconds;

  test('belongs to the test during which it was allocated; what was lost before any test is not told', async () => {
    const uptimes = ['10.00 9.0\n', '20.50 9.0\n', '30.00 9.0\n'];
    const watch = await LeakWatch.of(async ([program]) =>
      Buffer.from(
        program === 'cat' ? (uptimes.shift() ?? '') : `${leak(after(2))}${leak(after(21))}${leak(after(31))}`,
      ),
    );
    await watch.ended('cb: one');
    await watch.ended('cb: two');
    const found = await watch.find();
    assert.deepEqual(
      found.map(({ id }) => id),
      ['cb: two', 'cb: two'],
    );
    assert.match(found[0]?.text ?? '', /hl_cb_create/);
    assert.doesNotMatch(found[0]?.text ?? '', /b8 c0 a7|hex dump/);
  });

  test('what is no report is none', () => {
    assert.deepEqual(parseLeaks(''), []);
    assert.deepEqual(parseLeaks('unreferenced object 0x1 (size 8):\n  comm "a"\n'), []);
  });
});

test('of a file that other chips use too, their functions are set apart with their lines', () => {
  const irq: FileCoverage = {
    file: `${FOLDER}common/irq.c`,
    functions: [
      { name: 'hl_irq_handler_cq', line: 10, count: 1 },
      { name: 'hl_irq_user_interrupt_handler', line: 20, count: 0 },
      { name: 'hl_eq_init', line: 30, count: 1 },
    ],
    lines: [9, 11, 20, 25, 31].map((line) => ({ line, count: 1 })),
    branches: [11, 25].map((line) => ({ line, counts: [1, 0] })),
  };
  const { kept, apart } = apartOf([irq]);
  assert.deepEqual(
    kept.map(({ functions, lines, branches }) => [
      functions.map(({ name }) => name),
      lines.map(({ line }) => line),
      branches.map(({ line }) => line),
    ]),
    [[['hl_irq_handler_cq', 'hl_eq_init'], [9, 11, 31], [11]]],
  );
  assert.deepEqual(
    apart.map(({ names, count }) => [names, count]),
    [[['hl_irq_user_interrupt_handler'], 1]],
  );
});
