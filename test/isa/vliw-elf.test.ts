import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { instructionSets } from '../../specs/index.ts';
import { type Kernel, readKernel, writeKernel } from '../../src/isa/vliw/elf.ts';
import { ModelError } from '../../src/sim/errors.ts';
import { seed } from '../seed.ts';

const kernel: Kernel = {
  text: new Uint8Array(96).map((_, i) => i),
  sections: new Map([['.tpc_metadata', new Uint8Array(262).fill(1)]]),
  symbols: [
    { name: 'main', value: 0, global: true },
    { name: 'loop_end', value: 64, global: false },
  ],
  name: 'relu',
};

function word(file: Uint8Array, at: number, value: number): Uint8Array {
  const changed = file.slice();
  new DataView(changed.buffer).setUint32(at, value, true);
  return changed;
}

/** What a reader says of a file; undefined where it accepts it. */
function refusal(file: Uint8Array): string | undefined {
  try {
    readKernel(file);
    return undefined;
  } catch (error) {
    assert.ok(error instanceof ModelError, String(error));
    return error.message;
  }
}

describe('an object file that is broken is refused with a category', () => {
  const file = writeKernel(kernel);
  const view = new DataView(file.buffer);
  const table = view.getUint32(32, true);
  const section = (index: number, field: number) => table + index * 40 + field;
  const cases: readonly (readonly [what: string, file: Uint8Array, message: RegExp])[] = [
    ['empty', new Uint8Array(0), /^unsupported: elf: this is no ELF file/],
    ['text', new TextEncoder().encode('nop; nop'), /this is no ELF file/],
    ['only a header begun', file.slice(0, 20), /its header is cut off/],
    ['64 bits', file.with(4, 2), /kernels are 32-bit ELF files/],
    ['big-endian', file.with(5, 2), /little-endian/],
    ['another machine', file.with(18, 62), /machine 62/],
    ['a table beyond the file', word(file, 32, 0xffffff00), /the table of sections is at 0xffffff00/],
    ['no sections', word(file, 48, 0), /it has no sections/],
    ['very many sections', word(file, 48, 0xffff), /it has 65535 sections/],
    ['headers of another size', file.with(46, 64), /its section headers have 64 bytes/],
    ['names in a section that is not there', file.with(50, 99), /section 99, which there is not/],
    ['a section beyond the file', word(file, section(2, 20), 0x7fffffe0), /a section is at 0x34 with 2147483616 bytes/],
    ['a section whose end wraps around', word(file, section(2, 16), 0xffffffe0), /the file has/],
    ['sections that overlap', word(file, section(3, 16), 0x40), /two of its parts overlap/],
    ['a section over the header', word(file, section(2, 16), 0), /two of its parts overlap at offset 0x0/],
    ['no whole bundles', word(file, section(2, 20), 90), /no whole bundles of 32/],
    ['no .text', word(file, section(2, 0), 0), /it has no section .text/],
    ['a name beyond its table', word(file, section(2, 0), 0xffff), /a name is at 65535/],
    ['symbols of another size', word(file, section(5, 36), 24), /its symbols have 24 bytes/],
    ['symbols named in no table of strings', word(file, section(5, 24), 2), /no table of strings/],
    ['symbols that name themselves', word(file, section(5, 24), 5), /no table of strings/],
    ['half a symbol', word(file, section(5, 20), 40), /ends within a symbol/],
    [
      'a symbol beyond the program',
      word(file, view.getUint32(section(5, 16), true) + 16 + 4, 1000),
      /lies beyond .text/,
    ],
  ];
  for (const [what, broken, message] of cases) it(what, () => assert.match(refusal(broken) ?? 'accepted', message));

  it('cut off anywhere', () => {
    for (let length = 0; length < file.length; length++) assert.ok(refusal(file.slice(0, length)), `${length} bytes`);
  });

  it('changed anywhere: read, or refused with a category', () => {
    const change = fc.tuple(fc.nat({ max: file.length - 1 }), fc.integer({ min: 0, max: 255 }));
    fc.assert(
      fc.property(fc.array(change, { minLength: 1, maxLength: 6 }), (changes) => {
        const broken = file.slice();
        for (const [at, value] of changes) broken[at] = value;
        refusal(broken);
      }),
      { seed: seed(), numRuns: 5000 },
    );
  });
});

describe('names of symbols that no label can have', () => {
  const names = ['S1', 'b00011', 'i32_1', 'L_20', 'a b', 'x\n\u001b[2J', 'V2', '', 'ok', 'ok'];

  it('do not come between a program and its text', async () => {
    const isa = await instructionSets['tpc-gaudi']?.load();
    const text = isa?.assemble('a: nop\nnop; jmpr a\nnop; jmpr b\nb: nop').bytes as Uint8Array;
    const symbols = names.map((name, i) => ({ name, value: (i % 4) * 32, global: false }));
    const program = isa?.objects?.read(writeKernel({ ...kernel, text, symbols }));
    const again = isa?.disassemble(text, { symbols: program?.symbols ?? new Map() }) ?? '';
    assert.deepEqual([...(program?.symbols.values() ?? [])], ['ok']);
    assert.deepEqual(isa?.assemble(again).bytes, text);
  });
});

describe('an object file', () => {
  it('holds what was written', () => {
    const read = readKernel(writeKernel(kernel));
    assert.deepEqual(read.text, kernel.text);
    assert.equal(read.name, 'relu');
    assert.deepEqual(new Set(read.symbols), new Set(kernel.symbols));
    assert.deepEqual(read.sections.get('.tpc_metadata'), kernel.sections.get('.tpc_metadata'));
  });

  it('has its program where loaders look for it', () => {
    const file = writeKernel(kernel);
    assert.deepEqual(file.subarray(0x34, 0x34 + 96), kernel.text);
    assert.ok(Buffer.from(file).includes('KERNELINFOBEGIN KernelName:[relu] #KERNELINFOEND'));
  });

  it('has sections, symbols and names in the order of the toolchain that loaders know', async () => {
    const isa = await instructionSets['tpc-gaudi']?.load();
    const source = [
      '.globl main',
      '.globl gone',
      '.section .IndexMap',
      'SCEVBEGIN IndexSpace:[0] #SCEVEND',
      'main: nop',
      'end_main: nop',
      'a_main: nop',
      '$hidden: nop',
      '1: nop',
      '.section .tpc_metadata',
      'march: DW 2',
    ];
    const assembly = isa?.assemble(source.join('\n'));
    assert.ok(isa?.objects && assembly);
    const file = isa.objects.write(assembly, 'k');
    const kernel = readKernel(file);
    assert.deepEqual([...kernel.sections.keys()], ['.KernelInfo', '.IndexMap', '.tpc_metadata']);
    assert.deepEqual(
      kernel.symbols.map((each) => each.name),
      ['a_main', 'end_main', 'main'],
    );
    // llvm-mc orders the same names so: by their last characters, and what ends another name is part of it.
    const strings = '\0.text\0.IndexMap\0.KernelInfo\0end_main\0a_main\0gone\0.strtab\0.symtab\0.tpc_metadata\0';
    assert.ok(Buffer.from(file).includes(strings));
    assert.equal(Buffer.from(file).includes('hidden'), false);
  });

  it('is one to readelf', (t) => {
    const folder = mkdtempSync(path.join(tmpdir(), 'sagrada-elf-'));
    try {
      const file = path.join(folder, 'relu.o');
      writeFileSync(file, writeKernel(kernel));
      const { status, stdout, stderr, error } = spawnSync('readelf', ['-aW', file], { encoding: 'utf8' });
      if (error) return t.skip('readelf is not installed');
      assert.equal(status, 0);
      assert.equal(stderr, '');
      assert.match(stdout, /Machine:\s+Intel 80386/);
      assert.match(stdout, /\.text\s+PROGBITS\s+00000000 000034 000060/);
      assert.match(stdout, /GLOBAL DEFAULT\s+2 main/);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
