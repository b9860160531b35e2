import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ModelMachine } from '../../../src/machine/model.ts';
import { CommandStream } from '../../../src/runtime/command-stream.ts';
import { Device } from '../../../src/runtime/device.ts';
import { SubmissionTimeoutError } from '../../../src/runtime/errors.ts';

const SECOND = 1e9;

/** A program with work of several engines. @returns what it saw of time and of the log */
function program(delays: Readonly<Record<string, number>> = {}): readonly (string | number)[] {
  using machine = new ModelMachine({ machine: 'gaudi', delays });
  const { driver } = machine;
  const seen: (string | number)[] = [driver.now()];
  using device = Device.open({ driver });
  const host = device.allocHost(64 * 1024);
  const dram = device.dram.allocate(64 * 1024);
  for (const queue of ['DMA_0_0', 'DMA_1_2', 'DMA_0_3'] as const) {
    const stream = new CommandStream().dma(dram, host, 64 * 1024).dma(host, dram, 64 * 1024);
    const { timestamp } = device.waitSync(device.submit({ queue, stream }, { timestamp: true }), 1000);
    seen.push(Number(timestamp), driver.now());
  }
  seen.push(...driver.messages().map(({ text }) => text));
  return seen;
}

describe('virtual time', () => {
  it('is the same in every run, and longer where engines are slow', () => {
    const first = program();
    assert.deepEqual(program(), first);
    assert.notDeepEqual(program({ DMA0: 5_000 }), first);
  });

  it('passes at once: a wait of minutes for work that never ends', () => {
    using machine = new ModelMachine({ machine: 'gaudi' });
    const { driver } = machine;
    const device = Device.open({ driver });
    const before = driver.now();
    const work = device.submit({ queue: 'DMA_0_0', stream: new CommandStream().fence(0) }, { timeout: 90 });
    assert.throws(() => device.waitSync(work, 1_200_000), SubmissionTimeoutError);
    const waited = driver.now() - before;
    assert.ok(waited >= 90 * SECOND && waited < 91 * SECOND, `${waited} ns`);
    device.close();
    const text = driver.messages().map((line) => line.text);
    assert.ok(text.some((line) => line.endsWith('Command submission 1 has not finished in 600 seconds!')));
  });

  it('an asynchronous wait of the whole default limit is some thousand calls, and tells of the limit', async () => {
    using machine = new ModelMachine({ machine: 'gaudi' });
    const { driver } = machine;
    let calls = 0;
    const { ioctl } = driver;
    driver.ioctl = (...call) => {
      calls++;
      return ioctl.apply(driver, call);
    };
    const before = driver.now();
    const device = Device.open({ driver });
    const work = device.submit({ queue: 'DMA_0_0', stream: new CommandStream().fence(0) });
    await assert.rejects(device.wait(work), SubmissionTimeoutError);
    const waited = driver.now() - before;
    assert.ok(waited >= 600 * SECOND && waited < 601 * SECOND, `${waited} ns`);
    assert.ok(calls < 10_000, `${calls} calls`);
    device.close();
  });

  it('a call that waits for what never comes ends when the program may not take longer', () => {
    using machine = new ModelMachine({ machine: 'gaudi' });
    const { driver } = machine;
    using device = Device.open({ driver });
    const eventfd = driver.eventfd(0, 0);
    driver.interruptAfter(50);
    assert.throws(() => driver.read(eventfd, new Uint8Array(8)), /waited for longer than the program may take/);
    driver.interruptAfter();
    const host = device.allocHost(4096);
    const stream = new CommandStream().memset(host, 7n, 8);
    device.waitSync(device.submit({ queue: 'DMA_0_0', stream }), 1000);
    assert.equal(host.view.getBigUint64(0, true), 7n);
  });

  it('a program that keeps a card which is reset is killed: its descriptor is gone', () => {
    using machine = new ModelMachine({ machine: 'gaudi' });
    const { driver } = machine;
    const device = Device.open({ driver });
    const [card] = driver.accelerators();
    const attribute = driver.open(`/sys/bus/pci/devices/${card?.pciAddress}/hard_reset`, 1);
    driver.write(attribute, new TextEncoder().encode('1\n'));
    assert.equal(card?.status(), 'In reset');
    driver.sleep(10 * SECOND);
    assert.equal(card?.status(), 'Operational');
    assert.throws(() => device.info.status(), { code: 'EBADF' });
    using again = Device.open({ driver });
    assert.equal(again.info.resetCount().hard_reset_cnt, 1);
  });
});
