/**
 * Latency of a vfio-user REGION_READ of 4 bytes: our server, in a worker thread, against a C server that only echoes
 * messages of the same sizes. One C client measures both in the same run, in alternating blocks. Where the kernel puts
 * the processes matters more than what they do (waking another processor takes five times as long as all else), so all of
 * them are kept on one processor. This is done several times, with new processes, and the round with the median ratio
 * counts. JSON lines.
 */

import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { isMainThread, type MessagePort, parentPort, Worker, workerData } from 'node:worker_threads';
import type { Bar, PciFunction, Region } from '../src/pci/function.ts';
import { WallClock } from '../src/sim/clock.ts';
import { Reactor, wake } from '../src/vfio-user/reactor.ts';
import { serve } from '../src/vfio-user/server.ts';

/** Registers that are plain storage: what is measured is the way to them. */
function registers(size: number): Region {
  const bytes = new Uint8Array(size);
  return {
    size,
    mappable: [],
    read(offset, target) {
      for (let i = 0; i < target.length; i++) target[i] = bytes[offset + i] as number;
    },
    write(offset, source) {
      bytes.set(source, offset);
    },
  };
}

class Registers implements PciFunction {
  readonly name = 'registers';
  readonly config = registers(4096);
  readonly bars: readonly Bar[] = [{ index: 0, kind: 'memory32', prefetchable: false, region: registers(4096) }];
  readonly vectors = { intx: 0, msi: 0, msix: 0 };
  connect(): void {}
  reset(): void {}
  barAddress(): number | undefined {
    return undefined;
  }
  close(): void {}
}

function work(port: MessagePort): void {
  const clock = new WallClock();
  const reactor: Reactor = new Reactor(clock, { port, onMessage: () => reactor.stop() });
  reactor.add(serve({ function: new Registers(), path: workerData.path, clock, log: (line) => console.error(line) }));
  port.postMessage(reactor.wakeFd);
  reactor.run();
  reactor.close();
}

interface Times {
  readonly min: number;
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
}

/** Both servers and the client, once. */
async function round(
  program: string,
  directory: string,
  operations: number,
): Promise<{ vfioUser: Times; echo: Times }> {
  const served = join(directory, 'served');
  const echoed = join(directory, 'echoed');
  rmSync(echoed, { force: true });
  const echo = spawn(program, ['echo', echoed], { stdio: ['ignore', 'pipe', 'inherit'] });
  const echoEnded = once(echo, 'close');
  const worker = new Worker(new URL(import.meta.url), { workerData: { path: served } });
  const [wakeFd] = (await once(worker, 'message')) as [number];
  await once(echo.stdout, 'data');
  const client = spawn(program, ['client', served, echoed, String(operations)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let output = '';
  client.stdout.on('data', (chunk) => {
    output += chunk;
  });
  const [status] = (await once(client, 'close')) as [number];
  worker.postMessage('stop');
  wake(wakeFd);
  await once(worker, 'exit');
  if (status !== 0) {
    echo.kill();
    throw new Error(`the client ended with ${status}`);
  }
  await echoEnded;
  return JSON.parse(output) as { vfioUser: Times; echo: Times };
}

async function measure(rounds: number, operations: number): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'sagrada-bench-'));
  try {
    const program = join(directory, 'vfio-user');
    const source = fileURLToPath(new URL('vfio-user.c', import.meta.url));
    const compiled = spawnSync('cc', ['-O2', '-o', program, source], { encoding: 'utf8' });
    if (compiled.status !== 0) {
      const why = compiled.error ? 'no C compiler (cc)' : compiled.stderr.trim();
      console.log(JSON.stringify({ bench: 'vfio-user-region-read', skipped: why }));
      return;
    }
    const measured = [];
    for (let i = 0; i < rounds; i++) {
      const times = await round(program, directory, operations);
      const ratio = (part: 'p50' | 'p99') => Number((times.vfioUser[part] / times.echo[part]).toFixed(3));
      measured.push({ ...times, ratio: { p50: ratio('p50'), p99: ratio('p99') } });
    }
    measured.sort((a, b) => a.ratio.p50 - b.ratio.p50);
    console.log(
      JSON.stringify({
        bench: 'vfio-user-region-read',
        unit: 'ns',
        operations,
        ...measured[rounds >> 1],
        rounds: measured.map((one) => one.ratio),
        goal: { p50: 1.1, p99: 1.5 },
      }),
    );
  } finally {
    rmSync(directory, { recursive: true });
  }
}

/** Runs this file again with one processor only. @returns false when that is so already, or there is no taskset */
function pinned(): boolean {
  if (process.env.SAGRADA_BENCH_PINNED !== undefined) return false;
  const env = { ...process.env, SAGRADA_BENCH_PINNED: '1' };
  const command = ['-c', '0', process.execPath, ...process.argv.slice(1)];
  const run = spawnSync('taskset', command, { stdio: 'inherit', env });
  if (run.error) return false;
  process.exitCode = run.status ?? 1;
  return true;
}

if (!isMainThread) work(parentPort as MessagePort);
else if (pinned()) {
  // the other process has done it
} else if (process.argv.includes('--brief')) await measure(1, 20_000);
else await measure(5, 100_000);
