/** `sagrada vm`: a guest with the real drivers and the modelled devices. */

import { writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Command, InvalidArgumentError, Option } from 'commander';
import { countOf, machineDescription } from '../machine/machines.ts';
import type { Command as GuestCommand } from '../machine/vm/agent.ts';
import type { DeviceReport } from '../machine/vm/device-server.ts';
import type { LogRecord } from '../machine/vm/kernel-log.ts';
import { prepareGuest } from '../machine/vm/prepare.ts';
import { bootVm, type RunOptions, type Vm } from '../machine/vm/vm.ts';
import { signalNumber } from '../os/run.ts';
import { UserError } from '../sim/errors.ts';
import { Interruption, interruptible } from './interruption.ts';
import {
  addCacheOptions,
  addMachineOptions,
  type MachineOptions,
  machineSetup,
  progressLine,
} from './machine-options.ts';
import { printRegisters } from './registers.ts';

/** Exit status when the command was not at fault: the guest, or what its kernel or the devices had to say. */
const STATUS_GUEST = 125;
const STATUS_TIMEOUT = 124;

interface RunCommandOptions extends MachineOptions {
  readonly timeout?: number;
  readonly log?: string;
}

export function command(): Command {
  const vm = new Command('vm')
    .description('a virtual machine with the unmodified drivers and modelled devices')
    // before the subcommands are made: they inherit it
    .exitOverride()
    .enablePositionalOptions();
  addCacheOptions(vm.command('setup').description('fetch and build what the guest needs, into the cache folder'))
    .addOption(
      new Option('--kernel <suite>', "Debian's kernel of which suite")
        .choices(['backports', 'stable'])
        .default('backports'),
    )
    .option(
      '--machine <name>',
      'also what this machine needs, beyond what all do: the driver of its NICs, RDMA programs',
    )
    .action(runSetup);
  addMachineOptions(vm.command('run').description('run a command in the guest; exits with its status'))
    .argument('<command...>', 'program and arguments; put -- before it')
    .passThroughOptions()
    .option('--timeout <seconds>', 'end the guest when the command takes longer', seconds)
    .option('--log <file>', "write the kernel's log there")
    .action((words: string[], options: RunCommandOptions) => guarded((signal) => runCommand(words, options, signal)));
  addMachineOptions(vm.command('shell').description('a prompt in the guest'))
    .option('--log <file>', "write the kernel's log there")
    .action((options: RunCommandOptions) => guarded((signal) => runShell(options, signal)));
  return vm;
}

function seconds(text: string): number {
  const value = Number(text);
  if (!(value > 0)) throw new InvalidArgumentError('a number of seconds is expected.');
  return value;
}

const say = (line: string) => console.error(line);
const note = (line: string) => console.error(`sagrada: ${line}`);

interface SetupCommandOptions {
  readonly kernel: 'backports' | 'stable';
  readonly machine?: string;
  readonly cache: string;
  readonly mirror?: string;
}

async function runSetup({ machine, ...options }: SetupCommandOptions): Promise<void> {
  await guarded(async (signal) => {
    const nic = machine !== undefined && countOf(machineDescription(machine), 'efa') > 0;
    await prepareGuest({ ...options, nic, signal, say, progress: progressLine() });
    if (machine === undefined) {
      say('Machines with a NIC need more (about 200 MB): "sagrada vm setup --machine gaudi-efa" fetches it ahead');
    }
    return 0;
  }, 1);
}

/** Runs `body`; what it says goes to the exit status, and a mistake is one line. */
export async function guarded(body: (signal: AbortSignal) => Promise<number>, failure = STATUS_GUEST): Promise<void> {
  try {
    process.exitCode = await interruptible(body);
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    note(error.message);
    process.exitCode = error instanceof Interruption ? error.status : failure;
  }
}

/** Runs a command in a guest, with our input and output. @param env added to its environment. @returns its status */
export async function runCommand(
  words: readonly string[],
  options: RunCommandOptions,
  signal: AbortSignal,
  env: Readonly<Record<string, string>> = {},
): Promise<number> {
  const input = process.stdin;
  let running: GuestCommand | undefined;
  // The reader of our output has gone (`| head`): the command learns it as it would on the host.
  const output = sink(process.stdout, () => running?.signal(signalNumber('SIGPIPE')));
  const streams: RunOptions = {
    stdin: input,
    env,
    onStdout: output,
    onStderr: sink(process.stderr),
    onStart: (started) => {
      running = started;
    },
  };
  try {
    return await withVm(options, signal, (vm) => vm.run(words, streams));
  } finally {
    input.destroy();
  }
}

async function runShell(options: RunCommandOptions, signal: AbortSignal): Promise<number> {
  const { stdin, stdout } = process;
  const output = sink(stdout);
  const shell = process.env.SHELL ?? '/bin/sh';
  if (!stdin.isTTY || !stdout.isTTY) {
    try {
      return await withVm(options, signal, (vm) =>
        vm.run([shell], { stdin, onStdout: output, onStderr: sink(process.stderr) }),
      );
    } finally {
      stdin.destroy();
    }
  }
  const size = () => ({ rows: stdout.rows, columns: stdout.columns });
  let running: GuestCommand | undefined;
  const resize = () => running?.resize(size());
  const terminal: RunOptions = {
    stdin,
    terminal: size(),
    onStdout: output,
    onStart: (started) => {
      running = started;
    },
  };
  try {
    const body = (vm: Vm) => {
      stdout.on('resize', resize);
      stdin.setRawMode(true);
      return vm.run([shell], terminal);
    };
    return await withVm(options, signal, body, 'at the end');
  } finally {
    stdout.removeListener('resize', resize);
    stdin.setRawMode(false);
    stdin.destroy();
  }
}

/**
 * Boots, runs `body`, ends the guest, and says what its kernel and the devices complained about: the kernel's complaints at once,
 * because a command of which a thread has died in the kernel may never end; or at the end, where a terminal is in raw mode.
 */
async function withVm(
  options: RunCommandOptions,
  signal: AbortSignal,
  body: (vm: Vm) => Promise<number>,
  when: 'at once' | 'at the end' = 'at once',
): Promise<number> {
  const keep = (text: string, failed: boolean) => {
    if (options.log === undefined && !failed) return undefined;
    const file = options.log ?? path.join(tmpdir(), `sagrada-vm-${process.pid}.log`);
    try {
      writeFileSync(file, text);
      return file;
    } catch (error) {
      note(`cannot write the log to ${file}: ${(error as NodeJS.ErrnoException).code}`);
      return undefined;
    }
  };
  const onFailedLog = (text: string) => {
    const file = keep(text, true);
    if (file) note(`the guest's log is in ${file}`);
  };
  const vm = await bootVm(machineSetup(options, { say: note, signal, progress: progressLine(), onFailedLog }));
  let failed = true;
  try {
    note(
      `${vm.title}; ${vm.devices.length} ${vm.devices.length === 1 ? 'device' : 'devices'} up in ${vm.bootSeconds.toFixed(1)} s`,
    );
    let told = 0;
    const tell = ({ text }: LogRecord) => {
      note(`kernel: ${text}`);
      told++;
    };
    if (when === 'at once') vm.onUnexpected(tell);
    const status = await limited(body(vm), options.timeout);
    const report = await vm.deviceReport();
    for (const line of modelErrors(report, false)) note(line);
    const complaints = [...vm.unexpected().map(({ text }) => `kernel: ${text}`), ...modelErrors(report, true)];
    failed = complaints.length > 0;
    if (!failed) return status;
    for (const line of complaints.slice(told)) note(line);
    note(`the devices or the kernel have complained (${complaints.length} lines above)`);
    return status === 0 ? STATUS_GUEST : status;
  } finally {
    if (options.traceRegisters) printRegisters(await vm.deviceReport());
    const text = vm.logText();
    await vm.close();
    const file = keep(text, failed && !signal.aborted);
    if (file && options.log === undefined) note(`the guest's log is in ${file}`);
  }
}

/** @returns the status; `STATUS_TIMEOUT` when it does not come in time. */
async function limited(status: Promise<number>, limit: number | undefined): Promise<number> {
  if (limit === undefined) return status;
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<'late'>((resolve) => {
    timer = setTimeout(resolve, limit * 1000, 'late');
  });
  try {
    const first = await Promise.race([status, late]);
    if (first !== 'late') return first;
    note(`the command has not ended within ${limit} s: the guest is ended`);
    status.catch(() => {});
    return STATUS_TIMEOUT;
  } finally {
    clearTimeout(timer);
  }
}

/** Errors of the models, each in one line. @param fault false: only those that a program has made, as it would on a card. */
function modelErrors(report: DeviceReport, fault: boolean): string[] {
  return report.devices.flatMap(({ name, errors }) =>
    errors
      .filter(({ category }) => (category !== 'guest') === fault)
      .map(({ message, count }) => `${name}: ${message}${count > 1 ? ` (${count} times)` : ''}`),
  );
}

/** Passes data on to one of our streams as fast as its reader takes it. @param onBroken told once when the reader has gone. */
function sink(stream: NodeJS.WriteStream, onBroken?: () => void): (data: Buffer) => Promise<void> | undefined {
  let broken = false;
  let full: Promise<void> | undefined;
  let release = () => {};
  const free = () => {
    full = undefined;
    release();
  };
  stream.on('drain', free);
  stream.once('error', () => {
    broken = true;
    free();
    onBroken?.();
  });
  return (data) => {
    if (broken || stream.write(data)) return undefined;
    full ??= new Promise((resolve) => {
      release = resolve;
    });
    return full;
  };
}
