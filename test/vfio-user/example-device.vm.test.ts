/** examples/device-model.ts in QEMU, which is driven by its qtest protocol: no processor runs, each access is a command. */

import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, describe, test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { parts } from '../../src/machine/vm/cache-parts.ts';
import { privateQemu } from '../../src/machine/vm/qemu.ts';
import { cacheFolder } from '../../src/os/cache.ts';

const tree = parts(cacheFolder()).qemu;
const missing = existsSync(tree) ? false : 'no QEMU: sagrada vm setup has not been run';
const example = path.join(import.meta.dirname, '../../examples/device-model.ts');

const SLOT = 5;
const BAR = 0xe000_0000;
const MSI = 0x40;
const [ID, ADDRESS, LENGTH, CONTROL, STATUS, SUM] = [0x00, 0x08, 0x10, 0x14, 0x18, 0x1c];
const DONE = 2;
const FAULT = 4;

describe('the example of a device', { skip: missing }, () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'sagrada-'));
  const device = path.join(folder, 'adder');
  const control = path.join(folder, 'qtest');
  const children: ChildProcess[] = [];
  let said = '';
  let socket: Socket;
  let answer: (line: string) => void = () => {};

  function start(words: readonly string[]): void {
    const child = spawn(words[0] as string, words.slice(1), { stdio: ['ignore', 'pipe', 'pipe'] });
    for (const stream of [child.stdout, child.stderr]) {
      stream?.on('data', (data: Buffer) => {
        said += data.toString();
      });
    }
    children.push(child);
  }

  async function until(done: () => boolean | Promise<boolean>): Promise<void> {
    while (!(await done())) {
      for (const { exitCode } of children) assert.equal(exitCode, null, said);
      await setTimeout(10);
    }
  }

  async function command(line: string): Promise<string> {
    const answered = new Promise<string>((resolve) => {
      answer = resolve;
    });
    socket.write(`${line}\n`);
    const text = await answered;
    assert.match(text, /^OK/, `${line}: ${text}`);
    return text.slice(3);
  }

  const readWord = async (address: number) => Number(await command(`readl ${address}`));
  const writeWord = (address: number, value: number) => command(`writel ${address} ${value}`);
  async function configure(register: number, value: number): Promise<void> {
    await command(`outl 0xcf8 ${0x8000_0000 + SLOT * 0x800 + register}`);
    await command(`outl 0xcfc ${value}`);
  }

  before(async () => {
    start([process.execPath, example, device]);
    await until(() => existsSync(device));
    const qemu = privateQemu(tree, 'QEMU').command;
    const place = { driver: 'vfio-user-pci', socket: { type: 'unix', path: device }, addr: String(SLOT), rombar: 0 };
    start([
      ...qemu,
      ...['-machine', 'q35,memory-backend=ram', '-accel', 'tcg', '-S', '-nodefaults', '-display', 'none', '-m', '64M'],
      ...['-object', 'memory-backend-memfd,id=ram,size=64M,share=on', '-device', JSON.stringify(place)],
      ...['-qtest', `unix:${control},server=on,wait=off`, '-qtest-log', 'none'],
    ]);
    await until(() => existsSync(control));
    socket = connect(control);
    createInterface({ input: socket }).on('line', (line) => answer(line));
    await configure(0x10, BAR);
    await configure(0x04, 0x0006); // memory, bus master
  });

  after(() => {
    socket?.destroy();
    for (const child of children) child.kill('SIGKILL');
    rmSync(folder, { recursive: true });
  });

  test('QEMU makes it, and reads its registers', async () => {
    assert.equal(await readWord(BAR + ID), 0xadde_0001);
    assert.equal(said, `serving the adder at ${device}\n`);
  });

  test('it adds up memory of the guest, and raises its interrupt', async () => {
    const [bytes, target] = [0x10_0000, 0x20_0000];
    await configure(MSI + 4, target);
    await configure(MSI + 8, 0);
    await configure(MSI + 12, 0x4040);
    await configure(MSI, 0x0081_0005); // enabled
    await writeWord(bytes, 0x0403_0201);
    await writeWord(bytes + 4, 0xff);
    await writeWord(BAR + ADDRESS, bytes);
    await writeWord(BAR + LENGTH, 5);
    await writeWord(BAR + CONTROL, 1);
    await until(async () => (await readWord(target)) === 0x4040);
    assert.equal(await readWord(BAR + STATUS), DONE);
    assert.equal(await readWord(BAR + SUM), 0x0a + 0xff);
  });

  test('what the guest does wrong is told of, and the device lives on', async () => {
    await writeWord(BAR + ADDRESS + 4, 0x7fff);
    await writeWord(BAR + CONTROL, 1);
    await until(async () => (await readWord(BAR + STATUS)) !== 1);
    assert.equal(await readWord(BAR + STATUS), FAULT);
    await writeWord(BAR + LENGTH, 65537);
    await writeWord(BAR + CONTROL, 1);
    await until(() => said.includes('ADDER.LENGTH'));
    await writeWord(BAR + ADDRESS + 4, 0);
    await writeWord(BAR + LENGTH, 1);
    await writeWord(BAR + CONTROL, 1);
    await until(async () => (await readWord(BAR + STATUS)) === DONE);
    assert.equal(await readWord(BAR + SUM), 1);
  });
});
