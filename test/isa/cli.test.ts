import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, describe, it } from 'node:test';

const folder = mkdtempSync(path.join(tmpdir(), 'sagrada-isa-'));
after(() => rmSync(folder, { recursive: true }));

const program = path.join(import.meta.dirname, '../../bin/sagrada.js');

function sagrada(args: readonly string[], input: string | Uint8Array = '') {
  const { status, stdout, stderr } = spawnSync(process.execPath, [program, ...args], { cwd: folder, input });
  return { status, stdout: stdout.toString('latin1'), bytes: new Uint8Array(stdout), stderr: stderr.toString() };
}

function file(name: string, content: string | Uint8Array): string {
  writeFileSync(path.join(folder, name), content);
  return name;
}

const QMAN = ['--isa', 'gaudi-qman'];

describe('one clear line, status 1 and no output', () => {
  const cases: readonly (readonly [args: readonly string[], input: string, message: RegExp])[] = [
    [['asm', ...QMAN, 'missing.qman'], '', /^sagrada: cannot read missing.qman: no such file or folder\n$/],
    [['asm', ...QMAN, '.'], '', /^sagrada: cannot read \.: it is a folder\n$/],
    [
      ['asm', '--isa', 'gaudi-qmann', '-'],
      '',
      /^sagrada: no instruction set "gaudi-qmann"; did you mean "gaudi-qman"\? \(known: gaudi-qman, tpc-gaudi\)\n$/,
    ],
    [['asm', '--isa', 'toString', '-'], '', /^sagrada: no instruction set "toString"/],
    [
      ['asm', ...QMAN, '-', '-o', 'no/such/folder'],
      'nop',
      /^sagrada: cannot write no\/such\/folder: no such file or folder\n$/,
    ],
    [['asm', ...QMAN, '-', '-o', 'x', '--hex'], 'nop', /^sagrada: --hex and --output exclude each other\n$/],
    [['disasm', ...QMAN, '-'], 'abc', /^sagrada: standard input: 3 hexadecimal digits are no whole bytes\n$/],
    [['disasm', ...QMAN, '--input', 'hex', '-'], 'nop', /^sagrada: standard input is not text in hexadecimal\n$/],
    [
      ['disasm', ...QMAN, '-'],
      '00 00 00 00 00 00 00 1e',
      /^sagrada: standard input: undefined: gaudi-qman.0x1e: at offset 0x0: no packet has this opcode; --data prints such bytes as data\n$/,
    ],
    [['isa', 'doc', 'nothing'], '', /^sagrada: no instruction set "nothing" \(known: gaudi-qman, tpc-gaudi\)\n$/],
  ];
  for (const [args, input, message] of cases) {
    it(args.join(' '), () => {
      const result = sagrada(args, input);
      assert.match(result.stderr, message);
      assert.doesNotMatch(result.stderr, /\n {4}at /);
      assert.equal(result.stdout, '');
      assert.equal(result.status, 1);
    });
  }

  it('asm of a binary says so', () => {
    const result = sagrada(['asm', ...QMAN, '-'], Uint8Array.of(0xff, 0xfe, 0));
    assert.equal(result.stderr, 'sagrada: standard input is not text in UTF-8; is it a binary for "sagrada disasm"?\n');
    assert.equal(result.status, 1);
  });
});

describe('asm', () => {
  it('prints diagnostics with file, line and column first, and leaves an earlier output alone', () => {
    file('bad.qman', 'nop\nmsg_lnog [0], 1\n');
    file('out.bin', 'earlier');
    const result = sagrada(['asm', ...QMAN, 'bad.qman', '-o', 'out.bin']);
    assert.equal(
      result.stderr,
      'bad.qman:2:1: error: unknown mnemonic "msg_lnog"; did you mean "msg_long"?\n 2 | msg_lnog [0], 1\n   | ^~~~~~~~\n',
    );
    assert.equal(result.status, 1);
    assert.equal(readFileSync(path.join(folder, 'out.bin'), 'utf8'), 'earlier');
    assert.ok(!readdirSync(folder).some((name) => name.endsWith('.part')));
  });

  it('warns on stderr and succeeds', () => {
    const result = sagrada(['asm', ...QMAN, '--hex', '-'], 'stop mb');
    assert.match(result.stderr, /^standard input:1:6: warning: mb of stop must be 0/);
    assert.equal(result.stdout, '000000000000008b\n');
    assert.equal(result.status, 0);
  });

  it('writes bytes to a file, to a pipe, or as hexadecimal, one packet to a line', () => {
    file('two.qman', 'nop mb\nmsg_long [BUFFER + 8], 1\n');
    const args = ['asm', ...QMAN, '-D', 'BUFFER=0x1000', 'two.qman'];
    const expected = '000000000000008a\n0100000000000003 0810000000000000\n';
    assert.equal(sagrada([...args, '--hex']).stdout, expected);
    const bytes = Buffer.from(expected.replace(/\s/g, ''), 'hex');
    assert.deepEqual(Buffer.from(sagrada(args).bytes), bytes);
    const result = sagrada([...args, '-o', 'two.bin']);
    assert.deepEqual([result.status, result.stdout, result.stderr], [0, '', '']);
    assert.deepEqual(readFileSync(path.join(folder, 'two.bin')), bytes);
  });

  it('waits for a slow writer', () => {
    const script = `(sleep 0.3; echo nop) | "${process.execPath}" "${program}" asm --isa gaudi-qman --hex -`;
    const { stdout, stderr } = spawnSync('bash', ['-c', script], { cwd: folder, encoding: 'utf8' });
    assert.deepEqual([stdout, stderr], ['000000000000000a\n', '']);
  });

  it('refuses a definition that is none', () => {
    const result = sagrada(['asm', ...QMAN, '-D', 'BUFFER', '-'], 'nop');
    assert.match(result.stderr, /NAME=NUMBER is expected/);
    assert.equal(result.status, 2);
  });
});

describe('disasm', () => {
  it('reads what asm writes, in both forms, and gives it back', () => {
    const text = 'wreg_bulk 0x14, {1, 2}\nlin_dma [SRAM_BASE], [0x4000], 64, eb, mb\n';
    const hex = sagrada(['asm', ...QMAN, '--hex', '-'], text).stdout;
    assert.equal(sagrada(['disasm', ...QMAN, '-'], hex).stdout, text);
    assert.equal(sagrada(['disasm', ...QMAN, '-'], `# a comment\n${hex.replaceAll(' ', '\n')}// abc\n`).stdout, text);
    sagrada(['asm', ...QMAN, '-', '-o', 'again.bin'], text);
    assert.equal(sagrada(['disasm', ...QMAN, 'again.bin']).stdout, text);
    const listing = sagrada(['disasm', ...QMAN, '--listing', 'again.bin']).stdout;
    assert.equal(sagrada(['asm', ...QMAN, '--hex', '-'], listing).stdout, hex);
  });

  it('prints what is no packet as data where asked to', () => {
    const result = sagrada(['disasm', ...QMAN, '--data', '-'], '0100000000000000 000000000000000a ff');
    assert.equal(result.stdout, '.word 1, 0\nnop\n.byte 0xff\n');
    assert.equal(result.status, 0);
  });
});

describe('isa', () => {
  it('lists instruction sets, packets, and what is not verified', () => {
    assert.match(sagrada(['isa', 'list']).stdout, /^gaudi-qman {2}command packets of the Gaudi1 queue managers$/m);
    assert.match(
      sagrada(['isa', 'list', 'gaudi-qman']).stdout,
      /^WREG_BULK +opcode 0x2 +8 \+ 8 \* size64 bytes {2}\S/m,
    );
    assert.match(sagrada(['isa', 'list', 'gaudi-qman', '--unverified']).stdout, /^REPEAT\.jump +\S/m);
    const rows = JSON.parse(sagrada(['isa', 'list', 'gaudi-qman', '--json']).stdout) as { name: string }[];
    assert.equal(rows.length, 14);
    const open = JSON.parse(sagrada(['isa', 'list', '--unverified', '--json']).stdout) as {
      what: string;
      reason: string;
    }[];
    assert.ok(open.some(({ what, reason }) => what === 'LIN_DMA.compress' && reason !== ''));
  });

  it('lists the symbols of one instruction set', () => {
    const { stdout } = sagrada(['isa', 'list', 'gaudi-qman', '--symbols']);
    assert.match(stdout, /^SOB_E_N\(0\.\.2047\) +0x7ffc4f2000 +\S/m);
    assert.match(stdout, /^DMA7_QM\.CP_FENCE_RDATA\(0\.\.3, 0\.\.4\) +0x7ffc5e8308 +\S/m);
    assert.equal(
      sagrada(['isa', 'list', '--symbols']).stderr,
      'sagrada: --symbols needs the name of an instruction set\n',
    );
  });

  it('prints the reference', () => {
    const result = sagrada(['isa', 'doc', 'gaudi-qman']);
    assert.match(result.stdout, /^# Gaudi queue manager packets\n/);
    assert.equal(result.status, 0);
  });

  it('ends quietly when the reader goes away', () => {
    const script = `"${process.execPath}" "${program}" isa doc gaudi-qman | head -1; echo "\${PIPESTATUS[0]}"`;
    const { stdout, stderr } = spawnSync('bash', ['-c', script], { cwd: folder, encoding: 'utf8' });
    assert.equal(stderr, '');
    assert.match(stdout, /^# Gaudi queue manager packets\n0\n$/);
  });

  it('leaves nothing behind', () => {
    assert.ok(!existsSync(path.join(folder, 'no')));
  });
});

describe('programs of the TPC', () => {
  const TPC = ['--isa', 'tpc-gaudi'];
  const text = 'main:\n  nop; mov.i32 S1, 5\nend: halt\n';
  const bytes =
    'c81f101000f80100000000000000800f00f08102000000000000000000000000\n' +
    '2000000000000100000000000000800f00f00100000000000000000000000000\n';

  it('become object files named after the text, and text again', () => {
    file('relu.tpc', text);
    assert.equal(sagrada(['asm', ...TPC, 'relu.tpc', '-o', 'relu.o']).status, 0);
    const object = readFileSync(path.join(folder, 'relu.o'));
    assert.ok(object.includes('KernelName:[relu]'));
    const { stdout, status } = sagrada(['disasm', ...TPC, 'relu.o']);
    assert.equal(status, 0);
    assert.equal(stdout, 'main:\nnop; mov.i32 S1, 5; nop; nop\nend:\nnop; halt; halt; nop\n');
  });

  it('become bytes and hexadecimal', () => {
    assert.equal(sagrada(['asm', ...TPC, '-', '--hex'], text).stdout, bytes);
    assert.equal(
      Buffer.from(sagrada(['asm', ...TPC, '-', '--bin'], text).bytes).toString('hex'),
      bytes.replaceAll('\n', ''),
    );
    assert.match(sagrada(['disasm', ...TPC, '-'], bytes).stdout, /^nop; mov.i32 S1, 5; nop; nop\n/);
  });

  it('that read too early are warned of, and assembled', () => {
    const early = 'nop; mov.i32 S1, 5\nnop; mov.i32 S2, S1';
    const { status, stderr, stdout } = sagrada(['asm', ...TPC, '-', '--hex'], early);
    assert.equal(status, 0);
    assert.match(stderr, /^standard input:2:6: warning: S1 is read in the next bundle/);
    const silent = sagrada(['asm', ...TPC, '-', '--hex', '--no-hazards'], early);
    assert.equal(silent.stderr, '');
    assert.equal(silent.stdout, stdout);
  });

  it('of hostile files are refused in one line', () => {
    file('cut.o', readFileSync(path.join(folder, 'relu.o')).subarray(0, 100));
    const { status, stderr, stdout } = sagrada(['disasm', ...TPC, 'cut.o']);
    assert.equal(status, 1);
    assert.equal(stdout, '');
    assert.match(
      stderr,
      /^sagrada: cut.o: guest: elf: the table of sections is at 0x[0-9a-f]+ with \d+ bytes; the file has 100\n$/,
    );
  });

  it('have a reference with a page per instruction, and a grammar', () => {
    assert.equal(sagrada(['isa', 'doc', 'tpc-gaudi', '-o', 'pages']).status, 0);
    assert.match(readFileSync(path.join(folder, 'pages', 'vpu-mac.md'), 'utf8'), /^# mac \(VPU\)/);
    assert.equal(JSON.parse(sagrada(['isa', 'grammar', 'tpc-gaudi']).stdout).scopeName, 'source.tpc-gaudi');
    assert.match(
      sagrada(['isa', 'grammar', 'gaudi-qman']).stderr,
      /^sagrada: gaudi-qman has no grammar for editors\n$/,
    );
    const open = sagrada(['isa', 'list', 'tpc-gaudi', '--unverified']).stdout;
    assert.match(open, /^load.gen_addr /);
    assert.match(open, /^LFSR +the model's reading: \S/m, 'and how the model reads what the rows do not say');
  });
});
