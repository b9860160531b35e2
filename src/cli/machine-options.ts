/** The options of every command that boots a machine. */

import { type Command, CommanderError, InvalidArgumentError, Option } from 'commander';
import { parseFault } from '../gaudi/faults/parse.ts';
import { listMachines } from '../machine/machines.ts';
import type { TracePlace } from '../machine/trace.ts';
import type { DeviceServerOptions } from '../machine/vm/device-server.ts';
import { GivenDrivers } from '../machine/vm/given-drivers.ts';
import { MAX_GUESTS, type VmOptions } from '../machine/vm/vm.ts';
import { cacheFolder } from '../os/cache.ts';
import { UserError } from '../sim/errors.ts';
import { createTraceFile } from '../trace/file.ts';
import { faultList } from './fault-list.ts';
import { statusLine } from './terminal.ts';

export interface MachineOptions {
  readonly machine: string;
  readonly kernel: string;
  readonly modules?: string;
  readonly patch?: readonly string[];
  readonly driver?: readonly string[];
  readonly moduleParam?: readonly string[];
  readonly append?: readonly string[];
  readonly bind?: readonly string[];
  readonly memory?: number;
  readonly cpus?: number;
  readonly accel?: 'kvm' | 'tcg';
  readonly fixups: boolean;
  readonly qemu?: string;
  readonly cache: string;
  readonly mirror?: string;
  readonly delay?: Readonly<Record<string, number>>;
  readonly deviceSeed?: number;
  readonly firmware?: 'comms' | 'static';
  readonly fault?: readonly string[];
  readonly traceRegisters?: boolean;
  /** File for what `traceRegisters` tells. */
  readonly registers?: string;
  readonly trace?: string;
  readonly guests?: number;
  readonly network?: NetworkSetup;
}

type NetworkSetup = NonNullable<DeviceServerOptions['network']>;

/** Those of the options that only mean something where there is a guest. */
export const VM_OPTIONS = [
  'kernel',
  'modules',
  'patch',
  'driver',
  'moduleParam',
  'append',
  'bind',
  'memory',
  'cpus',
  'accel',
  'fixups',
  'qemu',
  'guests',
  'network',
] as const satisfies readonly (keyof MachineOptions)[];

const repeated = (value: string, values: readonly string[] = []): readonly string[] => [...values, value];

/** @param machine the one that is taken when none is named */
export function addMachineOptions(command: Command, machine = 'gaudi'): Command {
  const machines = listMachines().map(({ name, doc }) => `${name}: ${doc}`);
  return addCacheOptions(command)
    .option('--machine <name>', `which devices; ${machines.join('; ')}`, machine)
    .option(
      '--kernel <kernel>',
      'stable, backports, coverage (docs/coverage.md), or the path of a kernel or of the folder it was built in',
      'backports',
    )
    .option('--modules <folder>', 'modules of a kernel given by its path')
    .option(
      '--patch <file>',
      "build the kernel's driver with this patch, and use it; may be repeated (docs/test-a-change.md)",
      repeated,
    )
    .option('--driver <path>', 'use this driver: a module, or a folder with its source; may be repeated', repeated)
    .option('--module-param <name=value>', 'parameter of the driver; may be repeated', moduleParameter)
    .option('--append <text>', "added to the kernel's command line; may be repeated", repeated)
    .option('--bind <folder>', 'the guest may write there; may be repeated', repeated)
    .option('--memory <size>', 'of the guest, e.g. 2.5G or 900M; a bare number means MiB (default: 2.5G)', memory)
    .option('--cpus <n>', 'of the guest (default: 2)', count)
    .addOption(
      new Option('--accel <how>', 'how QEMU runs the guest (default: kvm where it works)').choices(['kvm', 'tcg']),
    )
    .option('--no-fixups', 'leave known defects of the drivers as they are (docs/findings)')
    .option('--qemu <file>', 'another QEMU than the one of "vm setup"')
    .option(
      '--delay <engine:us>',
      'microseconds that an engine waits before each piece of work; may be repeated',
      delay,
    )
    .addOption(
      new Option('--firmware <protocol>', 'how a card loads its firmware (default: comms)').choices([
        'comms',
        'static',
      ]),
    )
    .option(
      '--fault <[card/]name[:word][@when]>',
      'has a card do something wrong, e.g. msi-lost@3 or ecc-double:SRAM3@20ms; list: which there are; may be repeated',
      fault,
    )
    .option('--device-seed <n>', 'of what is random in the devices', count)
    .option('--trace <file>', 'record what happens, for "sagrada view", "sagrada trace" and ui.perfetto.dev')
    .option('--trace-registers', 'at the end list every register that was touched (standard error)')
    .addOption(
      new Option('--registers <file>', 'write every register that was touched there, as JSON').implies({
        traceRegisters: true,
      }),
    );
}

/** For commands that run in several guests. */
export function addGuestOptions(command: Command): Command {
  return command
    .option(
      '--guests <n>',
      'so many guests, each with a machine of its own, their NICs in one network (default: 1)',
      guests,
    )
    .option(
      '--network <what>',
      'what the network of the NICs does to packets, e.g. loss=0.01,duplicate=0.01,reorder=0.1,delay=50us,jitter=10us,seed=7',
      network,
    );
}

export function addCacheOptions(command: Command): Command {
  return command
    .option('--cache <folder>', 'where what was downloaded is kept', cacheFolder())
    .option('--mirror <uri>', "Debian archive to download from (default: the one of this system's apt)");
}

/** What `bootVm` is to do. */
export function machineSetup(
  options: MachineOptions,
  rest: Pick<VmOptions, 'say'> & Partial<Pick<VmOptions, 'signal' | 'progress' | 'onFailedLog'>>,
): VmOptions {
  return {
    machine: options.machine,
    kernel: options.kernel,
    modules: options.modules,
    drivers: options.patch || options.driver ? new GivenDrivers(options.patch ?? [], options.driver ?? []) : undefined,
    status: process.stderr.isTTY ? statusLine : undefined,
    moduleParameters: options.moduleParam,
    append: options.append?.join(' '),
    binds: options.bind,
    memory: options.memory,
    cpus: options.cpus,
    accelerator: options.accel,
    fixups: options.fixups,
    qemu: options.qemu,
    cache: options.cache,
    mirror: options.mirror,
    devices: {
      ...(options.delay ? { delays: options.delay } : {}),
      ...(options.deviceSeed === undefined ? {} : { seed: options.deviceSeed }),
      ...(options.firmware ? { firmware: options.firmware } : {}),
      ...(options.fault ? { faults: options.fault } : {}),
      ...(options.traceRegisters ? { traceRegisters: true } : {}),
      ...(options.trace === undefined ? {} : { trace: guestTrace(options.trace) }),
      ...(options.network ? { network: options.network } : {}),
    },
    ...rest,
  };
}

/** Machines of guests have numbers that no other has in a trace. */
const GUESTS_SEQUENCE = 2 ** 16;

/** Makes the file. @throws UserError where it cannot be written */
export function guestTrace(file: string): TracePlace {
  return { file, sequence: GUESTS_SEQUENCE, root: 'vm', began: traceFile(file) };
}

const begun = new Map<string, number>();

/** Makes a trace's file, once. @returns when that was, milliseconds since 1970. @throws UserError where it cannot be written */
export function traceFile(file: string): number {
  let began = begun.get(file);
  if (began === undefined) {
    createTraceFile(file);
    began = Date.now();
    begun.set(file, began);
  }
  return began;
}

function moduleParameter(text: string, values: readonly string[] = []): readonly string[] {
  if (!/^[A-Za-z_]\w*=[^\s"]*$/.test(text)) throw new InvalidArgumentError('NAME=VALUE is expected.');
  return [...values, text];
}

function fault(text: string, values: readonly string[] = []): readonly string[] {
  if (text === 'list') {
    process.stdout.write(faultList());
    throw new CommanderError(0, 'sagrada.listed', '');
  }
  try {
    parseFault(text.replace(/^[^/:@]*\//, ''));
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    throw new InvalidArgumentError(`${error.message}.`);
  }
  return [...values, text];
}

const UNITS: Readonly<Record<string, number>> = { K: 2 ** 10, M: 2 ** 20, G: 2 ** 30, T: 2 ** 40 };

function memory(text: string): number {
  const match = /^(\d+(?:\.\d+)?)([KMGT])?(?:i?B)?$/i.exec(text);
  if (!match) throw new InvalidArgumentError('a size such as 2.5G or 900M is expected.');
  return Number(match[1]) * (UNITS[(match[2] ?? 'M').toUpperCase()] ?? 1);
}

function count(text: string): number {
  if (!/^[1-9]\d{0,8}$/.test(text)) throw new InvalidArgumentError('a whole number of at least 1 is expected.');
  return Number(text);
}

function guests(text: string): number {
  const value = count(text);
  if (value > MAX_GUESTS) throw new InvalidArgumentError(`at most ${MAX_GUESTS} are started at once.`);
  return value;
}

const NANOSECONDS: Readonly<Record<string, number>> = { ns: 1, us: 1e3, ms: 1e6, s: 1e9 };

/** Of what `--network` may say: how each is read, undefined where it is wrong. */
const NETWORK: Readonly<Record<keyof NetworkSetup, (text: string) => number | undefined>> = {
  loss: probability,
  duplicate: probability,
  reorder: probability,
  delay: duration,
  jitter: duration,
  seed: (text) => (/^\d{1,9}$/.test(text) ? Number(text) : undefined),
};

function probability(text: string): number | undefined {
  const value = /^\d*\.?\d+$/.test(text) ? Number(text) : Number.NaN;
  return value <= 1 ? value : undefined;
}

/** Nanoseconds. */
function duration(text: string): number | undefined {
  const match = /^(\d+(?:\.\d+)?)(ns|us|ms|s)$/.exec(text);
  return match ? Number(match[1]) * (NANOSECONDS[match[2] as string] as number) : undefined;
}

function network(text: string): NetworkSetup {
  const setup: Record<string, number> = {};
  for (const part of text.split(',')) {
    const [name = '', value = '', ...more] = part.split('=');
    const read = Object.hasOwn(NETWORK, name) ? NETWORK[name as keyof NetworkSetup] : undefined;
    const number = more.length === 0 ? read?.(value) : undefined;
    if (number === undefined) {
      throw new InvalidArgumentError(
        `"${part}" is not known: loss, duplicate, reorder (0 to 1), delay, jitter (e.g. 50us) and seed are.`,
      );
    }
    setup[name] = number;
  }
  return setup;
}

function delay(text: string, delays: Readonly<Record<string, number>> = {}): Readonly<Record<string, number>> {
  const match = /^([A-Za-z]\w*):(\d+(?:\.\d+)?)$/.exec(text);
  if (!match) throw new InvalidArgumentError('ENGINE:MICROSECONDS is expected, e.g. DMA0:50.');
  return { ...delays, [(match[1] as string).toUpperCase()]: Number(match[2]) * 1000 };
}
