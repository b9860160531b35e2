/** A guest with the real drivers and the modelled devices: boots, runs commands, tells what its kernel said. */

import { existsSync, mkdirSync, realpathSync, statSync } from 'node:fs';
import path from 'node:path';
import { UserError } from '../../sim/errors.ts';
import type { FaultOrder } from '../faults.ts';
import { countOf, kernelArguments, machineDescription, qemuDeviceArguments } from '../machines.ts';
import { chooseAccelerator } from './accelerator.ts';
import type { Command, WindowSize } from './agent.ts';
import { type BootedDevice, Running, StalledError } from './boot.ts';
import { parts } from './cache-parts.ts';
import { type DeviceReport, DeviceServer, type DeviceServerOptions, type ServedMachine } from './device-server.ts';
import { EthernetSwitch } from './ethernet.ts';
import type { GivenDrivers } from './given-drivers.ts';
import { buildInitramfs, ROOT_TAG } from './initramfs.ts';
import { driverIsFixed, type GuestKernel, withDrivers } from './kernel.ts';
import { type Conditions, isUnexpected, type LogRecord, unexpected } from './kernel-log.ts';
import {
  DRIVER_MODULES,
  EARLY_MODULES,
  FILE_MODULES,
  type Module,
  NETWORK_MODULES,
  OPTIONAL_MODULES,
} from './modules.ts';
import { NIC_MODULES } from './nic-driver.ts';
import { prepare } from './prepare.ts';
import type { Accelerator } from './qemu.ts';
import { Scratch } from './scratch.ts';

export interface VmOptions {
  /** Name in src/machine/machines.ts. */
  readonly machine: string;
  /** `backports`, `stable`, or the path of a kernel or of the folder in which one was built. */
  readonly kernel: string;
  /** Folder with the modules of a kernel given by path. */
  readonly modules?: string | undefined;
  /** Drivers of the user's, in the place of the kernel's. */
  readonly drivers?: GivenDrivers | undefined;
  /** Parameters of the driver, e.g. `timeout_locked=5`. */
  readonly moduleParameters?: readonly string[] | undefined;
  /** Added to the kernel's command line. */
  readonly append?: string | undefined;
  /** Folders of the host that the guest may write to. */
  readonly binds?: readonly string[] | undefined;
  /** Bytes; default 2.5 GiB. */
  readonly memory?: number | undefined;
  /** Default 2. */
  readonly cpus?: number | undefined;
  /** `kvm` or `tcg`; default: KVM where a probe has shown that it works. */
  readonly accelerator?: string | undefined;
  /** Whether known defects of the drivers are worked around (docs/findings); default true. */
  readonly fixups?: boolean | undefined;
  /** A QEMU other than that of set-up. */
  readonly qemu?: string | undefined;
  /** Cache folder of set-up. */
  readonly cache: string;
  /** URI of a Debian archive, should set-up be needed. */
  readonly mirror?: string | undefined;
  /** How the devices behave, beyond their models. */
  readonly devices?: DeviceServerOptions | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Seconds without a sign of life after which a guest that starts is given up; one that runs is given twice of it. Default 30. */
  readonly patience?: number | undefined;
  /** The kernel takes down which functions of this driver are called, from its loading on (guest/init/start.c). */
  readonly trace?: string | undefined;
  /** Told what a person may want to know. */
  readonly say: (line: string) => void;
  readonly progress?: ((done: number, total: number) => void) | undefined;
  /** Told how far something has come, for a line that is written over; empty when it is done. */
  readonly status?: ((text: string) => void) | undefined;
  /** Given the log of a guest that did not come up. */
  readonly onFailedLog?: ((text: string) => void) | undefined;
}

export interface RunOptions {
  /** Default: empty. */
  readonly stdin?: AsyncIterable<Uint8Array> | undefined;
  /** Gives the command a terminal. */
  readonly terminal?: WindowSize | undefined;
  /** Folder in which the command starts; default: ours. */
  readonly cwd?: string | undefined;
  /** Added to the environment that a command gets anyway. */
  readonly env?: Readonly<Record<string, string>> | undefined;
  /** Where it returns a promise, no more comes until that is settled. */
  readonly onStdout?: ((data: Buffer) => Promise<void> | undefined) | undefined;
  readonly onStderr?: ((data: Buffer) => Promise<void> | undefined) | undefined;
  /** Told the command when it runs, to send it signals. */
  readonly onStart?: ((command: Command) => void) | undefined;
}

const DEFAULT_MEMORY = 2.5 * 2 ** 30;
const LEAST_MEMORY = 256 * 2 ** 20;
/** Pages of 2 MiB for programs that ask for them (MAP_HUGETLB). */
const HUGE_PAGES = 16;
const ATTEMPTS = 2;
/**
 * A guest without KVM is about so many times slower than the host (integer loops 33, floating point 13). Transfers are
 * slowed by as much, so that programs find queues as full and engines as busy as they would on a real machine.
 */
const TCG_SLOWDOWN = 20;

/** The driver of a NIC when its device can be used (efa_main.c, efa_ib_device_add). */
const NIC_REGISTERED = /^efa .*IB device registered/;

/** What a driver's status says when the device can be used (habanalabs, sysfs `status`). */
const OPERATIONAL = 'Operational';

export class Vm implements AsyncDisposable {
  /** What runs: kernel, accelerator, helper. */
  readonly title: string;
  readonly accelerator: Accelerator;
  readonly kernelRelease: string;
  /** Folders with the compiler's notes of what this kernel counts (GuestKernel). */
  readonly notes: readonly string[];
  /** Whether the helper module was loaded (docs/findings/0001). */
  readonly helper: boolean;
  readonly devices: readonly BootedDevice[];
  /** Seconds from the start of QEMU until the devices could be used. */
  readonly bootSeconds: number;
  readonly #running: Running;
  readonly #served: ServedMachine;
  readonly #place: Place;
  readonly #loaded: number;
  readonly #programs: readonly string[];

  /** @internal */
  constructor(boot: Boot) {
    const fixes = [
      ...(boot.helper ? ['with the helper module sagrada_helper (docs/findings/0001)'] : []),
      ...(boot.oneByOne ? ['cards brought up one after the other (docs/findings/0002)'] : []),
    ];
    this.title = [boot.title, boot.accelerator, ...fixes].join(', ');
    this.accelerator = boot.accelerator;
    this.kernelRelease = boot.running.release;
    this.notes = boot.notes;
    this.helper = boot.helper;
    this.devices = boot.devices;
    this.bootSeconds = boot.seconds;
    this.#running = boot.running;
    this.#served = boot.served;
    this.#place = boot.place;
    this.#loaded = boot.running.records.length;
    this.#programs = boot.programs;
  }

  /**
   * Runs a command to its end. Several may run at once.
   * @returns its exit status, 128 + n when signal n ended it, 126 or 127 when it could not be started.
   * @throws UserError when the guest ends before it.
   */
  async run(command: readonly string[], options: RunOptions = {}): Promise<number> {
    const refused = (reason: string) => void options.onStderr?.(Buffer.from(`sagrada: cannot run ${reason}\n`));
    const started = this.#running.agent.start(command, {
      cwd: options.cwd ?? process.cwd(),
      env: { ...guestEnvironment(this.#programs), ...this.#place.env, ...options.env },
      stdin: options.stdin,
      terminal: options.terminal,
      onStdout: (data) => options.onStdout?.(data),
      onStderr: (data) => options.onStderr?.(data),
      onRefused: refused,
    });
    options.onStart?.(started);
    return started.status;
  }

  /** Everything the guest's kernel has logged so far. */
  kernelLog(): readonly LogRecord[] {
    return this.#running.records;
  }

  /** The log as text, with what only the console had when the guest ended. */
  logText(): string {
    return this.#running.logText();
  }

  /** Lines of the log that neither a real card nor a program would have caused. */
  unexpected(): readonly LogRecord[] {
    return unexpected(this.#running.records, this.#conditions);
  }

  /** Told every line of `unexpected()` as soon as it is there, those that are there already first. */
  onUnexpected(listener: (record: LogRecord) => void): void {
    this.unexpected().forEach(listener);
    const { records } = this.#running;
    this.#running.onRecord = (record) => {
      if (isUnexpected(record, records.length - 1, this.#conditions)) listener(record);
    };
  }

  get #conditions(): Conditions {
    return { helper: this.helper, loaded: this.#loaded };
  }

  /** What the device models of this guest refused, and what they count. */
  deviceReport(): Promise<DeviceReport> {
    return this.#served.report();
  }

  /** Asks something of the faults of this guest's cards. @returns those that have happened. @throws UserError for no fault */
  faults(order: FaultOrder): Promise<readonly string[]> {
    return this.#served.faults(order);
  }

  /** Settles when the guest has ended by itself, with the reason. */
  get end(): Promise<Error> {
    return this.#running.end;
  }

  /** Cuts the guest's power. */
  powerOff(): void {
    this.#running.kill();
  }

  /** Ends the guest, and the device server where no other guest needs it. Nothing of them is left. */
  async close(): Promise<void> {
    try {
      await this.#running.close();
    } finally {
      this.#running.scratch.close();
      await this.#place.release();
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

interface Boot {
  readonly title: string;
  readonly notes: readonly string[];
  readonly accelerator: Accelerator;
  readonly helper: boolean;
  readonly oneByOne: boolean;
  readonly programs: readonly string[];
  readonly devices: readonly BootedDevice[];
  readonly seconds: number;
  readonly running: Running;
  readonly served: ServedMachine;
  readonly place: Place;
}

/** A guest among those that were started together. */
interface Place {
  readonly name: string;
  /** Says so to programs. */
  readonly env: Readonly<Record<string, string>>;
  readonly network:
    | { readonly address: string; readonly hosts: string; readonly mac: string; readonly socket: string }
    | undefined;
  /** To be called when the guest has ended. */
  release(): Promise<void>;
}

/** Most guests that are started together. */
export const MAX_GUESTS = 16;

/**
 * Boots several guests at once. Each has a machine of its own; their NICs are in one network, and they reach each other by
 * Ethernet as `guest0` (10.0.0.1), `guest1` and so on. Where one does not come up, all are ended. Each is closed by itself.
 * @param count 1 to MAX_GUESTS
 * @throws UserError as `bootVm`, with the name of the guest
 */
export async function bootGuests(options: VmOptions, count: number): Promise<readonly Vm[]> {
  const parts = await partsOf({ ...options, network: count > 1 });
  const scratch = new Scratch();
  let server: DeviceServer | undefined;
  let ethernet: EthernetSwitch | undefined;
  let closing: Promise<void> | undefined;
  const closeAll = () => {
    closing ??= (async () => {
      ethernet?.close();
      await server?.close();
      scratch.close();
    })();
    return closing;
  };
  try {
    const folders = Array.from({ length: count }, (_, i) => scratch.file(`guest${i}`));
    for (const folder of folders) mkdirSync(folder);
    const slowdown = parts.accelerator === 'tcg' ? TCG_SLOWDOWN : 1;
    server = await DeviceServer.start(options.machine, folders, { slowdown, ...options.devices });
    const socket = scratch.file('ethernet');
    if (count > 1) ethernet = await EthernetSwitch.listen(socket);
    // A defect of ours in the devices ends the guests, with that defect as the reason; and so does one that does not come up.
    const failure = new AbortController();
    void server.ended.then((error) => error && failure.abort(error));
    const signal = options.signal ? AbortSignal.any([options.signal, failure.signal]) : failure.signal;
    const left = new Set(folders.keys());
    const hosts = ['127.0.0.1 localhost', ...folders.map((_, i) => `${addressOf(i)} guest${i}`)];
    const starting = server.machines.map(async (served, i) => {
      const name = `guest${i}`;
      const mac = `52:54:00:00:00:${(i + 1).toString(16).padStart(2, '0')}`;
      const network = ethernet && { address: addressOf(i), hosts: `${hosts.join('\n')}\n`, mac, socket };
      const release = async () => {
        left.delete(i);
        if (left.size === 0) await closeAll();
      };
      const env = { SAGRADA_GUEST: String(i), SAGRADA_GUESTS: String(count) };
      try {
        return new Vm(await startGuest(parts, { ...options, signal }, served, { name, env, network, release }));
      } catch (error) {
        const named = count > 1 && error instanceof UserError && !signal.aborted;
        const reason = named ? new UserError(`${name}: ${error.message}`) : error;
        failure.abort(reason);
        throw reason;
      }
    });
    const settled = await Promise.allSettled(starting);
    if (!signal.aborted) return settled.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
    for (const result of settled) if (result.status === 'fulfilled') await result.value.close();
    throw signal.reason;
  } catch (error) {
    await closeAll();
    throw error;
  }
}

/** In the network between guests. */
function addressOf(guest: number): string {
  return `10.0.0.${guest + 1}`;
}

/** What guests that are started together have in common. */
type Parts = Awaited<ReturnType<typeof partsOf>>;

/**
 * Boots a guest and waits until the driver has brought up every device of the machine. Prepares the guest first where
 * that has not been done.
 * @throws UserError where something is missing, the guest does not start, or a device does not come up.
 */
export async function bootVm(options: VmOptions): Promise<Vm> {
  const [vm] = await bootGuests(options, 1);
  return vm as Vm;
}

async function partsOf(options: VmOptions & { readonly network: boolean }) {
  const { signal } = options;
  const machine = machineDescription(options.machine);
  const memory = options.memory ?? DEFAULT_MEMORY;
  if (memory < LEAST_MEMORY) throw new UserError(`a guest needs at least ${LEAST_MEMORY / 2 ** 20} MiB of memory`);
  const binds = bindFolders(options.binds ?? []);

  const cards = countOf(machine, 'gaudi');
  const nics = countOf(machine, 'efa');
  const wantsTree = options.drivers?.needTree;
  const { kernel: stock, qemu, init, release } = await prepare({ ...options, nic: nics > 0, drivers: wantsTree });
  const given = await options.drivers?.build({ ...options, kernel: stock, release });
  const kernel = given ? withDrivers(stock, given) : stock;
  const accelerator = await chooseAccelerator(options.accelerator, {
    cache: options.cache,
    qemu,
    kernel,
    init,
    signal,
  });
  const { drivers, helper } = await driverModules(kernel, options);
  const optional = OPTIONAL_MODULES.filter((name) => kernel.modules.has(name));
  const network = options.network ? NETWORK_MODULES : [];
  const oneByOne = options.fixups !== false && cards > 1;
  // Before the drivers of the cards, whose devices may have to wait for each other.
  const nicDriver = nics > 0 ? await kernel.nicModules().load(NIC_MODULES) : [];
  const initramfs = {
    init,
    early: await kernel.modules.load(EARLY_MODULES),
    files: [...(await kernel.modules.load([...FILE_MODULES, ...optional, ...network])), ...nicDriver],
    drivers,
    oneByOne,
    binds,
    hugePages: HUGE_PAGES,
    trace: options.trace,
  };
  given?.check([...initramfs.early, ...initramfs.files, ...drivers.map(({ module }) => module)], options.machine);
  const programs = nics > 0 ? [path.join(parts(options.cache).rdma, 'bin')] : [];
  return { machine, memory, binds, cards, nics, kernel, qemu, accelerator, helper, oneByOne, initramfs, programs };
}

async function startGuest(common: Parts, options: VmOptions, served: ServedMachine, place: Place): Promise<Boot> {
  const { machine, memory, binds, cards, nics, kernel, qemu, accelerator, helper, oneByOne, programs } = common;
  const { signal } = options;
  const { name, network } = place;
  const archive = await buildInitramfs({ ...common.initramfs, network: network && { name, ...network } });
  for (let attempt = 1; ; attempt++) {
    const start = performance.now();
    const scratch = new Scratch();
    let running: Running | undefined;
    try {
      const image = kernel.unpacked ? scratch.write('vmlinux', kernel.unpacked) : kernel.image;
      running = await Running.start(
        qemu,
        (paths) => ({
          ...paths,
          accelerator,
          memory,
          cpus: options.cpus ?? 2,
          kernel: image,
          append: [...kernelArguments(machine), kernel.append ?? '', options.append ?? ''].join(' '),
          shares: [
            { tag: ROOT_TAG, path: '/', writable: false },
            ...binds.map((bind) => ({ ...bind, writable: true })),
          ],
          devices: qemuDeviceArguments(machine, (device) => served.socket(device)),
          network,
        }),
        archive,
        scratch,
        signal,
        options.patience,
      );
      const devices = await running.devices();
      checkDevices(devices, cards, nics, running.records, await served.report());
      const seconds = (performance.now() - start) / 1000;
      const { title, notes = [] } = kernel;
      return { title, notes, accelerator, helper, oneByOne, programs, devices, seconds, running, served, place };
    } catch (error) {
      if (running && error instanceof UserError && !signal?.aborted) options.onFailedLog?.(running.logText());
      await running?.close();
      scratch.close();
      signal?.throwIfAborted();
      // Seen in a few boots of a hundred on a busy host, before the kernel has found its devices; no cause is known.
      if (!(error instanceof StalledError) || attempt >= ATTEMPTS) throw error;
      options.say(`${error.message}; trying once more`);
    }
  }
}

/** The drivers in order, with the helper before the one that needs it. */
async function driverModules(kernel: GuestKernel, options: VmOptions) {
  const modules = await kernel.modules.load(DRIVER_MODULES);
  const driver = modules.at(-1);
  const rest = modules.slice(0, -1);
  const parameters = (options.moduleParameters ?? []).join(' ');
  let helper: Module | undefined;
  if (options.fixups !== false && driver && !driverIsFixed(driver)) helper = await kernel.guestModule('sagrada_helper');
  // It changes no driver: it is there with or without fix-ups.
  const importer =
    driver && countOf(machineDescription(options.machine), 'gaudi') > 0
      ? await kernel.guestModule('sagrada_importer')
      : undefined;
  const drivers = [
    ...rest.map((module) => ({ module, parameters: '' })),
    ...(helper ? [{ module: helper, parameters: '' }] : []),
    ...(importer ? [{ module: importer, parameters: '' }] : []),
    ...(driver ? [{ module: driver, parameters }] : []),
  ];
  return { drivers, helper: helper !== undefined };
}

function checkDevices(
  devices: readonly BootedDevice[],
  wanted: number,
  nics: number,
  log: readonly LogRecord[],
  report: DeviceReport,
): void {
  const usable = devices.filter((device) => device.status === OPERATIONAL);
  const registered = log.filter(({ text }) => NIC_REGISTERED.test(text)).length;
  if (usable.length === wanted && devices.length === wanted && registered === nics) return;
  const drivers = registered === nics ? /habanalabs|accel/ : /\befa\b|infiniband/;
  const lines = log.filter(({ level, text }) => level <= 4 && drivers.test(text)).map(({ text }) => text);
  for (const { name, errors } of report.devices) lines.push(...errors.map(({ message }) => `${name}: ${message}`));
  const states = devices.map(({ name, address, status }) => `${name} (${address}): ${status}`).join(', ');
  throw new UserError(
    `the drivers have brought up ${usable.length} of ${wanted} cards and ${registered} of ${nics} NICs${states ? ` [${states}]` : ''}` +
      (lines.length > 0 ? `; it says:\n${lines.slice(-12).join('\n')}` : ''),
  );
}

function bindFolders(folders: readonly string[]): { tag: string; path: string }[] {
  const real = folders.map((folder) => {
    if (!existsSync(folder) || !statSync(folder).isDirectory()) throw new UserError(`--bind ${folder}: no such folder`);
    return realpathSync(folder);
  });
  // Those above before those inside them.
  return [...new Set(real)].sort().map((folder, i) => ({ tag: `bind${i}`, path: folder }));
}

/** Variables of ours that a command in the guest sees. */
const CARRIED = /^(HOME|TERM|LANG|LC_.*|TZ|USER|LOGNAME|SHELL|COLORTERM|NO_COLOR|FORCE_COLOR|CI|NODE_.*|SAGRADA_.*)$/;

/** @param programs folders with programs besides the host's own */
function guestEnvironment(programs: readonly string[]): Record<string, string> {
  const carried = Object.entries(process.env).filter(([name, value]) => CARRIED.test(name) && value !== undefined);
  // The Node that runs us is the one that `node` means in the guest.
  const folders = [path.dirname(process.execPath), ...(process.env.PATH ?? '/usr/bin:/bin').split(':'), ...programs];
  return { TERM: 'dumb', ...Object.fromEntries(carried), PATH: [...new Set(folders)].join(':'), TMPDIR: '/tmp' };
}
