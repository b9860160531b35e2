/**
 * QEMU's own vfio-user client, driven through its qtest protocol (docs/devel/testing/qtest.rst): no processor runs, each
 * access is a command. It is the outside judge of what the raw-bytes tests take from the protocol's text.
 */

import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, describe, test } from 'node:test';
import { parts } from '../../src/machine/vm/cache-parts.ts';
import { privateQemu } from '../../src/machine/vm/qemu.ts';
import { cacheFolder } from '../../src/os/cache.ts';
import { Bench } from './raw-client.ts';
import { MAPPABLE } from './toy-function.ts';

const tree = parts(cacheFolder()).qemu;
const missing = existsSync(tree) ? false : 'no QEMU: sagrada vm setup has not been run';

const SLOT = 5;
const BAR0 = 0xe000_0000;
const BAR2 = 0xe010_0000;
const MSI = 0x40;
const RAM = 64 * 1024 * 1024;
const BIOS = 'usr/share/seabios/bios-256k.bin';

/** A header that QEMU takes: two memory BARs, an MSI capability with four vectors, a PCIe capability. */
function header(): Uint8Array {
  const bytes = new Uint8Array(4096);
  const view = new DataView(bytes.buffer);
  view.setUint32(0x00, 0x1234_1af0, true);
  view.setUint16(0x06, 0x0010, true); // status: capabilities
  view.setUint32(0x08, 0xff00_0000, true); // class: none of the known
  view.setUint32(0x18, 0x0000_000c, true); // BAR 2: 64-bit, prefetchable
  view.setUint8(0x34, MSI);
  view.setUint16(MSI, 0x5005, true);
  view.setUint16(MSI + 2, 0x0084, true); // 64-bit addresses, 4 vectors
  view.setUint16(0x50, 0x0010, true);
  view.setUint16(0x52, 0x0002, true); // PCIe endpoint, version 2
  return bytes;
}

describe('QEMU as the client', { skip: missing }, () => {
  let bench: Bench;
  let qemu: ChildProcess;
  let complaints = '';
  let socket: Socket;
  const answers: string[] = [];

  /** Runs the server until `done`; QEMU waits for it in the middle of its own work. */
  async function until(done: () => boolean): Promise<void> {
    while (!done()) {
      assert.equal(qemu.exitCode, null, `QEMU has ended: ${complaints}`);
      bench.reactor.turn(1);
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  async function start(): Promise<void> {
    bench.function.config.write(0, header());
    const control = path.join(bench.directory, 'qtest');
    const { command } = privateQemu(tree, 'QEMU');
    const device = {
      driver: 'vfio-user-pci',
      socket: { type: 'unix', path: bench.path },
      addr: String(SLOT),
      rombar: 0,
    };
    qemu = spawn(
      command[0] as string,
      [
        ...command.slice(1),
        ...['-machine', 'q35,memory-backend=ram', '-accel', 'tcg', '-S', '-nodefaults', '-display', 'none'],
        ...['-m', '64M', '-object', 'memory-backend-memfd,id=ram,size=64M,share=on'],
        ...['-qtest', `unix:${control},server=on,wait=off`, '-qtest-log', 'none', '-device', JSON.stringify(device)],
      ],
      { stdio: ['ignore', 'ignore', 'pipe'] },
    );
    qemu.stderr?.on('data', (data: Buffer) => {
      complaints += data.toString();
    });
    // The socket is there before the device is made; QEMU takes connections when all are.
    await until(() => existsSync(control) && bench.server.connected);
    socket = connect(control);
    createInterface({ input: socket }).on('line', (line) => answers.push(line));
    await configure(0x10, BAR0);
    await configure(0x18, BAR2);
    await configure(0x1c, 0);
    await configure(0x04, 0x0006); // memory, bus master
  }

  /** One qtest command. @returns what follows OK */
  async function command(line: string): Promise<string> {
    answers.length = 0;
    socket.write(`${line}\n`);
    await until(() => answers.length > 0);
    const [answer] = answers as [string];
    assert.match(answer, /^OK/, `${line}: ${answer}`);
    return answer.slice(3);
  }

  async function configure(register: number, value: number): Promise<void> {
    await command(`outl 0xcf8 ${0x8000_0000 + SLOT * 0x800 + register}`);
    await command(`outl 0xcfc ${value}`);
  }

  async function dma(access: 'read' | 'write', address: number, bytes: Uint8Array): Promise<void> {
    const outcome: (Error | undefined)[] = [];
    bench.function.ports.dma[access](address, bytes, (error) => outcome.push(error));
    await until(() => outcome.length > 0);
    assert.deepEqual(outcome, [undefined]);
  }

  before(async () => {
    bench = new Bench();
    await start();
  });

  after(() => {
    socket?.destroy();
    qemu?.kill('SIGKILL');
    bench?.close();
  });

  test('it negotiates, and makes the device, without a complaint', () => {
    assert.equal(complaints, '');
    assert.deepEqual(bench.logged, []);
  });

  test('accesses to a trapped BAR reach the function with their sizes', async () => {
    bench.function.log.length = 0;
    await command(`writel ${BAR0 + 0x10} 0xdeadbeef`);
    await command(`writeb ${BAR0 + 0x20} 0x7f`);
    assert.equal(Number(await command(`readl ${BAR0 + 0x10}`)), 0xdead_beef);
    assert.deepEqual(bench.function.log, ['write 16+4', 'write 32+1', 'read 16+4']);
  });

  test('of a sparse BAR the mapped part is shared memory, the rest traps', async () => {
    bench.function.log.length = 0;
    await command(`writel ${BAR2 + MAPPABLE.offset + 8} 0x11223344`);
    assert.deepEqual(bench.function.log, []);
    assert.equal(bench.function.memory.words[(MAPPABLE.memoryOffset + 8) / 4], 0x1122_3344);
    await command(`writel ${BAR2 + 8} 0x55667788`);
    assert.deepEqual(bench.function.log, ['bar2 write 8+4']);
  });

  test('guest memory is mapped, at every address that QEMU gives it', async () => {
    const port = bench.function.ports.dma;
    port.view(0x10_0000, 4, 'write')?.set([1, 2, 3, 4]);
    assert.equal(Number(await command('readl 0x100000')), 0x0403_0201);
    await command(`writel ${RAM - 4} 0x01020304`);
    assert.deepEqual([...(port.view(RAM - 4, 4, 'read') ?? [])], [4, 3, 2, 1]);
    port.store32(0x10_0004, 0xcafe_f00d, () => {});
    assert.equal(Number(await command('readl 0x100004')), 0xcafe_f00d);
    assert.equal(port.view(RAM, 1, 'read'), undefined);
  });

  test('memory without a descriptor is read and written by messages', async () => {
    const rom = readFileSync(path.join(tree, BIOS));
    const top = 2 ** 32;
    assert.equal(bench.function.ports.dma.view(top - 16, 16, 'read'), undefined);
    const tail = new Uint8Array(rom.length);
    await dma('read', top - rom.length, tail);
    assert.ok(rom.equals(tail));
    // QEMU maps the device's own BAR back to it, without a descriptor.
    const data = Uint8Array.from({ length: 0x3001 }, (_, i) => i % 253);
    await dma('write', BAR2 + MAPPABLE.offset + 3, data);
    const at = MAPPABLE.memoryOffset + 3;
    assert.ok(Buffer.from(data).equals(bench.function.memory.bytes.subarray(at, at + data.length)));
    const back = new Uint8Array(data.length);
    await dma('read', BAR2 + MAPPABLE.offset + 3, back);
    assert.deepEqual(back, data);
  });

  test('an MSI arrives where the guest has told it to', async () => {
    const target = 0x20_0000;
    await configure(MSI + 4, target);
    await configure(MSI + 8, 0);
    await configure(MSI + 12, 0x4040);
    await configure(MSI, 0x00a5_5005); // enabled, 4 vectors
    // QEMU connects the vectors while the guest's write is under way.
    bench.function.ports.interrupt('msi', 0);
    await until(() => (bench.function.ports.dma.view(target, 4, 'read') as Uint8Array)[0] !== 0);
    assert.equal(Number(await command(`readl ${target}`)), 0x4040);
  });

  test('when QEMU is killed, the next one finds the device again', async () => {
    socket.destroy();
    qemu.kill('SIGKILL');
    while (bench.server.connected) bench.reactor.turn(1);
    assert.equal(bench.function.resets.at(-1), 'conventional');
    assert.equal(bench.function.ports.dma.view(0, 1, 'read'), undefined);
    await new Promise((resolve) => qemu.once('close', resolve));
    await start();
    await command(`writel ${BAR0 + 0x10} 7`);
    assert.equal(Number(await command(`readl ${BAR0 + 0x10}`)), 7);
    assert.equal(complaints, '');
  });
});
