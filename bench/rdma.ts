/**
 * The NIC and memory of a card. In this process: bytes moved by RDMA across a switch against a plain copy, and small
 * operations. With `--vm`: the same through the real drivers, from a C program in a guest. JSON lines.
 */

import process from 'node:process';
import { Endpoint } from '../src/pci/endpoint.ts';
import { memoryRegion } from '../src/pci/register-region.ts';
import { ArrayMemory } from '../src/sim/memory.ts';
import { boot, GaudiRdma, lines } from '../test/efa/guest.ts';
import { Driver, Host, Process } from '../test/efa/host.ts';
import { enable, ids } from '../test/pci/helpers.ts';
import { contest, KiB, line, MiB, round } from './lib/measure.ts';

const brief = process.argv.includes('--brief');
const how = brief ? { rounds: 2, span: 60 } : { rounds: 5, span: 400 };

/** Of bandwidth to a plain copy, for large transfers. */
const COPY_GOAL = 0.6;
/** Through the drivers: bytes per second with a full queue, and seconds of one operation. */
const BANDWIDTH_GOAL = 2e9;
const LATENCY_GOAL = 100e-6;
/** Bytes up to which the time of one operation matters, and not how many go at once. */
const SMALL = 4 * KiB;
const LARGEST = 64 * MiB;
const CARD_AT = 0x20_0000_0000;

await transfers();
if (process.argv.includes('--vm')) await throughDrivers();

/** RDMA writes to memory of a peer, and reads from it. */
async function transfers(): Promise<void> {
  const host = new Host(2 * LARGEST + 4 * MiB);
  const memory = new ArrayMemory(LARGEST);
  const card = new Endpoint({
    name: 'card',
    ids,
    bars: [{ index: 0, kind: 'memory64', prefetchable: true, region: memoryRegion(memory, { mappable: true }) }],
    pcie: { linkSpeed: 4, linkWidth: 16, flr: true },
    reset: () => {},
  });
  enable(card, CARD_AT);
  host.place(card, () => {});
  const driver = new Driver(host).start();
  const depth = 16;
  const user = new Process(driver, { depth }, LARGEST);
  const ah = user.handle(driver.nic.address);
  const { rkey } = driver.registerPages(user.pd, [CARD_AT], LARGEST, 7, 0, 26);
  user.bytes.fill(0x5a);
  memory.bytes.fill(0xa5);
  const post = (op: 'write' | 'read', length: number) =>
    user.rdma(op, 1, ah, user, { at: user.buffer, length }, { at: 0, rkey });
  const finish = (count: number) => {
    host.run();
    for (let i = 0; i < count; i++) {
      const status = user.poll()?.status;
      if (status !== 0) throw new Error(`completion status ${status}`);
    }
  };
  for (const size of [64 * KiB, 2 * MiB, LARGEST]) {
    const [write = 0, read = 0, copy = 0] = await contest(
      [
        () => {
          post('write', size);
          finish(1);
        },
        () => {
          post('read', size);
          finish(1);
        },
        () => memory.bytes.set(user.bytes.subarray(0, size)),
      ],
      how,
    );
    line({
      bench: 'rdma-peer',
      what: 'bandwidth of an RDMA write to memory of a peer, to a plain copy of the same bytes',
      bytes: size,
      writeGBps: round(size / write / 1e9, 2),
      readGBps: round(size / read / 1e9, 2),
      copyGBps: round(size / copy / 1e9, 2),
      readRatio: round(copy / read),
      ratio: round(copy / write),
      ...(size === LARGEST ? { goal: COPY_GOAL } : {}),
    });
  }
  const [batch = 0, call = 0] = await contest(
    [
      () => {
        for (let i = 0; i < depth; i++) post('write', 64);
        finish(depth);
      },
      // what a host and a device that know nothing of each other do at least for as many requests: say it, and look
      () => {
        for (let i = 0; i < depth; i++) driver.doorbell(user.cq.doorbell, 0);
        host.run();
      },
    ],
    how,
  );
  line({
    bench: 'rdma-operations',
    what: 'RDMA writes of 64 bytes per second, 16 in flight, to doorbells that start nothing',
    perSecond: round(depth / batch, 0),
    doorbellsPerSecond: round(depth / call, 0),
    ratio: round(call / batch),
  });
}

/** One boot. Wall time as the program in the guest sees it: a full machine shows. */
async function throughDrivers(): Promise<void> {
  using program = await GaudiRdma.build();
  if (!program) {
    line({ bench: 'rdma-vm', skipped: 'no C compiler (cc)' });
    return;
  }
  await using vm = await boot('gaudi-efa', { say: (text) => console.error(text) });
  const cpu = async () => (await vm.deviceReport()).cpu / 1e6;
  for (const [size, count] of [
    [64, 4000],
    [4 * KiB, 4000],
    [64 * KiB, 2000],
    [2 * MiB, 400],
  ] as const) {
    const before = await cpu();
    const said = await lines(vm, [...program.command, 'times', '--size', String(size), '--count', String(count)]);
    const used = (await cpu()) - before;
    for (const row of said) {
      const [op = '', ...figures] = row.split(' ');
      if (op === 'done') continue;
      const [best = 0, median = 0, p90 = 0, each = 0] = figures.map(Number);
      const bandwidth = size / (each / 1e6);
      const small = size <= SMALL;
      line({
        bench: 'rdma-vm',
        what: small
          ? 'RDMA between host memory and memory of a card through the real drivers: median time of one operation, to its goal'
          : 'RDMA between host memory and memory of a card through the real drivers: bandwidth with 32 in flight, to its goal',
        op,
        bytes: size,
        latencyUs: { best, median, p90 },
        perSecond: round(1e6 / each, 0),
        GBps: round(bandwidth / 1e9, 3),
        // of both operations, alone and with others in flight
        serverUsEach: round((used / (4 * count)) * 1e6, 1),
        ratio: round(small ? median / 1e6 / LATENCY_GOAL : bandwidth / BANDWIDTH_GOAL),
        ...(size === SMALL ? { goal: 'at most 1' } : size === 2 * MiB ? { goal: 'at least 1' } : {}),
      });
    }
  }
}
