/**
 * The model of the driver and the card, all in this process: what an ioctl costs, submissions, DMA, and how soon the first result
 * of `sagrada exercise` is there. Wall time: how fast the model runs, not how fast a card would be.
 */

import { spawn } from 'node:child_process';
import path from 'node:path';
import process from 'node:process';
import { ModelMachine } from '../src/machine/model.ts';
import { CommandStream } from '../src/runtime/command-stream.ts';
import { Device } from '../src/runtime/device.ts';
import type { Queue } from '../src/runtime/submission.ts';
import { DRM_IOCTL_HL_INFO, infoOperations } from '../src/uapi/habanalabs/info.ts';
import { contest, KiB, line, MiB, round } from './lib/measure.ts';

const brief = process.argv.includes('--brief');
const how = brief ? { rounds: 3, span: 60 } : { rounds: 5, span: 400 };
/** Command buffers in flight. */
const BATCH = 64;
/** Goal of DMA against a plain copy, from 64 MiB on. */
const GOAL = 0.7;

using machine = new ModelMachine({ machine: 'gaudi' });
const { driver } = machine;
using device = Device.open({ driver });

await ioctls();
await submissions();
await transfers();
await coldStart();

/** An ioctl of the model, and a function that reads and writes the same bytes. */
async function ioctls(): Promise<void> {
  const { argument, request } = DRM_IOCTL_HL_INFO;
  const answer = driver.allocate(64);
  const bytes = argument.encode({
    op: infoOperations.HL_INFO_DEVICE_STATUS.value,
    return_pointer: answer.address,
    return_size: 8,
  });
  const plain = (copy: Uint8Array): void => {
    const { op } = argument.decode(copy);
    new DataView(answer.bytes.buffer, answer.bytes.byteOffset).setUint32(0, op, true);
  };
  const times = (body: () => void) => () => {
    for (let i = 0; i < 100; i++) body();
  };
  const [ioctl = 0, call = 0] = await contest(
    [times(() => void driver.ioctl(device.fd, request, bytes)), times(() => plain(bytes))],
    how,
  );
  answer.unmap();
  line({
    bench: 'model-ioctl',
    what: 'an ioctl (INFO, device status) of the model, to a function that decodes the same bytes and writes the same answer',
    ioctlNs: round(ioctl * 1e7, 0),
    callNs: round(call * 1e7, 0),
    ratio: round(ioctl / call, 1),
  });
}

/** Submissions of one packet, to ioctls that need no device. */
async function submissions(): Promise<void> {
  using buffer = device.createCb(4 * KiB);
  const stream = new CommandStream().nop();
  buffer.bytes.set(stream.bytes);
  const chunk = { queue: 'DMA_0_0', buffer, size: stream.size } as const;
  const [one = 0, batch = 0, ioctl = 0] = await contest(
    [
      () => void device.waitSync(device.submit(chunk)),
      () => {
        let last = device.submit(chunk);
        for (let i = 1; i < BATCH; i++) last = device.submit(chunk, { patience: 1000 });
        device.waitSync(last);
      },
      () => void device.info.status(),
    ],
    how,
  );
  line({
    bench: 'model-submissions',
    what: `submissions per second, ${BATCH} in flight, to ioctls per second that need no device`,
    oneAtATime: round(1 / one, 0),
    inFlight: round(BATCH / batch, 0),
    ioctls: round(1 / ioctl, 0),
    ratio: round((BATCH * ioctl) / batch),
  });
}

/** Transfers of all sizes, with the submission and the waiting, to plain copies of as many bytes. */
async function transfers(): Promise<void> {
  for (const size of [4 * KiB, 64 * KiB, MiB, 8 * MiB, 64 * MiB]) {
    const pages = await ratios(size, false);
    const huge = size >= 2 * MiB ? await ratios(size, true) : undefined;
    line({
      bench: 'model-dma',
      what: 'bytes per second of a DMA with its submission, to a plain copy of as many bytes; host memory mapped by pages of 4 KiB',
      bytes: size,
      plainGBs: pages.plainGBs,
      fromHost: pages.down,
      toHost: pages.up,
      withinHbm: pages.within,
      ...(huge ? { fromHostHugePages: huge.down, toHostHugePages: huge.up } : {}),
      ...(size >= 64 * MiB ? { goal: GOAL } : {}),
      ratio: Math.min(pages.down, pages.up, pages.within),
    });
  }
}

async function ratios(size: number, hugePages: boolean) {
  using host = device.allocHost(size, { hugePages });
  using first = device.dram.allocate(size);
  using second = device.dram.allocate(size);
  host.bytes.fill(1);
  const [from, to] = [Buffer.alloc(size, 1), Buffer.alloc(size, 2)];
  const copy = (queue: Queue, stream: CommandStream) => () => void device.waitSync(device.submit({ queue, stream }));
  const [plain = 0, down = 0, up = 0, within = 0] = await contest(
    [
      () => void from.copy(to),
      copy('DMA_0_0', new CommandStream().dma(first, host, size)),
      copy('DMA_1_0', new CommandStream().dma(host, first, size)),
      copy('DMA_0_0', new CommandStream().dma(second, first, size)),
    ],
    how,
  );
  return {
    plainGBs: round(size / plain / 1e9, 1),
    down: round(plain / down),
    up: round(plain / up),
    within: round(plain / within),
  };
}

/** From the start of the command to its first result, to the start and end of a Node that does nothing. */
async function coldStart(): Promise<void> {
  const sagrada = path.join(import.meta.dirname, '..', 'bin', 'sagrada.js');
  const test = ['exercise', 'info', '--grep', 'identity: a Gaudi1', '--format', 'json'];
  const runs = brief ? 3 : 5;
  let [result, nothing] = [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY];
  for (let i = 0; i < runs; i++) {
    result = Math.min(result, await until([sagrada, ...test], (text) => text.includes('"type":"result"')));
    nothing = Math.min(nothing, await until(['-e', '0'], () => false));
  }
  line({
    bench: 'model-cold-start',
    what: 'milliseconds from the start of sagrada exercise to its first result (two cards brought up), to node -e 0',
    goalMs: 2000,
    firstResultMs: round(result, 0),
    nodeMs: round(nothing, 0),
    ratio: round(result / nothing, 1),
  });
}

/** Milliseconds until a program has said enough, or has ended. @throws Error when it ended badly */
async function until(args: readonly string[], enough: (output: string) => boolean): Promise<number> {
  const begin = performance.now();
  const child = spawn(process.execPath, [...args], { stdio: ['ignore', 'pipe', 'inherit'] });
  let output = '';
  let said: number | undefined;
  child.stdout.on('data', (data: Buffer) => {
    output += data.toString();
    if (said === undefined && enough(output)) said = performance.now() - begin;
  });
  const status = await new Promise((resolve) => void child.once('close', resolve));
  const ended = performance.now() - begin;
  if (status !== 0) throw new Error(`${args.join(' ')}: status ${status}: ${output}`);
  return said ?? ended;
}
