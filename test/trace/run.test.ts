/** Traces of modelled machines. */

import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, describe, it } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { ModelMachine } from '../../src/machine/model.ts';
import { CommandStream } from '../../src/runtime/command-stream.ts';
import { Device } from '../../src/runtime/device.ts';
import { Kernel } from '../../src/runtime/kernel.ts';
import { createTraceFile } from '../../src/trace/file.ts';
import { openTrace } from '../../src/trace/open.ts';
import type { TraceReader } from '../../src/trace/reader.ts';
import { entryOf, statistics, type TraceEntry } from '../../src/trace/text.ts';

const folder = mkdtempSync(path.join(tmpdir(), 'sagrada-trace-'));
after(() => rmSync(folder, { recursive: true }));
const bin = fileURLToPath(new URL('../../bin/sagrada.js', import.meta.url));

const MiB = 2 ** 20;

/** Records what a program does on a machine. */
function recorded(name: string, machine: string, program: (device: Device) => void): TraceReader {
  const file = path.join(folder, name);
  createTraceFile(file);
  {
    using model = new ModelMachine({ machine, trace: { file, sequence: 1, root: 'model' } });
    using device = Device.open({ driver: model.driver });
    program(device);
  }
  return openTrace(file);
}

function copy(device: Device): void {
  using host = device.allocHost(MiB);
  using memory = device.dram.allocate(MiB);
  device.waitSync(device.submit({ queue: 'DMA_0_0', stream: new CommandStream().dma(memory, host, MiB) }));
}

function entries(trace: TraceReader): readonly TraceEntry[] {
  const columns = trace.columns();
  return Array.from({ length: trace.count }, (_, i) => entryOf(trace, columns, i));
}

describe('the trace of a copy', () => {
  const trace = recorded('copy', 'gaudi', copy);
  const all = entries(trace);

  it('is whole, of virtual time, and says what machine it is of', () => {
    assert.equal(trace.problem, undefined);
    assert.equal(trace.clock, 'virtual');
    assert.deepEqual(
      all.filter(({ kind }) => kind === 'device').map(({ name, fields }) => [name, fields]),
      [['gaudi0', { model: 'gaudi', path: 'rp0' }]],
    );
  });

  it('follows the submission from its call to the interrupt that ends it', () => {
    const call = all.findIndex(({ name }) => name === 'DRM_IOCTL_HL_CS');
    const [flow = 0] = trace.flows(call);
    const chain = trace.flowEvents(flow).map((event) => all[event] as TraceEntry);
    const kinds = chain.map(({ kind }) => kind).filter((kind) => kind !== 'register_write');
    assert.deepEqual(kinds, [
      'ioctl',
      'submission',
      'doorbell',
      'buffer',
      'dma',
      'message',
      'message',
      'interrupt',
      'completion',
    ]);
    assert.deepEqual(
      chain.map(({ time }) => time),
      chain.map(({ time }) => time).sort((a, b) => a - b),
    );
    const moved = chain.find(({ kind }) => kind === 'dma');
    assert.equal(moved?.fields.bytes, MiB);
    assert.ok((moved?.duration ?? 0) > 0);
  });

  it('has each packet with its bytes and its place within the buffer that it is in', () => {
    const buffer = all.findLast(({ kind, track }) => kind === 'buffer' && track.endsWith('gaudi0/DMA0_QM/CP0'));
    const from = buffer?.fields.address as number;
    const packet = all.findLast(({ name, fields }) => name === 'LIN_DMA' && (fields.address as number) >= from);
    assert.ok(buffer && packet);
    assert.ok((packet.fields.address as number) < from + (buffer.fields.size as number));
    assert.equal((packet.fields.words as Uint8Array).length, 24);
    assert.ok(
      packet.time >= buffer.time && packet.time + (packet.duration ?? 0) <= buffer.time + (buffer.duration ?? 0),
    );
  });

  it('counts the bytes that went over the bus', () => {
    const { moved } = statistics(trace);
    const read = moved.find(({ from, to }) => from === 'host' && to === 'gaudi0');
    assert.ok(read && read.bytes >= MiB, `${read?.bytes} bytes`);
  });

  it('has memory that is allocated, mapped and given back', () => {
    const told = all.filter(({ kind, fields }) => kind === 'memory' && fields.size === MiB).map(({ name }) => name);
    assert.deepEqual(told, ['allocate', 'map', 'allocate', 'free', 'free']);
  });

  it('leaves nothing under way', () => {
    assert.equal(statistics(trace).underWay, 0);
  });

  it('is the same, byte for byte, when it is done again', () => {
    recorded('again', 'gaudi', copy);
    assert.ok(readFileSync(path.join(folder, 'again')).equals(readFileSync(path.join(folder, 'copy'))));
  });
});

describe('kernels in a trace', () => {
  const text = 'nop; mov.i32 S1, 5; nop; nop\nnop\nnop\nnop\nnop\nnop; nop; mov.i32 V1, S1; nop\nhalt\nnop\nnop\nnop\n';

  /** Has two cores run a kernel, and then another from the same place. @returns virtual time of its end */
  async function launched(file: string | undefined): Promise<bigint> {
    if (file !== undefined) createTraceFile(file);
    const trace = file === undefined ? {} : { trace: { file, sequence: 1, root: 'model' } };
    using model = new ModelMachine({ machine: 'gaudi', ...trace });
    using device = Device.open({ driver: model.driver });
    for (const each of [text, text.replace('5', '6')]) {
      await device.launch(await Kernel.assemble(each, 'test'), { cores: 2, indexSpace: [2] });
    }
    return device.info.timeSync().device_time;
  }

  it('are followed bundle by bundle at their first launch, and take no longer for it', async () => {
    const file = path.join(folder, 'kernels');
    assert.equal(await launched(file), await launched(undefined));
    const trace = openTrace(file);
    const all = entries(trace);
    const steps = all.filter(({ kind }) => kind.startsWith('tpc_') && kind !== 'tpc_kernel');
    const follows = steps.flatMap(({ kind }, at) => (kind === 'tpc_follow' ? [at] : []));
    // that by which the driver prepares the cores is the first
    assert.equal(follows.length, 3);
    const second = steps.slice(follows[1], follows[2]);
    assert.deepEqual(
      second
        .filter(({ kind, name }) => kind === 'tpc_register' && (name === 'S1' || name === 'V1'))
        .map(({ name }) => name),
      ['S1', 'V1'],
    );
    const bundles = second.filter(({ kind }) => kind === 'tpc_bundle');
    assert.match(bundles[0]?.name ?? '', /mov\.i32 S1, 5/);
    assert.match(bundles.at(-1)?.name ?? '', /halt/);
    assert.deepEqual(
      bundles.map(({ time }) => time),
      bundles.map(({ time }) => time).sort((a, b) => a - b),
    );
    assert.match(steps.slice(follows[2]).find(({ kind }) => kind === 'tpc_bundle')?.name ?? '', /mov\.i32 S1, 6/);
  });
});

describe('synchronization in a trace', () => {
  const trace = recorded('sync', 'gaudi', (device) => {
    using host = device.allocHost(64 * MiB);
    using memory = device.dram.allocate(64 * MiB);
    device.submit({ queue: 'DMA_0_0', stream: new CommandStream().dma(memory, host, 64 * MiB) });
    const wait = device.waitForSignal('DMA_1_0', device.signal('DMA_0_0'));
    assert.ok(wait, 'the copy takes longer than a call');
    device.waitSync(wait);
  });

  it('shows who changed the sync object, and what waited for it', () => {
    const all = entries(trace);
    const kinds = new Set(all.map(({ kind }) => kind));
    for (const kind of ['sync_object', 'monitor_arm', 'monitor_fire', 'fence_count', 'fence']) {
      assert.ok(kinds.has(kind), `nothing of ${kind}`);
    }
    const at = all.findIndex(({ kind }) => kind === 'fence');
    const flows = trace.flows(at);
    const woke = flows.flatMap((flow) => trace.flowEvents(flow).map((event) => all[event] as TraceEntry));
    assert.ok(woke.some(({ kind }) => kind === 'monitor_fire'));
  });
});

describe('a run that is killed', () => {
  it('leaves a trace up to its last whole event', { timeout: 120_000 }, async () => {
    const file = path.join(folder, 'killed');
    const child = spawn(process.execPath, [bin, 'exercise', 'dma', '--trace', file, '--results', `${file}.sqlite`], {
      stdio: 'ignore',
    });
    const size = () => statSync(file, { throwIfNoEntry: false })?.size ?? 0;
    while (size() < 300_000 && child.exitCode === null) await setTimeout(20);
    child.kill('SIGKILL');
    await once(child, 'exit');
    const trace = openTrace(file);
    assert.ok(trace.problem === undefined || trace.problem.category === 'truncated');
    assert.ok(trace.count > 1000);
  });
});

describe('a file that cannot be written', () => {
  it('because the disk is full ends the recording, which is said, and not the run', { timeout: 120_000 }, () => {
    const words = ['exercise', 'cb', '--trace', '/dev/full', '--results', path.join(folder, 'full.sqlite')];
    const { status, stderr } = spawnSync(process.execPath, [bin, ...words], { encoding: 'utf8' });
    assert.equal(status, 0);
    assert.match(stderr, /^sagrada: the trace ends early: ENOSPC[^\n]*\n$/);
  });

  it('because there is no such folder is refused in one line', () => {
    const file = path.join(folder, 'none/x');
    const { status, stderr } = spawnSync(process.execPath, [bin, 'exercise', 'cb', '--trace', file], {
      encoding: 'utf8',
    });
    assert.equal(status, 1);
    assert.match(stderr, /^sagrada: --trace [^\n]*ENOENT[^\n]*\n$/);
  });
});

describe('suites side by side', () => {
  it('write into one file, each on tracks of its own', { timeout: 300_000 }, () => {
    const file = path.join(folder, 'lanes');
    const arguments_ = ['exercise', 'cb', 'info', '--jobs', '2', '--trace', file, '--results', `${file}.sqlite`];
    const { status, stderr } = spawnSync(process.execPath, [bin, ...arguments_], { encoding: 'utf8' });
    assert.equal(status, 0, stderr);
    const trace = openTrace(file);
    assert.equal(trace.problem, undefined);
    const tests = entries(trace).filter(({ kind }) => kind === 'test');
    assert.deepEqual([...new Set(tests.map(({ track }) => track))].sort(), ['cb/tests', 'info/tests']);
    assert.ok(tests.every(({ fields, duration }) => fields.outcome === 'passed' && duration !== null));
  });
});

describe('sagrada trace', () => {
  const file = path.join(folder, 'copy');
  const run = (...words: string[]) => spawnSync(process.execPath, [bin, 'trace', ...words], { encoding: 'utf8' });

  it('refuses what is no trace in one line, and says where one was cut off', () => {
    const refused = run('stats', fileURLToPath(import.meta.url));
    assert.equal(refused.status, 1);
    assert.match(refused.stderr, /^sagrada: [^\n]*not-a-trace[^\n]*\n$/);
    assert.match(run('grep', '(', file).stderr, /^sagrada: [^\n]*\n$/);
    assert.notEqual(run('export', file, '--kind', 'packets').status, 0);
  });

  it('counts, as text and as JSON', () => {
    assert.match(run('stats', file).stdout, /\n {2}packet +[\d,]+ /);
    const { events, moved } = JSON.parse(run('stats', file, '--json').stdout) as ReturnType<typeof statistics>;
    assert.equal(events, openTrace(file).count);
    assert.ok(moved.length > 0);
  });

  it('finds events by their text, kind, track and time', () => {
    const { stdout, status } = run('grep', `bytes=${MiB}`, file, '--kind', 'dma', '--track', 'DMA0_CORE');
    assert.equal(status, 0);
    assert.match(stdout, /^\d+ \+\d+ {2}model\/gaudi0\/DMA0_CORE {2}dma {2}copy {2}source=0x[\da-f]+ .*\n$/);
    assert.equal(run('grep', 'nothing like this', file).status, 1);
    assert.equal(run('export', file, '--to', '0').stdout, '');
  });

  it('exports a line of JSON for each event, in the order of their times', () => {
    const { stdout } = run('export', file, '--json', '--kind', 'ioctl');
    const lines = stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as TraceEntry);
    assert.ok(lines.some(({ name }) => name === 'DRM_IOCTL_HL_CS'));
    assert.deepEqual(
      lines.map(({ time }) => time),
      lines.map(({ time }) => time).sort((a, b) => a - b),
    );
  });
});
