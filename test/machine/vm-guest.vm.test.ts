/** The guest itself, without devices: what a command sees there, and how guests end. */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { bootVm, type RunOptions, type Vm, type VmOptions } from '../../src/machine/vm/vm.ts';
import { cacheFolder } from '../../src/os/cache.ts';
import { UserError } from '../../src/sim/errors.ts';
import { processesWith } from './processes.ts';

const folder = realpathSync(mkdtempSync(path.join(tmpdir(), 'vm-guest-')));
after(() => rmSync(folder, { recursive: true }));

const options = (rest: Partial<VmOptions> = {}): VmOptions => ({
  machine: 'none',
  kernel: 'backports',
  cache: cacheFolder(),
  memory: 2 ** 30,
  say: () => {},
  ...rest,
});

async function run(vm: Vm, command: readonly string[], rest: RunOptions = {}) {
  const out: Buffer[] = [];
  const err: Buffer[] = [];
  const status = await vm.run(command, {
    onStdout: (data) => void out.push(Buffer.from(data)),
    onStderr: (data) => void err.push(Buffer.from(data)),
    ...rest,
  });
  return { status, stdout: Buffer.concat(out), stderr: Buffer.concat(err).toString() };
}

const shell = (vm: Vm, script: string, rest: RunOptions = {}) => run(vm, ['sh', '-c', script], rest);

async function* bytes(data: Uint8Array) {
  yield data;
}

describe('a guest', () => {
  const bound = path.join(folder, 'bound');
  let vm: Vm;
  before(async () => {
    mkdirSync(bound);
    writeFileSync(path.join(bound, 'from-host'), 'hello');
    writeFileSync(path.join(folder, 'in-tmp'), 'seen');
    vm = await bootVm(options({ binds: [bound] }));
  });
  after(() => vm.close());

  test('a program or folder that is not there', async () => {
    const missing = await run(vm, ['no-such-program']);
    assert.equal(missing.status, 127);
    assert.match(missing.stderr, /cannot run no-such-program: No such file or directory/);
    const nowhere = await run(vm, ['true'], { cwd: '/no/such/folder' });
    assert.equal(nowhere.status, 127);
    assert.match(nowhere.stderr, /\/no\/such\/folder: No such file or directory/);
    assert.equal((await run(vm, [path.join(bound, 'from-host')])).status, 126);
  });

  test('the host is there to read, not to write; /tmp is a copy to write on; bound folders are shared', async () => {
    const { status, stderr } = await shell(vm, 'touch /etc/x');
    assert.notEqual(status, 0);
    assert.match(stderr, /Read-only/);
    const own = path.join(import.meta.dirname, 'vm-guest.vm.test.ts');
    assert.deepEqual((await run(vm, ['cat', own])).stdout, readFileSync(own));
    assert.equal((await shell(vm, `cat ${folder}/in-tmp && echo changed >${folder}/in-tmp`)).stdout.toString(), 'seen');
    assert.equal(readFileSync(path.join(folder, 'in-tmp'), 'utf8'), 'seen');
    assert.equal((await shell(vm, `cat ${bound}/from-host; echo hi >${bound}/from-guest`)).stdout.toString(), 'hello');
    assert.equal(readFileSync(path.join(bound, 'from-guest'), 'utf8'), 'hi\n');
    writeFileSync(path.join(bound, 'later'), 'also seen');
    assert.equal((await run(vm, ['cat', path.join(bound, 'later')])).stdout.toString(), 'also seen');
  });

  test('streams are binary, whole, apart from each other and from the console', async () => {
    const data = Buffer.from(Array.from({ length: 3_000_000 }, (_, i) => (i * 7 + (i >> 8)) & 0xff));
    const copy = await shell(vm, 'cat; echo error >&2; exit 3', { stdin: bytes(data) });
    assert.equal(copy.status, 3);
    assert.ok(copy.stdout.equals(data));
    assert.equal(copy.stderr, 'error\n');
  });

  test('a command without input reads an end of file, and one that does not read its input ends all the same', async () => {
    assert.equal((await run(vm, ['cat'])).stdout.length, 0);
    const deaf = await run(vm, ['true'], { stdin: bytes(Buffer.alloc(1_000_000)) });
    assert.equal(deaf.status, 0);
  });

  test('the status of a signal is 128 and its number', async () => {
    assert.equal((await shell(vm, 'kill -9 $$')).status, 137);
    const killed = await run(vm, ['sleep', '1000'], { onStart: (command) => command.signal(15) });
    assert.equal(killed.status, 143);
  });

  test('what a command leaves running ends with it', async () => {
    await shell(vm, 'sleep 4321 & exit 0');
    const { stdout } = await shell(vm, 'cat /proc/[0-9]*/comm');
    assert.ok(!stdout.toString().split('\n').includes('sleep'));
  });

  test('commands run side by side', async () => {
    const fifo = '/tmp/meet';
    await shell(vm, `mkfifo ${fifo}`);
    const [reader, writer] = await Promise.all([run(vm, ['cat', fifo]), shell(vm, `echo met >${fifo}`)]);
    assert.equal(reader.stdout.toString(), 'met\n');
    assert.equal(writer.status, 0);
  });

  test('the environment is sane', async () => {
    process.env.SAGRADA_TEST_VARIABLE = 'carried over';
    const { stdout } = await shell(
      vm,
      'echo $SAGRADA_TEST_VARIABLE; echo $HOME; pwd; ulimit -l; cat /proc/sys/vm/nr_hugepages; id -u; ' +
        'test -d /sys/kernel/debug/dri -o -d /sys/kernel/debug/tracing && echo debugfs; ' +
        'touch /dev/shm/x /run/x && echo writable; echo $EXTRA',
      { env: { EXTRA: 'own' } },
    );
    const lines = [
      'carried over',
      process.env.HOME,
      process.cwd(),
      'unlimited',
      '16',
      '0',
      'debugfs',
      'writable',
      'own',
    ];
    assert.deepEqual(stdout.toString().trim().split('\n'), lines);
  });

  test("the host's Node runs", async () => {
    const { stdout } = await run(vm, ['node', '-p', 'process.version + os.hostname()']);
    assert.equal(stdout.toString(), `${process.version}sagrada\n`);
  });

  test('a C program built on the host runs', (t) => {
    const source = path.join(bound, 'hello.c');
    const program = path.join(bound, 'hello');
    writeFileSync(source, '#include <stdio.h>\nint main(void) { puts("hello from C"); return 4; }\n');
    if (spawnSync('cc', ['-o', program, source]).status !== 0) return t.skip('no C compiler on this host');
    return run(vm, [program]).then(({ status, stdout }) => {
      assert.equal(stdout.toString(), 'hello from C\n');
      assert.equal(status, 4);
    });
  });

  test('a terminal has a size, echoes, and is the controlling one', async () => {
    const { status, stdout } = await shell(vm, 'stty size; tty; read line; echo "[$line]"; exit 9', {
      terminal: { rows: 33, columns: 101 },
      stdin: bytes(Buffer.from('typed\n')),
    });
    assert.equal(status, 9);
    assert.match(stdout.toString(), /^(typed\r\n)?33 101\r\n\/dev\/pts\/\d+\r\n(typed\r\n)?\[typed\]\r\n$/);
  });

  test("the kernel's log has levels and times, and nothing unexpected", () => {
    const log = vm.kernelLog();
    assert.ok(log.some(({ text }) => text.startsWith('Linux version')));
    assert.ok(log.every(({ level }) => level >= 0 && level <= 7));
    assert.deepEqual(vm.unexpected(), []);
  });

  test('what the kernel logs while a command runs is there when the command has ended', async () => {
    await shell(vm, 'echo "<3>a message of the test" >/dev/kmsg');
    assert.deepEqual(
      vm.unexpected().map(({ text }) => text),
      ['a message of the test'],
    );
  });
});

describe('the end of a guest', () => {
  test('a panic is told, with its own line, to the command that runs', async () => {
    const vm = await bootVm(options());
    try {
      const status = shell(vm, 'echo c >/proc/sysrq-trigger; sleep 100');
      await assert.rejects(status, /the guest's kernel has crashed: .*(panic|crash)/i);
      assert.match(vm.logText(), /Kernel panic/);
      await assert.rejects(async () => vm.run(['true']), UserError);
    } finally {
      await vm.close();
    }
  });

  test('a guest that no longer answers is given up', async () => {
    const vm = await bootVm(options({ patience: 10 }));
    const [qemu] = processesWith(`sagrada-${process.pid}-`);
    try {
      const status = vm.run(['sleep', '1000']);
      assert.ok(qemu);
      process.kill(qemu, 'SIGSTOP');
      await assert.rejects(status, /the guest hangs: no answer from it \(its last line: /);
    } finally {
      await vm.close();
    }
  });

  test('closing ends what runs, writes back what was written, and leaves nothing', async () => {
    const vm = await bootVm(options({ binds: [folder] }));
    // the folder is there only after the guest has written the first, if perhaps not yet written it back
    const running = shell(vm, `echo kept >${folder}/kept; mkdir ${folder}/written; sleep 1000`);
    const ended = assert.rejects(running, /the guest was shut down/);
    while (!existsSync(path.join(folder, 'written'))) await new Promise((resolve) => setTimeout(resolve, 50));
    await vm.close();
    await ended;
    assert.equal(readFileSync(path.join(folder, 'kept'), 'utf8'), 'kept\n');
  });

  test('an abort during the boot ends it with its reason', async () => {
    const controller = new AbortController();
    const booting = assert.rejects(bootVm(options({ signal: controller.signal })), /enough/);
    while (processesWith(`sagrada-${process.pid}-`).length === 0)
      await new Promise((resolve) => setTimeout(resolve, 10));
    controller.abort(new UserError('enough'));
    await booting;
  });

  test('an init that cannot be started is told as the crash that it is', async () => {
    await assert.rejects(bootVm(options({ append: 'rdinit=/nowhere init=/nowhere' })), /crashed|Requested init/);
  });
});
