import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { ModelMachine } from '../../src/machine/model.ts';
import { CommandStream } from '../../src/runtime/command-stream.ts';
import { Device } from '../../src/runtime/device.ts';

const GiB = 2 ** 30;

test('a copy and a fill of memory that nobody wrote touch none of it', () => {
  using machine = new ModelMachine({ machine: 'gaudi' });
  const card = machine.cards[0];
  assert.ok(card);
  using device = Device.open({ driver: machine.driver });
  using from = device.dram.allocate(4 * GiB);
  using to = device.dram.allocate(4 * GiB);
  using mark = device.allocHost(4096);
  mark.bytes.fill(9);
  const run = (stream: CommandStream) => device.waitSync(device.submit({ queue: 'DMA_0_0', stream }));
  run(new CommandStream().dma(from.at(GiB), mark, 4096).dma(to.at(7), mark, 4096));
  const before = card.stats().resident;
  run(new CommandStream().memset(from.at(2 * GiB), 0n, GiB).dma(to, from, 4 * GiB - 1));
  // what was written is copied, and what was there before is gone
  assert.ok(card.stats().resident - before <= 8192, `${card.stats().resident - before} bytes more are in use`);
  mark.bytes.fill(1);
  device.waitSync(device.submit({ queue: 'DMA_1_0', stream: new CommandStream().dma(mark, to.at(GiB), 4096) }));
  assert.ok(mark.bytes.every((byte) => byte === 9));
  device.waitSync(device.submit({ queue: 'DMA_1_0', stream: new CommandStream().dma(mark, to, 4096) }));
  assert.ok(mark.bytes.every((byte) => byte === 0));
});

test('two machines of one seed do the same at the same times', () => {
  const times = [1, 2].map(() => {
    using machine = new ModelMachine({ machine: 'gaudi-x2', seed: 7, delays: { DMA: 300 } });
    using device = Device.open({ driver: machine.driver });
    using memory = device.dram.allocate(2 ** 20);
    using host = device.allocHost(2 ** 20);
    for (let i = 0; i < 3; i++) {
      device.waitSync(device.submit({ queue: 'DMA_0_0', stream: new CommandStream().dma(memory, host, 2 ** 20) }));
    }
    return [machine.driver.now(), ...machine.cards.map((card) => card.stats().registerWrites)];
  });
  assert.deepEqual(times[0], times[1]);
});

test('eight cards: those of one switch import each other’s memory, across switches the driver refuses', () => {
  using machine = new ModelMachine({ machine: 'gaudi-x8' });
  const { driver } = machine;
  const nodes = driver.accelerators();
  assert.equal(nodes.length, 8);
  assert.ok(nodes.every(({ status }) => status() === 'Operational'));
  using owner = Device.open({ driver, path: nodes[0]?.path ?? '' });
  using buffer = owner.exportDmaBuf(owner.dram.base, 2 ** 21);
  using beside = Device.open({ driver, path: nodes[3]?.path ?? '' });
  using beyond = Device.open({ driver, path: nodes[4]?.path ?? '' });
  assert.throws(
    () => beyond.importDmaBuf(buffer.fd),
    (error: NodeJS.ErrnoException) => error.code === 'EPERM',
  );
  using peer = beside.importDmaBuf(buffer.fd);
  const stream = new CommandStream().memset(beside.sram.base, 0x5555_5555_5555_5555n, 4096);
  beside.waitSync(beside.submit({ queue: 'DMA_0_0', stream }));
  const push = new CommandStream().dma(peer, beside.sram.base, 4096);
  beside.waitSync(beside.submit({ queue: 'DMA_1_0', stream: push }));
  assert.ok(peer.bytes.subarray(0, 4096).every((byte) => byte === 0x55));
});

test('eight idle cards take less than 600 MB', () => {
  const module = JSON.stringify(new URL('../../src/machine/model.ts', import.meta.url).href);
  const program = `
    const { ModelMachine } = await import(${module});
    const machine = new ModelMachine({ machine: 'gaudi-x8' });
    machine.driver.sleep(30e9);
    console.log(process.memoryUsage().rss);`;
  const { stdout, status, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', program], {
    encoding: 'utf8',
  });
  assert.equal(status, 0, stderr);
  assert.ok(Number(stdout) < 600e6, `${Number(stdout) / 1e6} MB`);
});
