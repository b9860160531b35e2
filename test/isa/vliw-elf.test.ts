import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import fc from 'fast-check';
import { instructionSets } from '../../specs/index.ts';
import { tpcGaudi } from '../../specs/tpc/gaudi.ts';
import { assembleVliw } from '../../src/isa/vliw/assembler.ts';
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

function folder(t: TestContext): string {
  const made = mkdtempSync(path.join(tmpdir(), 'sagrada-elf-'));
  t.after(() => rmSync(made, { recursive: true }));
  return made;
}

describe('what compilers say in their texts', () => {
  const text = `	.text
	.file	"add_f32.c"
	.globl	main                            // -- Begin function main
	.p2align	7
	.type	main,@function
main:                                   // @main
	.cfi_startproc
	nop; mov.i32 S1, 5; nop; nop
	.loc 1 3 0
	nop;	halt;	halt;	nop
$func_end0:
	.size	main, ($func_end0)-main
	.cfi_endproc
	.hidden helper
	.weak helper
	.p2align 7
helper:
	nop
	.ident	"clang version 12.0.0"
	.section	".note.GNU-stack","",@progbits
	.section .rodata.str,"aMS",@progbits,1
	.balign 4
	.asciz "hi"
`;
  const file = () => {
    const isa = tpcGaudi;
    const assembly = assembleVliw(isa, text, { hazards: false });
    return writeKernel({ ...assembly, text: assembly.bytes, name: 'add_f32.s' });
  };

  it('is in the object file: symbols with types and sizes, the file, alignment, flags', (t) => {
    const elf = path.join(folder(t), 'a.o');
    writeFileSync(elf, file());
    const { stdout, error } = spawnSync('readelf', ['-hSsW', elf], { encoding: 'utf8' });
    if (error) return t.skip('readelf is not installed');
    assert.match(stdout, /FILE +LOCAL +DEFAULT +ABS add_f32\.c/);
    assert.match(stdout, /00000000 +64 FUNC +GLOBAL DEFAULT +2 main/);
    assert.match(stdout, /00000080 +0 NOTYPE +WEAK +HIDDEN +2 helper/);
    assert.match(stdout, /\.text +PROGBITS +00000000 [0-9a-f]+ 0000a0 00 +AX +0 +0 128/);
    assert.match(stdout, /\.comment +PROGBITS +00000000 [0-9a-f]+ 000016 01 +MS/);
    assert.match(stdout, /\.rodata\.str +PROGBITS +00000000 [0-9a-f]+ 000003 01 +AMS +0 +0 +4/);
    assert.match(stdout, /\.note\.GNU-stack +PROGBITS +00000000 [0-9a-f]+ 000000/);
  });

  it('is read back: labels in .text, whatever else there is', () => {
    const { text: program, symbols, name } = readKernel(file());
    assert.equal(program.length, 160);
    assert.deepEqual(
      symbols.map((each) => [each.name, each.value]),
      [
        ['helper', 128],
        ['main', 0],
      ],
    );
    assert.equal(name, 'add_f32.s');
  });

  it('may be wrong', () => {
    const error = (line: string) => {
      try {
        assembleVliw(tpcGaudi, line);
      } catch (e) {
        return (e as Error).message;
      }
      return '';
    };
    assert.match(error('main:\n.size main, nothing'), /a number or a name of one is expected/);
    assert.match(error('.size main'), /.size NAME, NUMBER is expected/);
    assert.match(error('.type main'), /.type NAME, @function or @object is expected/);
    assert.match(error('.type main, @thing'), /@function or @object/);
    assert.match(error('.p2align 40'), /an alignment to a power of two/);
    assert.match(error('.balign 3'), /an alignment to a power of two/);
    assert.match(error('.ident nothing'), /.ident "TEXT" is expected/);
    assert.match(error('.section'), /the name of a section is expected/);
  });
});

describe('a program that is not all in its file', () => {
  it('is refused: nobody resolves its relocations', () => {
    const relocations = new Uint8Array([0, 0, 0, 0, 0, 1, 0, 0]);
    const file = writeKernel({ ...kernel, sections: new Map([['.rel.text', relocations]]) });
    const view = new DataView(file.buffer);
    const table = view.getUint32(32, true);
    // Sections: none, .strtab, .text, .KernelInfo, .rel.text.
    const changed = word(word(file, table + 4 * 40 + 4, 9), table + 4 * 40 + 28, 2);
    assert.match(refusal(changed) ?? '', /^unsupported: elf: section ".rel.text" has relocations of .text/);
    assert.equal(
      refusal(word(changed, table + 4 * 40 + 28, 3)),
      undefined,
      'those of other sections are for debuggers',
    );
  });
});
