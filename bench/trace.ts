/**
 * Traces: what a hook costs where nothing is recorded, what recording costs, how fast events are written and read, and what memory
 * ten million of them take while they are recorded.
 */

import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import process from 'node:process';
import { ModelMachine } from '../src/machine/model.ts';
import { CommandStream } from '../src/runtime/command-stream.ts';
import { Device } from '../src/runtime/device.ts';
import { createTraceFile, TraceFile } from '../src/trace/file.ts';
import { TraceReader } from '../src/trace/reader.ts';
import { TraceRecorder, type Track } from '../src/trace/recorder.ts';
import { contest, KiB, line, MiB, round } from './lib/measure.ts';

const brief = process.argv.includes('--brief');
const how = brief ? { rounds: 3, span: 100 } : { rounds: 5, span: 500 };
const EVENTS = brief ? 1_000_000 : 10_000_000;
/** Copies of a page in a submission, each with a message. */
const PACKETS = 20;

const folder = mkdtempSync(path.join(tmpdir(), 'sagrada-bench-'));
try {
  // first, while the process has little memory
  write(path.join(folder, 'events'));
  await read();
  await hooks();
} finally {
  rmSync(folder, { recursive: true });
}

/** A submission, untraced and traced, and as many hooks as it has events, where nothing is recorded. */
async function hooks(): Promise<void> {
  const file = path.join(folder, 'submissions');
  createTraceFile(file);
  using plain = new ModelMachine({ machine: 'gaudi' });
  using traced = new ModelMachine({ machine: 'gaudi', trace: { file, sequence: 1, root: 'bench' } });
  using off = submitter(plain);
  using on = submitter(traced);
  const events = () => traced.trace?.recorder.events ?? 0;
  const before = events();
  on.run();
  const told = events() - before;
  const tracks: (Track | undefined)[] = [undefined, undefined];
  const nothing = () => {
    let sum = 0;
    for (let i = 0; i < 1000 * told; i++) {
      tracks[i & 1]?.instant('doorbell', undefined, { value: i });
      sum += i;
    }
    return sum;
  };
  const loop = () => {
    let sum = 0;
    for (let i = 0; i < 1000 * told; i++) sum += i;
    return sum;
  };
  const [a = 0, b = 0, c = 0, d = 0] = await contest([off.run, on.run, nothing, loop], how);
  const hooks = Math.max(0, c - d) / 1000;
  line({
    bench: 'trace-off',
    what: `the hooks of a submission of ${PACKETS} copies where nothing is recorded, to the submission`,
    events: told,
    submissionUs: round(a * 1e6, 1),
    hooksUs: round(hooks * 1e6, 4),
    ratio: round(hooks / a, 6),
  });
  line({
    bench: 'trace-on',
    what: 'the same submission recorded, to not recorded',
    tracedUs: round(b * 1e6, 1),
    perEventNs: round(((b - a) / told) * 1e9, 0),
    ratio: round(b / a, 2),
  });
}

function submitter(machine: ModelMachine): Disposable & { run(): void } {
  const device = Device.open({ driver: machine.driver });
  const host = device.allocHost(4 * KiB);
  const memory = device.dram.allocate(MiB);
  const stream = new CommandStream();
  for (let i = 0; i < PACKETS; i++) stream.dma(memory.at(i * 4 * KiB), host, 4 * KiB);
  return {
    run: () => void device.waitSync(device.submit({ queue: 'DMA_0_0', stream })),
    [Symbol.dispose]() {
      memory[Symbol.dispose]();
      host[Symbol.dispose]();
      device[Symbol.dispose]();
    },
  };
}

/** Packets as a command processor tells of them, half of them in slices. */
function tell(recorder: TraceRecorder, events: number, tick: () => void): void {
  const track = recorder.track('gaudi0', 'DMA0_QM', 'CP0');
  const words = new Uint8Array(16);
  for (let i = 0; i < events; i += 2) {
    tick();
    track.begin('packet', 'MSG_LONG', { address: 0x7f_0000_0000 + i * 16, words }, i % 64 === 0 ? recorder.flow() : 0);
    tick();
    track.end('packet');
    track.instant('message', 'host', { address: 0x80_0000_0000 + i, value: i });
  }
}

/** To writing the same bytes without making them. */
function write(file: string): void {
  createTraceFile(file);
  let time = 0;
  const rss = process.memoryUsage.rss();
  let most = rss;
  const begin = process.threadCpuUsage();
  {
    using sink = new TraceFile(file);
    const recorder = new TraceRecorder({ sink, sequence: 1, root: 'bench', now: () => time });
    tell(recorder, EVENTS, () => {
      time += 50;
      if (time % 5_000_000 === 0) most = Math.max(most, process.memoryUsage.rss());
    });
    recorder.close();
  }
  const seconds = spent(begin);
  const { size } = statSync(file);
  const again = process.threadCpuUsage();
  createTraceFile(`${file}.copy`);
  {
    using sink = new TraceFile(`${file}.copy`);
    const piece = new Uint8Array(64 * KiB);
    for (let done = 0; done < size; done += piece.length) sink.write(piece);
  }
  line({
    bench: 'trace-write',
    what: `${EVENTS} events recorded, to writing as many bytes`,
    eventsPerSecond: Math.round(EVENTS / seconds),
    bytesPerEvent: round(size / EVENTS, 1),
    memoryMiB: round((most - rss) / MiB, 0),
    ratio: round(seconds / spent(again), 2),
  });
}

/** To adding up the bytes. */
async function read(): Promise<void> {
  const file = path.join(folder, 'million');
  createTraceFile(file);
  let time = 0;
  {
    using sink = new TraceFile(file);
    const recorder = new TraceRecorder({ sink, sequence: 1, root: 'bench', now: () => time });
    tell(recorder, 1_000_000, () => {
      time += 50;
    });
    recorder.close();
  }
  const bytes = new Uint8Array(readFileSync(file));
  const columns = () => {
    const reader = new TraceReader();
    reader.append(bytes);
    if (reader.count !== 1_000_000) throw new Error(`${reader.count} events`);
  };
  const add = () => {
    let sum = 0;
    for (let i = 0; i < bytes.length; i++) sum += bytes[i] as number;
    return sum;
  };
  const [reading = 0, adding = 0] = await contest([columns, add], how);
  line({
    bench: 'trace-read',
    what: 'a million events read into columns, to adding up their bytes',
    seconds: round(reading, 2),
    ratio: round(reading / adding, 2),
  });
}

function spent(since: NodeJS.CpuUsage): number {
  const { user, system } = process.threadCpuUsage(since);
  return (user + system) / 1e6;
}
