/** `sagrada tpc run` and `tpc debug` as they are typed. */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, describe, it } from 'node:test';
import { readNpy, writeNpy } from '../../src/tpc/run/npy.ts';

const folder = mkdtempSync(path.join(tmpdir(), 'sagrada-tpc-'));
after(() => rmSync(folder, { recursive: true }));

const root = path.join(import.meta.dirname, '../..');
const kernel = (name: string) => path.join(root, 'kernels', `${name}.tpc`);

function sagrada(args: readonly string[], input: string | Uint8Array = '') {
  const { status, stdout, stderr } = spawnSync(process.execPath, [path.join(root, 'bin/sagrada.js'), ...args], {
    cwd: folder,
    input,
  });
  return { status, stdout: stdout.toString(), stderr: stderr.toString() };
}

function write(name: string, content: string | Uint8Array): string {
  writeFileSync(path.join(folder, name), content);
  return name;
}

const spin = write('spin.tpc', 'top: nop; add.i32 S1, S1, 1\nnop; jmpr top\nnop\n');
const stray = write(
  'stray.tpc',
  `nop; set_indx I2, b11111, 0
nop; set_indx I2, b00001, 5000
gen_addr AD0, 0, I2
${'nop\n'.repeat(6)}ld_g S1, AD0
halt
`,
);
const fall = write('fall.tpc', 'nop\nnop\n');
const broken = write('broken.tpc', 'nop; addd.i32 S1, S2, S3\n');
const claim = write('claim.tpc', '.section .interface\n.ascii "in x f99 n"\n.text\nhalt\n');
const cut = write('cut.o', new Uint8Array([0x7f, 0x45, 0x4c, 0x46, 1, 1, 1]));
const odd = write('odd.bin', new Uint8Array(33));

describe('what cannot be run: one clear message, status 1 and no output', () => {
  const add = kernel('add');
  const cases: readonly (readonly [args: readonly string[], message: RegExp])[] = [
    [['none.tpc'], /^sagrada: cannot read none.tpc: no such file or folder\n$/],
    [[broken], /^broken.tpc:1:6: error: .*did you mean "add"/],
    [[cut], /^sagrada: cut.o: guest: elf: .*cut off/],
    [[odd], /^sagrada: odd.bin: neither text, nor an object file, nor whole bundles/],
    [
      [fall],
      /^sagrada: after fall.tpc:2, the last bundle: guest: TPC bundle 0x40: the program went where there is no memory\n$/,
    ],
    [
      [spin, '--budget', '1000'],
      /^sagrada: guest: kernel: not ended after 1000 bundles; it spins between spin.tpc:1 and spin.tpc:2\n$/,
    ],
    [
      [stray, '--in', 'a=f32[4]:ones'],
      /^sagrada: stray.tpc:10: guest: .*nothing to read there.* \(that is 19984 bytes behind the end of a\)\n {4}ld_g S1, AD0\n$/,
    ],
    [[add, '--in', 'x=f32[4]', '--out', 'z'], /^sagrada: tensor y is missing: --in y=f32\[\*\]\n$/],
    [[add, '--in', 'x=f32[4]', '--in', 'x=f32[4]', '--out', 'z'], /^sagrada: tensor x is told twice\n$/],
    [[add, '--in', 'q=f32[4]'], /^sagrada: the kernel has no tensor "q".*\(it has x, y, z\)\n$/],
    [
      [add, '--in', 'x=f32[4]', '--in', 'y=f32[5]', '--out', 'z'],
      /^sagrada: y is f32\[5\], which does not fit x, f32\[4\]/,
    ],
    [
      [add, '--in', 'x=bf16[4]', '--in', 'y=f32[4]', '--out', 'z'],
      /^sagrada: x is bf16\[4\], and the kernel's is f32\n$/,
    ],
    [
      [kernel('matmul'), '--in', 'a=f32[3,4]', '--in', 'b=f32[8,5]', '--out', 'c'],
      /^sagrada: b is f32\[8,5\]: dimension 1 is 5, and a wants 3\n$/,
    ],
    [[add, '--in', 'x=f33[4]'], /^sagrada: "x=f33\[4\]": there is no type "f33"/],
    [[add, '--in', 'x=f32[0]'], /"0" is no size of a dimension/],
    [[add, '--in', 'x=f32[1,1,1,1,1,2]'], /has 6 dimensions; there are five/],
    [[add, '--in', 'x=f32[99999,99999]'], /at most 2147483648 are run here/],
    [[add, '--in', 'x=f32[4]:lots'], /"lots" fills nothing/],
    [[add, '--in', 'x'], /does not tell what x is/],
    [[add, '--in', 'x=gone.npy'], /^sagrada: cannot read gone.npy/],
    [
      [kernel('leaky-relu'), '--in', 'x=f32[4]', '--out', 'y'],
      /^sagrada: scalar alpha is missing: --set alpha=NUMBER\n$/,
    ],
    [
      [kernel('leaky-relu'), '--in', 'x=f32[4]', '--out', 'y', '--set', 'beta=1'],
      /^sagrada: the kernel has no scalar "beta" \(it has alpha\)\n$/,
    ],
    [[kernel('relu'), '--in', 'x=f32[9999999]', '--json'], /^sagrada: y has 9999999 elements.*--out-file y=y.npy\n$/],
    [[spin, '--set', 'S0=99999999999'], /^sagrada: "S0=99999999999": an integer of 32 bits is expected\n$/],
    [[spin, '--set', 'S99=1'], /^sagrada: "S99=1": scalars are S0 to S31\n$/],
    [[claim], /^sagrada: claim.tpc: section .interface: "in x f99 n" means nothing\n$/],
    [[kernel('relu'), '--in', 'x=f32[4]', '--out', 'y', '--index-space', '0x1'], /is no index space/],
    [[kernel('relu'), '--in', 'x=f32[4]', '--out', 'y', '--out-file', 'q=q.npy'], /there is no tensor "q"/],
  ];
  for (const [args, message] of cases) {
    it(args.map((arg) => path.basename(arg)).join(' '), () => {
      const result = sagrada(['tpc', 'run', ...args]);
      assert.match(result.stderr, message);
      assert.doesNotMatch(result.stderr, /\n {4}at |internal error/);
      assert.equal(result.stdout, '');
      assert.equal(result.status, 1);
    });
  }
});

describe('sagrada tpc run', () => {
  it('prints the first and last elements, of all rows where they are few', () => {
    const args = ['--in', 'x=f32[1000]:ramp', '--in', 'y=f32[1000]:1.5', '--out', 'z'];
    const { stdout, status } = sagrada(['tpc', 'run', kernel('add'), ...args]);
    assert.equal(stdout, 'z f32[1000] [1.5 2.5 3.5 4.5 ... 997.5 998.5 999.5 1000.5]\n');
    assert.equal(status, 0);
    const rows = sagrada(['tpc', 'run', kernel('max-rows'), '--in', 'x=f32[3,2]:ramp', '--out', 'y']);
    assert.equal(rows.stdout, 'y f32[1,2]\n  [:,0] [2]\n  [:,1] [5]\n');
  });

  it('gives the same results on 1 core and on 8, compiled and not, and JSON that says so', () => {
    const args = ['tpc', 'run', kernel('softmax'), '--in', 'x=f32[70,20]:random', '--out', 'y', '--json'];
    const [one, eight, slow] = [[], ['--cores', '8'], ['--no-compile']].map((more) =>
      JSON.parse(sagrada([...args, ...more]).stdout),
    );
    assert.equal(one.results[0].values.length, 1400);
    assert.deepEqual(eight.results, one.results);
    assert.deepEqual(slow.results, one.results);
    assert.equal(slow.bundles, one.bundles);
    assert.deepEqual([one.parts, eight.parts], [1, 8]);
  });

  it('--stats tells bundles, slots and operations', () => {
    const args = ['--in', 'x=f32[1024]:random', '--in', 'y=f32[1024]:random', '--out', 'z', '--stats'];
    const { stdout } = sagrada(['tpc', 'run', kernel('add'), ...args]);
    assert.match(stdout, /^index space +4x1x1x1x1, in 1 part$/m);
    assert.match(stdout, /^bundles +\d+$/m);
    assert.match(stdout, /^ {2}store +[\d.]+ % of them \(16\)$/m);
    assert.match(stdout, /^floating point +1024 operations$/m);
  });

  it('--bundles writes a line for each bundle', () => {
    const args = ['--in', 'x=f32[4]:ones', '--out', 'y', '--bundles', 'bundles.txt', '--json'];
    const { stdout } = sagrada(['tpc', 'run', kernel('relu'), ...args]);
    const lines = readFileSync(path.join(folder, 'bundles.txt'), 'utf8').trimEnd().split('\n');
    assert.equal(lines.length, JSON.parse(stdout).bundles);
    assert.match(lines[0] as string, /^0 0 .*relu.tpc:\d+: nop; mov_irf_dim 0 S4, I1$/);
  });

  it('reads and writes .npy, whose dimensions NumPy tells in reverse', () => {
    const values = Float32Array.from({ length: 6 }, (_, n) => n - 2.5);
    write('x.npy', writeNpy(new Uint8Array(values.buffer), 'f32', [3, 2]));
    const result = sagrada(['tpc', 'run', kernel('relu'), '--in', 'x=x.npy', '--out', 'y', '--out-file', 'y=y.npy']);
    assert.equal(result.stdout, 'y f32[3,2]\n  [:,0] [0 0 0]\n  [:,1] [0.5 1.5 2.5]\n');
    const bytes = readFileSync(path.join(folder, 'y.npy'));
    assert.match(bytes.toString('latin1'), /'shape': \(2, 3\)/);
    const array = readNpy(bytes, 'y.npy');
    assert.deepEqual(array.sizes, [3, 2]);
    assert.deepEqual([0, 1, 2, 3, 4, 5].map(array.value), [0, 0, 0, 0.5, 1.5, 2.5]);
  });

  it('runs an object file, which still says what its tensors are', () => {
    assert.equal(sagrada(['asm', '--isa', 'tpc-gaudi', kernel('leaky-relu'), '-o', 'leaky.o']).status, 0);
    const args = ['--in', 'x=f32[2]:-4', '--out', 'y', '--set', 'alpha=0.25'];
    assert.equal(sagrada(['tpc', 'run', 'leaky.o', ...args]).stdout, 'y f32[2] [-1 -1]\n');
  });

  it('numbers the tensors of a kernel that does not name them in the order of --in and --out', () => {
    const swap = write(
      'plain.tpc',
      `ld_tnsr V1, 1, I0
${'nop\n'.repeat(3)}nop; nop; nop; st_tnsr 0, I0, V1
halt
`,
    );
    const { stdout } = sagrada(['tpc', 'run', swap, '--out', 'b=f32[4]', '--in', 'a=f32[4]:ramp']);
    assert.equal(stdout, 'b f32[4] [0 1 2 3]\n');
  });

  it('sets scalars by their number: 2 is an integer, 2.0 an f32', () => {
    const scalars = write(
      'scalars.tpc',
      `nop; nop; mov.f32 V1, S0; nop
nop; nop; mov.f32 V2, S1; nop
${'nop\n'.repeat(4)}nop; nop; nop; st_tnsr 0, I0, V1
nop; nop; nop; st_tnsr 1, I0, V2
halt
`,
    );
    const args = ['--out', 'a=u32[1]', '--out', 'b=u32[1]', '--set', 'S1=2.0', '--set', 'S0=2'];
    const { stdout } = sagrada(['tpc', 'run', scalars, ...args]);
    assert.equal(stdout, `a u32[1] [2]\nb u32[1] [${0x40000000}]\n`);
  });

  it('says so where a kernel asks for an index space that nobody has told', () => {
    const asking = write(
      'asking.tpc',
      `nop; mov_irf_dim 0 S1, I1
${'nop\n'.repeat(3)}nop; nop; mov.i32 V1, S1; nop
${'nop\n'.repeat(3)}nop; nop; nop; st_tnsr 0, I0, V1
halt
`,
    );
    const one = sagrada(['tpc', 'run', asking, '--out', 'n=i32[1]']);
    assert.match(one.stderr, /does not say its index space.*--index-space/);
    assert.equal(one.stdout, 'n i32[1] [1]\n');
    const seven = sagrada(['tpc', 'run', asking, '--out', 'n=i32[1]', '--index-space', '7']);
    assert.deepEqual([seven.stderr, seven.stdout], ['', 'n i32[1] [7]\n']);
  });

  it('gives the padding of :pad= for what is out of bounds', () => {
    const pad = write(
      'pad.tpc',
      `nop; set_indx I2, b11111, 0
ld_tnsr V1, 0, I2
${'nop\n'.repeat(3)}nop; nop; nop; st_tnsr 1, I2, V1
halt
`,
    );
    const { stdout } = sagrada(['tpc', 'run', pad, '--in', 'a=f32[2]:ones:pad=-inf', '--out', 'b=f32[4]']);
    assert.equal(stdout, 'b f32[4] [1 1 -Infinity -Infinity]\n');
  });
});

describe('sagrada tpc debug', () => {
  const args = ['tpc', 'debug', kernel('relu'), '--in', 'x=f32[256]:ramp', '--out', 'y'];

  it('stops at breakpoints, and shows registers, vectors and memory there', () => {
    const { stdout, status } = sagrada(
      args,
      'break end0\ncontinue\nprint V5 f32\nprint S4\nprint I2\nmemory y[64..66]\n',
    );
    assert.match(stdout, /^breakpoint 1: 0x5a0 .*relu.tpc:\d+: nop; add.i32 b00010 I2, 1, I2$/m);
    assert.match(stdout, /^breakpoint 1\n0x5a0/m);
    assert.match(stdout, /^V5 f32\n {4}0: 64 65 66 67 68 69 70 71$/m);
    assert.match(stdout, /^S4 1 0x1/m);
    assert.match(stdout, /^I2 \[256 0 0 0 0\]$/m);
    assert.match(stdout, /^y\[64\] 64 65$/m);
    assert.equal(status, 0);
  });

  it('steps, passes a whole LOOP, and runs to the end', () => {
    const { stdout, status } = sagrada(args, 'step 3\nbreak volume\nc\ndelete\nnext\nc\n');
    assert.match(stdout, /^cycle 3, 3 bundles done$/m);
    assert.match(stdout, /^0x600 .*: nop; add.i32 b10000 I2, 1, I2$/m);
    assert.match(stdout, /^the program has ended; cycle \d+, \d+ bundles done$/m);
    assert.equal(status, 0);
  });

  it('tells a result that is on its way from one that has arrived', () => {
    const { stdout } = sagrada(args, 'step\np S4\nstep 3\np S4\n');
    assert.match(stdout, /^S4 1 .*on its way/m);
    assert.match(stdout, /^S4 1 0x1 [^(]*$/m);
  });

  it('reads a script from a file, and ends with the first command that cannot be done', () => {
    write('script', '# comment\nstep\nprint Q3\nstep\n');
    const { stdout, stderr, status } = sagrada([...args, '--script', 'script']);
    assert.match(stderr, /^sagrada: "Q3" is no register/);
    assert.doesNotMatch(stdout, /2 bundles/);
    assert.equal(status, 1);
    assert.equal(sagrada([...args, '--script', 'gone']).status, 1);
  });

  it('explains what the program did wrong', () => {
    const { stderr, status } = sagrada(['tpc', 'debug', stray, '--in', 'a=f32[4]:ones'], 'run\n');
    assert.match(stderr, /stray.tpc:10: guest: .*behind the end of a/);
    assert.equal(status, 1);
  });
});
