/** Eight cards in one process: the memory they take, and copies from each to each other. */

import process from 'node:process';
import { ModelMachine } from '../src/machine/model.ts';
import { CommandStream, type Place } from '../src/runtime/command-stream.ts';
import { Device } from '../src/runtime/device.ts';
import { HostBuffer } from '../src/runtime/memory.ts';
import type { Queue, Submission } from '../src/runtime/submission.ts';
import { contest, KiB, line, MiB, round } from './lib/measure.ts';

const brief = process.argv.includes('--brief');
const how = brief ? { rounds: 3, span: 200 } : { rounds: 5, span: 300 };
const CARDS = 8;
/** Cards of one switch: these reach each other, the others do not (docs of the machine). */
const SWITCH = 4;
/** MiB that eight idle cards may take. */
const GOAL = 600;
/** The first is so little that its time is that of the submissions alone. */
const sizes = brief ? [4 * KiB, MiB, 2 * MiB, 4 * MiB, 8 * MiB] : [4 * KiB, MiB, 2 * MiB, 4 * MiB, 8 * MiB, 16 * MiB];
const LARGEST = Math.max(...sizes);

const before = process.memoryUsage().rss;
const begin = performance.now();
using machine = new ModelMachine({ machine: 'gaudi-x8' });
const up = performance.now() - begin;
memory();
await allToAll();

function memory(): void {
  // what idle cards do: the driver asks each every ten seconds whether it is alive
  machine.driver.sleep(60e9);
  const { rss } = process.memoryUsage();
  line({
    bench: 'model-x8-memory',
    what: `resident memory of a process with eight idle cards, to the goal of ${GOAL} MiB`,
    cards: CARDS,
    bringUpMs: round(up, 0),
    beforeMiB: round(before / MiB, 0),
    residentMiB: round(rss / MiB, 0),
    ratio: round(rss / MiB / GOAL),
  });
}

interface Copy {
  readonly device: Device;
  readonly queue: Queue;
  readonly to: Place;
  readonly from: Place;
}

/** Each card sends to each other: to its own switch directly, to the other one through memory of the host. */
async function allToAll(): Promise<void> {
  const { driver } = machine;
  using resources = new DisposableStack();
  const devices = driver.accelerators().map(({ path }) => resources.use(Device.open({ driver, path })));
  const outbox = devices.map((device) => resources.use(device.dram.allocate(LARGEST)));
  const inbox = devices.map((device) => resources.use(device.dram.allocate(CARDS * LARGEST)));
  const shared = devices.map((device, i) => {
    const { address, size } = inbox[i] as { address: bigint; size: number };
    return resources.use(device.exportDmaBuf(address, size));
  });
  const first: Copy[] = [];
  const second: Copy[] = [];
  devices.forEach((device, i) => {
    const from = outbox[i] as Place;
    fill(device, from);
    let relay: HostBuffer | undefined;
    devices.forEach((other, j) => {
      if (i === j) return;
      if (Math.floor(i / SWITCH) === Math.floor(j / SWITCH)) {
        const peer = resources.use(device.importDmaBuf((shared[j] as { fd: number }).fd));
        first.push({ device, queue: 'DMA_1_0', to: peer.deviceAddress + BigInt(i * LARGEST), from });
        return;
      }
      if (!relay) {
        relay = resources.use(new HostBuffer(driver, LARGEST));
        const to = resources.use(device.mapHost(relay.address, LARGEST)).deviceAddress;
        first.push({ device, queue: 'DMA_1_1', to, from });
      }
      const source = resources.use(other.mapHost(relay.address, LARGEST)).deviceAddress;
      const to = (inbox[j] as { address: bigint }).address + BigInt(i * LARGEST);
      second.push({ device: other, queue: 'DMA_0_0', to, from: source });
    });
  });
  const plain = [Buffer.alloc(LARGEST, 1), Buffer.alloc(LARGEST, 2)] as const;
  const moves = CARDS * (CARDS - 1);
  const curve: { bytes: number; ms: number; ratio: number }[] = [];
  for (const size of sizes) {
    const [all = 0, copy = 0] = await contest(
      [
        () => {
          run(first, size);
          run(second, size);
        },
        () => {
          for (let i = 0; i < moves; i++) plain[0].copy(plain[1], 0, 0, size);
        },
      ],
      how,
    );
    const bytes = moves * size;
    const point = {
      bytes,
      ms: round(all * 1000),
      ratio: round(copy / all),
    };
    curve.push(point);
    line({
      bench: 'model-x8-all-to-all',
      what: 'each of eight cards sends to the seven others, to as many plain copies of the same size',
      bytesPerPair: size,
      ...point,
    });
  }
  const [fixed, ...points] = curve;
  const costs = points.map(({ bytes, ms }) => ((ms - (fixed?.ms ?? 0)) * 1e6 * KiB) / bytes);
  line({
    bench: 'model-x8-linear',
    what: 'largest to smallest cost of a byte in copies from each to each other, less that of the submissions: 1 is linear',
    submissionsMs: fixed?.ms,
    curve: points.map(({ bytes, ms }, i) => ({ bytes, ms, nsPerKiB: round(costs[i] ?? 0, 1) })),
    ratio: round(Math.max(...costs) / Math.min(...costs), 2),
  });
}

/** Copies of `size` bytes, all under way at once. */
function run(copies: readonly Copy[], size: number): void {
  const submissions = copies.map(({ device, queue, to, from }): [Device, Submission] => [
    device,
    device.submit({ queue, stream: new CommandStream().dma(to, from, size) }),
  ]);
  for (const [device, submission] of submissions) device.waitSync(submission);
}

function fill(device: Device, place: Place): void {
  const stream = new CommandStream().memset(place, 0x0123_4567_89ab_cdefn, LARGEST);
  device.waitSync(device.submit({ queue: 'DMA_0_0', stream }));
}
