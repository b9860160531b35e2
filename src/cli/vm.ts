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
import { isRdmaProgram } from '../machine/vm/rdma-programs.ts';
import { bootGuests, type Vm } from '../machine/vm/vm.ts';
import { findProgram, signalNumber } from '../os/run.ts';
import { UserError } from '../sim/errors.ts';
import { addExamples } from './help.ts';
import { Interruption, interruptible } from './interruption.ts';
import {
  addCacheOptions,
  addGuestOptions,
  addMachineOptions,
  type MachineOptions,
  machineSetup,
} from './machine-options.ts';
import { tellRegisters } from './registers.ts';
import { progressLine, statusLine, waiting } from './terminal.ts';
import { listCommand } from './vm-list.ts';

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
  addExamples(
    vm,
    ['sagrada vm run -- uname -a', 'a command in the guest'],
    ['sagrada vm shell', 'a prompt in the guest'],
  );
  const setup = addCacheOptions(
    vm.command('setup').description('fetch and build what the guest needs, into the cache folder'),
  )
    .addOption(
      new Option(
        '--kernel <kernel>',
        "Debian's kernel of which suite; coverage: one that counts what runs of the driver, and watches it, which is built here",
      )
        .choices(['backports', 'stable', 'coverage'])
        .default('backports'),
    )
    .option(
      '--machine <name>',
      'also what this machine needs, beyond what all do: the driver of its NICs, RDMA programs',
    )
    .action(runSetup);
  addExamples(
    setup,
    ['sagrada vm setup', 'with the kernel that runs by default'],
    ['sagrada vm setup --kernel stable --machine gaudi-efa', 'with another, and with what NICs need'],
  );
  vm.addCommand(listCommand().exitOverride());
  const running = addGuestOptions(
    addMachineOptions(vm.command('run').description('run a command in the guest; exits with its status')),
  )
    .argument('<command...>', 'program and arguments; put -- before it')
    .passThroughOptions()
    .option('--timeout <seconds>', 'end the guest when the command takes longer', seconds)
    .option('--log <file>', "write the kernel's log there")
    .action((words: string[], options: RunCommandOptions) => guarded((signal) => runCommand(words, options, signal)));
  addExamples(
    running,
    ['sagrada vm run --machine gaudi-x2 -- ls /dev/accel', 'the nodes of two cards'],
    [
      'sagrada vm run --kernel ~/linux --append dyndbg=+p --log kernel.log -- ./my_test',
      'a kernel and a program of yours',
    ],
    ['sagrada vm run --machine gaudi-efa --guests 2 -- ibv_devices', 'in two guests with a network'],
  );
  const prompt = addGuestOptions(
    addMachineOptions(vm.command('shell').description('a prompt in the guest, or in the first of several')),
  )
    .argument('[command...]', 'what the other guests run meanwhile; put -- before it')
    .passThroughOptions()
    .option('--log <file>', "write the kernel's log there")
    .action((words: string[], options: RunCommandOptions) => guarded((signal) => runShell(words, options, signal)));
  addExamples(
    prompt,
    ['sagrada vm shell', 'look around in the guest'],
    ['sagrada vm shell --machine gaudi-x8 --kernel stable', 'with eight cards, on another kernel'],
  );
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
  readonly kernel: 'backports' | 'stable' | 'coverage';
  readonly machine?: string;
  readonly cache: string;
  readonly mirror?: string;
}

async function runSetup({ machine, ...options }: SetupCommandOptions): Promise<void> {
  await guarded(async (signal) => {
    const nic = machine !== undefined && countOf(machineDescription(machine), 'efa') > 0;
    await waiting(
      prepareGuest({
        ...options,
        nic,
        signal,
        say,
        progress: progressLine(),
        status: process.stderr.isTTY ? statusLine : undefined,
      }),
    );
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

/**
 * Runs a command in a guest, with our input and output; or in several, of which the first has our input, and each line of
 * output says whose it is.
 * @param env added to its environment @returns its status; of several the first that is not 0
 */
export async function runCommand(
  words: readonly string[],
  options: RunCommandOptions,
  signal: AbortSignal,
  env: Readonly<Record<string, string>> = {},
): Promise<number> {
  const [program = ''] = words;
  if (isRdmaProgram(program) && countOf(machineDescription(options.machine), 'efa') === 0 && !findProgram(program)) {
    const instead = options.machine.includes('x2') ? 'gaudi-x2-efa-x2' : 'gaudi-efa';
    throw new UserError(
      `${program}: machine ${options.machine} has no NIC, and none of its programs; pass --machine ${instead}`,
    );
  }
  const input = process.stdin;
  const running: GuestCommand[] = [];
  // The reader of our output has gone (`| head`): the command learns it as it would on the host.
  const stdout = sink(process.stdout, () => {
    for (const command of running) command.signal(signalNumber('SIGPIPE'));
  });
  const stderr = sink(process.stderr);
  const body = (vm: Vm, guest: number, guests: number) => {
    const name = guests > 1 ? `guest${guest}` : undefined;
    const output = named(stdout, name);
    const errors = named(stderr, name);
    const status = vm.run(words, {
      ...(guest === 0 ? { stdin: input } : {}),
      env,
      onStdout: output.write,
      onStderr: errors.write,
      onStart: (started) => void running.push(started),
    });
    return status.finally(() => {
      output.end();
      errors.end();
    });
  };
  try {
    return await withGuests(options, signal, body);
  } finally {
    input.destroy();
  }
}

/** A prompt in the first guest, until it ends. @param words what the others run meanwhile */
async function runShell(words: readonly string[], options: RunCommandOptions, signal: AbortSignal): Promise<number> {
  const { stdin, stdout } = process;
  const output = sink(stdout);
  const errors = sink(process.stderr);
  const shell = process.env.SHELL ?? '/bin/sh';
  const isTerminal = stdin.isTTY && stdout.isTTY;
  if ((options.guests ?? 1) === 1 && words.length > 0) {
    throw new UserError('a command goes with --guests: it is for the guests that have no prompt');
  }
  const size = () => ({ rows: stdout.rows, columns: stdout.columns });
  let running: GuestCommand | undefined;
  const resize = () => running?.resize(size());
  const prompt = (vm: Vm) => {
    if (!isTerminal) return vm.run([shell], { stdin, onStdout: output, onStderr: errors });
    stdout.on('resize', resize);
    stdin.setRawMode(true);
    const onStart = (started: GuestCommand) => {
      running = started;
    };
    return vm.run([shell], { stdin, terminal: size(), onStdout: output, onStart });
  };
  const body = (vm: Vm, guest: number) => {
    if (guest === 0) return prompt(vm);
    if (words.length === 0) return undefined;
    // A terminal in raw mode is told to return to the first column.
    const lines = named(output, `guest${guest}`, isTerminal ? '\r\n' : '\n');
    const status = vm.run(words, { onStdout: lines.write, onStderr: lines.write });
    // It ends with the guest, when the prompt ends.
    status.then(lines.end, () => {});
    return undefined;
  };
  try {
    return await withGuests(options, signal, body, isTerminal ? 'at the end' : 'at once');
  } finally {
    stdout.removeListener('resize', resize);
    if (isTerminal) stdin.setRawMode(false);
    stdin.destroy();
  }
}

/**
 * Boots, runs `body` for each guest, ends the guests, and says what their kernels and the devices complained about: a kernel's
 * complaints at once, because a command of which a thread has died in the kernel may never end; or at the end, where a
 * terminal is in raw mode.
 * @param body undefined: not waited for @returns the first status that is not 0
 */
async function withGuests(
  options: RunCommandOptions,
  signal: AbortSignal,
  body: (vm: Vm, guest: number, guests: number) => Promise<number> | undefined,
  when: 'at once' | 'at the end' = 'at once',
): Promise<number> {
  const count = options.guests ?? 1;
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
  const setup = machineSetup(options, { say: note, signal, progress: progressLine(), onFailedLog });
  const vms = await waiting(bootGuests(setup, count));
  const prefix = (guest: number) => (count > 1 ? `guest${guest}: ` : '');
  let failed = true;
  try {
    const devices = vms.reduce((sum, vm) => sum + vm.devices.length, 0);
    const seconds = Math.max(...vms.map((vm) => vm.bootSeconds)).toFixed(1);
    const title = `${count > 1 ? `${count} guests: ` : ''}${vms[0]?.title}`;
    note(`${title}; ${devices} ${devices === 1 ? 'device' : 'devices'} up in ${seconds} s`);
    let told = 0;
    if (when === 'at once') {
      for (const [guest, vm] of vms.entries()) {
        vm.onUnexpected(({ text }: LogRecord) => {
          note(`${prefix(guest)}kernel: ${text}`);
          told++;
        });
      }
    }
    const statuses = vms.map((vm, guest) => body(vm, guest, count));
    // One that has ended does not end the others, which learn of it as programs on a network do.
    const ended = statuses.map((status, guest) =>
      count === 1
        ? status
        : status?.catch((error: unknown) => {
            if (!(error instanceof UserError) || signal.aborted) throw error;
            note(`${prefix(guest)}${error.message}`);
            return STATUS_GUEST;
          }),
    );
    const all = Promise.all(ended).then((list) => list.find((status) => status !== undefined && status !== 0) ?? 0);
    const status = await limited(all, options.timeout);
    const reports = await Promise.all(vms.map((vm) => vm.deviceReport()));
    const errors = (fault: boolean) =>
      reports.flatMap((report, guest) => modelErrors(report, fault).map((line) => `${prefix(guest)}${line}`));
    for (const line of errors(false)) note(line);
    const kernels = vms.flatMap((vm, guest) => vm.unexpected().map(({ text }) => `${prefix(guest)}kernel: ${text}`));
    const complaints = [...kernels, ...errors(true)];
    failed = complaints.length > 0;
    if (!failed) return status;
    for (const line of when === 'at once' ? complaints.slice(told) : complaints) note(line);
    note(`the devices or the kernel have complained (${complaints.length} lines above)`);
    return status === 0 ? STATUS_GUEST : status;
  } finally {
    if (options.traceRegisters) {
      tellRegisters(await Promise.all(vms.map((vm) => vm.deviceReport())), options.registers);
    }
    const text = vms.map((vm, guest) => `${count > 1 ? `guest${guest}:\n` : ''}${vm.logText()}`).join('');
    for (const vm of vms) await vm.close();
    const file = keep(text, failed && !signal.aborted);
    if (file && options.log === undefined) note(`the guest's log is in ${file}`);
  }
}

/** Puts a name before each line; without one the data pass as they are. */
function named(
  write: (data: Buffer) => Promise<void> | undefined,
  name: string | undefined,
  lineEnd = '\n',
): { readonly write: (data: Buffer) => Promise<void> | undefined; readonly end: () => void } {
  if (name === undefined) return { write, end: () => {} };
  let rest = '';
  const print = (lines: readonly string[]) =>
    lines.length === 0
      ? undefined
      : write(Buffer.from(lines.map((line) => `${name}: ${line}${lineEnd}`).join(''), 'latin1'));
  return {
    // latin1 keeps bytes as they are
    write: (data) => {
      const lines = (rest + data.toString('latin1')).split('\n');
      rest = lines.pop() ?? '';
      return print(lines);
    },
    end: () => {
      if (rest !== '') void print([rest]);
      rest = '';
    },
  };
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
