/** What of this machine serves Sagrada, what does not, and the one command that mends it. */

import { accessSync, constants, existsSync } from 'node:fs';
import { statfs } from 'node:fs/promises';
import { availableParallelism, freemem } from 'node:os';
import path from 'node:path';
import { findProgram } from '../../os/run.ts';
import { UserError } from '../../sim/errors.ts';
import { kvmTrouble } from './accelerator.ts';
import { parts, type Suite } from './cache-parts.ts';
import { preparedKernel } from './kernel.ts';
import { givenQemu, privateQemu, type Qemu } from './qemu.ts';
import { inspect } from './setup.ts';

/** `good`; `slow`: works, but less well than it could; `later`: is fetched or built when it is needed; `bad`: does not work. */
export type Verdict = 'good' | 'slow' | 'later' | 'bad';

export interface Finding {
  /** What was looked at, e.g. `KVM`. */
  readonly what: string;
  readonly verdict: Verdict;
  /** What was found, one line. */
  readonly found: string;
  /** The command that mends it, or a sentence where no command does. */
  readonly mend?: string;
}

export interface DoctorOptions {
  readonly cache: string;
  /** A QEMU of the user's. */
  readonly qemu?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

const NODE = 24;
/** Bytes: what `vm setup` needs for both kernels and the NIC's parts, while it unpacks them. */
const SPACE = 2.5e9;
/** Bytes: a guest of the default size, and the devices' memory. */
const MEMORY = 3.5e9;

/** Looks at everything, in the order in which a run needs it; boots a guest of a few megabytes to see whether KVM works. */
export async function examine(options: DoctorOptions): Promise<Finding[]> {
  const qemu = await emulator(options);
  const kernels = await Promise.all((['backports', 'stable'] as const).map((suite) => kernel(options.cache, suite)));
  const tools = await fetching(options.cache, [qemu.finding, ...kernels]);
  return [
    node(),
    await disk(options.cache),
    memory(),
    ...tools,
    qemu.finding,
    ...kernels,
    await kvm(options, qemu.qemu),
    accelerators(),
  ];
}

function node(): Finding {
  const major = Number(process.versions.node.split('.')[0]);
  const what = 'Node';
  if (major >= NODE) return { what, verdict: 'good', found: process.version };
  return { what, verdict: 'bad', found: `${process.version}, ${NODE} or later is needed`, mend: 'npm ci' };
}

async function disk(cache: string): Promise<Finding> {
  const what = 'disk';
  let folder = path.resolve(cache);
  while (!existsSync(folder)) folder = path.dirname(folder);
  try {
    accessSync(folder, constants.W_OK);
  } catch (error) {
    const found = `cannot write to ${folder}: ${(error as NodeJS.ErrnoException).code}`;
    return { what, verdict: 'bad', found, mend: 'export SAGRADA_CACHE=FOLDER' };
  }
  const { bavail, bsize } = await statfs(folder);
  const left = `${gigabytes(bavail * bsize)} free in ${folder}`;
  if (bavail * bsize >= SPACE || existsSync(parts(cache).qemu)) return { what, verdict: 'good', found: left };
  const found = `${left}, the guest's parts need ${gigabytes(SPACE)}`;
  return { what, verdict: 'bad', found, mend: 'export SAGRADA_CACHE=FOLDER' };
}

function memory(): Finding {
  const what = 'memory';
  const found = `${gigabytes(freemem())} free, ${availableParallelism()} processors`;
  if (freemem() >= MEMORY) return { what, verdict: 'good', found };
  return { what, verdict: 'slow', found, mend: 'give the guest less: --memory 1G' };
}

async function emulator({ cache, qemu }: DoctorOptions): Promise<{ finding: Finding; qemu?: Qemu }> {
  const what = 'QEMU';
  try {
    if (qemu !== undefined) {
      const given = await givenQemu(qemu);
      return { finding: { what, verdict: 'good', found: given.title }, qemu: given };
    }
    const { qemu: manifest } = await inspect(cache, undefined);
    if (!manifest) return { finding: { what, verdict: 'later', found: 'not fetched yet', mend: 'sagrada vm setup' } };
    const own = privateQemu(parts(cache).qemu, manifest.title);
    return { finding: { what, verdict: 'good', found: own.title }, qemu: own };
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    const mend = qemu === undefined ? 'sagrada vm setup' : 'leave out --qemu: sagrada fetches one';
    return { finding: { what, verdict: 'bad', found: error.message, mend } };
  }
}

async function kernel(cache: string, suite: Suite): Promise<Finding> {
  const what = `kernel ${suite}`;
  const there = await inspect(cache, suite);
  const mend = suite === 'backports' ? 'sagrada vm setup' : `sagrada vm setup --kernel ${suite}`;
  if (!there.kernel) return { what, verdict: 'later', found: 'not fetched yet', mend };
  const { title } = there.kernel;
  if (!there.modules) return { what, verdict: 'later', found: `${title}, our modules are not built for it yet`, mend };
  if (there.nic && there.rdma) return { what, verdict: 'good', found: `${title}, with the driver of the NIC` };
  const found = `${title}; the driver of the NIC is fetched with the first machine that has one`;
  return { what, verdict: 'good', found, mend: `${mend} --machine gaudi-efa` };
}

/** What set-up itself needs, where anything is left for it to do. */
async function fetching(cache: string, findings: readonly Finding[]): Promise<Finding[]> {
  const { init } = await inspect(cache, undefined);
  if (init && findings.every(({ verdict }) => verdict === 'good')) return [];
  const what = 'set-up';
  const needed = ['apt-get', 'apt-config', 'dpkg-deb'].filter((name) => findProgram(name) === undefined);
  if (process.arch !== 'x64') {
    return [{ what, verdict: 'bad', found: `the guest is for x86-64 hosts, this is ${process.arch}` }];
  }
  if (needed.length === 0) return [{ what, verdict: 'good', found: 'apt and dpkg-deb are there' }];
  const mend = 'bring a QEMU and a kernel of your own: --qemu FILE --kernel PATH';
  return [{ what, verdict: 'bad', found: `no ${needed.join(', ')} on this system`, mend }];
}

async function kvm({ cache, signal }: DoctorOptions, qemu: Qemu | undefined): Promise<Finding> {
  const what = 'KVM';
  const { kernel: manifest, init } = await inspect(cache, 'backports');
  if (!qemu || !manifest || !init) {
    return {
      what,
      verdict: 'later',
      found: 'is tried by booting, when the guest is prepared',
      mend: 'sagrada vm setup',
    };
  }
  const probe = {
    cache,
    qemu,
    kernel: await preparedKernel(cache, 'backports'),
    init: path.join(parts(cache).init, 'init'),
  };
  const trouble = await kvmTrouble({ ...probe, signal });
  if (trouble === undefined) return { what, verdict: 'good', found: 'a guest has booted with it' };
  const found = `${trouble}; QEMU emulates the processor instead`;
  if (trouble.includes('EACCES'))
    return { what, verdict: 'slow', found, mend: 'sudo usermod -aG kvm "$USER", and log in anew' };
  if (trouble.includes('ENOENT')) return { what, verdict: 'slow', found, mend: 'sudo modprobe -a kvm_intel kvm_amd' };
  return { what, verdict: 'slow', found };
}

/** Cards of this machine itself: `--on host` is theirs. */
function accelerators(): Finding {
  const there = existsSync('/dev/accel/accel0');
  return {
    what: 'host',
    verdict: 'good',
    found: there ? 'has an accelerator of its own' : 'no accelerator; none is needed',
  };
}

function gigabytes(bytes: number): string {
  return `${(bytes / 1e9).toFixed(1)} GB`;
}
