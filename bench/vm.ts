/** A driver's probe, submissions through the guest, and memory with two cards: one boot. */

import { readFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import path from 'node:path';
import process from 'node:process';
import { bundle } from '../src/exercise/bundle.ts';
import { bootVm } from '../src/machine/vm/vm.ts';
import { cacheFolder } from '../src/os/cache.ts';

const brief = process.argv.includes('--brief');
const MiB = 2 ** 20;
/** MiB beyond guest memory that two cards may take. */
const GOAL = 400;

function line(value: Record<string, unknown>): void {
  console.log(JSON.stringify(value));
}

const round = (value: number, digits = 3) => Number(value.toFixed(digits));

const cache = cacheFolder();
const folder = path.join(cache, 'bench', String(process.pid));
const vm = await bootVm({
  machine: 'gaudi-x2',
  kernel: 'backports',
  cache,
  say: (text) => console.error(text),
});
try {
  const probed = await vm.deviceReport();
  const accesses = probed.devices.reduce((sum, { stats }) => sum + stats.registerReads + stats.registerWrites, 0);
  // from the driver's first line to its last, for two cards, by the guest's clock
  const lines = vm.kernelLog().filter(({ text }) => text.includes('habanalabs'));
  const begin = lines.find(({ text }) => text.includes('device found'))?.seconds ?? 0;
  const end = lines.findLast(({ text }) => text.includes('Successfully added'))?.seconds ?? Number.NaN;
  line({
    bench: 'probe',
    what: 'CPU time of the device server from its start until two cards are up, to the time the driver takes for them',
    cards: probed.devices.length,
    registerAccesses: accesses,
    serverMs: round(probed.cpu / 1000, 1),
    driverMs: round((end - begin) * 1000, 1),
    bootSeconds: round(vm.bootSeconds, 2),
    ratio: round(probed.cpu / 1e6 / (end - begin)),
  });

  const program = await bundle(path.join(import.meta.dirname, 'guest-submissions.guest.ts'), folder);
  let output = '';
  const status = await vm.run([process.execPath, program, brief ? '0.5' : '4'], {
    onStdout: (data) => {
      output += data.toString();
      return undefined;
    },
    onStderr: (data) => void process.stderr.write(data),
  });
  if (status !== 0) throw new Error(`the program in the guest ended with status ${status}`);
  const { one, pipelined, ioctl } = JSON.parse(output) as Record<'one' | 'pipelined' | 'ioctl', number>;
  line({
    bench: 'submissions',
    what: 'submissions per second through the guest, 64 in flight, to ioctls per second that need no device',
    oneAtATime: round(one, 0),
    inFlight: round(pipelined, 0),
    ioctls: round(ioctl, 0),
    ratio: round(pipelined / ioctl),
  });

  const report = await vm.deviceReport();
  const devices = report.devices.reduce((sum, { stats }) => sum + stats.resident, 0);
  const server = anonymous(process.pid) + devices;
  line({
    bench: 'memory',
    what: `resident memory of this process and of the memories of two cards, without guest RAM, to the goal of ${GOAL} MiB`,
    cards: report.devices.length,
    processMiB: round(anonymous(process.pid) / MiB, 1),
    deviceMemoriesMiB: round(devices / MiB, 1),
    ratio: round(server / MiB / GOAL),
  });
} finally {
  await vm.close();
  await rm(folder, { recursive: true, force: true });
}

/** Bytes of a process's own memory: anonymous pages and its files, without shared memory (proc_pid_status(5)). */
function anonymous(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const kilobytes = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(status)?.[1] ?? 0);
  return (kilobytes('RssAnon') + kilobytes('RssFile')) * 1024;
}
