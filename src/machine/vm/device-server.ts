/** The thread that serves the devices of one or more machines to QEMU, as seen from the main thread. */

import path from 'node:path';
import { Worker } from 'node:worker_threads';
import type { Limits } from '../../efa/limits.ts';
import type { Impairments } from '../../efa/network.ts';
import type { GaudiStats } from '../../gaudi/device.ts';
import type { Protocol } from '../../gaudi/firmware.ts';
import type { Traffic } from '../../pci/fabric.ts';
import type { ErrorCount } from '../../sim/errors.ts';
import { UserError } from '../../sim/errors.ts';
import type { RegisterUse } from '../../sim/registers.ts';
import { wake } from '../../vfio-user/reactor.ts';
import { checkFaults, type FaultOrder } from '../faults.ts';
import { machineDescription, machineDevices } from '../machines.ts';
import type { TracePlace } from '../trace.ts';

export interface DeviceServerOptions {
  /** Slows engines down: nanoseconds by the engine's name, e.g. `DMA0`. */
  readonly delays?: Readonly<Record<string, number>>;
  /** How many times as long transfers take as on the card; default 1. */
  readonly slowdown?: number;
  /** Seed of what is random in the devices. */
  readonly seed?: number;
  /** How a card loads its firmware; default `comms`. */
  readonly firmware?: Protocol;
  /** What goes wrong: `[CARD/]NAME[:word[.word]][@when]` each; with several guests, in each of them. */
  readonly faults?: readonly string[];
  /** Counts the uses of each register. */
  readonly traceRegisters?: boolean;
  /** Where what happens in the devices is recorded; several machines have numbers one after the other. */
  readonly trace?: TracePlace;
  /** What the NICs have less of, or more, than others. */
  readonly nicLimits?: Partial<Limits>;
  /** What the network of the NICs does to packets, and the seed of its chances (default: `seed`); default: nothing. */
  readonly network?: Impairments & { readonly seed?: number };
}

/** A machine that has been given to a guest, and where its devices are served. */
export interface ServedMachine {
  /** Path of the UNIX socket that serves a device. @throws Error where there is no such device */
  socket(device: string): string;
  /** What has happened so far. @throws the defect that ended the thread, if one did. */
  report(): Promise<DeviceReport>;
  /** Asks something of the faults of its cards. @returns those that have happened. @throws UserError for no fault */
  faults(order: FaultOrder): Promise<readonly string[]>;
}

export interface DeviceReport {
  readonly devices: readonly {
    readonly name: string;
    /** What the model refused. */
    readonly errors: readonly ErrorCount[];
    /** Every register that was touched. */
    readonly registers: readonly RegisterUse[];
    /** Of a card; of a NIC its counters, objects and admin commands. */
    readonly stats: GaudiStats | Readonly<Record<string, number>>;
  }[];
  /** What the devices have moved, among each other and to and from the memory of their guest (`host`). */
  readonly traffic: readonly Readonly<Traffic>[];
  /** Packets that the NICs of all guests have sent, and how many of them did not arrive. */
  readonly network: { readonly carried: number; readonly lost: number };
  /** CPU time of the serving thread so far, microseconds. */
  readonly cpu: number;
  /** What the vfio-user servers had to say. */
  readonly messages: readonly string[];
}

export interface WorkerInput {
  readonly machine: string;
  /** Of each guest's machine: path by the device's name. */
  readonly sockets: readonly Readonly<Record<string, string>>[];
  readonly options: DeviceServerOptions;
}

export type ToWorker =
  | { readonly type: 'report' }
  | { readonly type: 'faults'; readonly guest: number; readonly order: FaultOrder }
  | { readonly type: 'stop' };
export type FromWorker =
  | { readonly type: 'ready'; readonly wakeFd: number }
  | { readonly type: 'report'; readonly reports: readonly DeviceReport[] }
  | { readonly type: 'faults'; readonly happened: readonly string[]; readonly refused?: string }
  | { readonly type: 'failed'; readonly message: string };

type FaultAnswer = Extract<FromWorker, { type: 'faults' }>;

const NOTHING: DeviceReport = { devices: [], traffic: [], network: { carried: 0, lost: 0 }, cpu: 0, messages: [] };

export class DeviceServer {
  readonly machines: readonly ServedMachine[];
  readonly #worker: Worker | undefined;
  readonly #wakeFd: number;
  readonly #waiting: (() => void)[] = [];
  readonly #ordered: ((answer: FaultAnswer) => void)[] = [];
  readonly #ended: Promise<Error | undefined>;
  #last: readonly DeviceReport[] = [];

  private constructor(
    worker: Worker | undefined,
    sockets: readonly Readonly<Record<string, string>>[],
    wakeFd: number,
    ended: Promise<Error | undefined>,
  ) {
    this.#worker = worker;
    this.#wakeFd = wakeFd;
    this.#ended = ended;
    this.machines = sockets.map((paths, guest) => ({
      socket: (device) => {
        const socket = paths[device];
        if (socket === undefined) throw new Error(`no device ${device}`);
        return socket;
      },
      report: async () => (await this.#reports())[guest] ?? NOTHING,
      faults: (order) => this.#faults(guest, order),
    }));
    worker?.on('message', (message: FromWorker) => {
      if (message.type === 'faults') this.#ordered.shift()?.(message);
      if (message.type !== 'report') return;
      this.#last = message.reports;
      for (const resolve of this.#waiting.splice(0)) resolve();
    });
  }

  /**
   * Builds the devices of a machine, or of several alike whose NICs are in one network, and serves each on a socket.
   * @param folders for the sockets, one for each machine
   * @throws UserError where a socket cannot be made.
   */
  static async start(machine: string, folders: readonly string[], options: DeviceServerOptions): Promise<DeviceServer> {
    const devices = machineDevices(machineDescription(machine));
    checkFaults(options.faults ?? [], machine);
    const sockets = folders.map((folder) =>
      Object.fromEntries(devices.map(({ name }) => [name, path.join(folder, name)])),
    );
    if (devices.length === 0) return new DeviceServer(undefined, sockets, -1, Promise.resolve(undefined));
    const workerData: WorkerInput = { machine, sockets, options };
    const worker = new Worker(new URL('./device-worker.ts', import.meta.url), { workerData });
    const ended = new Promise<Error | undefined>((resolve) => {
      worker.once('error', (error) => resolve(error as Error));
      worker.once('exit', () => resolve(undefined));
    });
    const ready = new Promise<FromWorker>((resolve) => worker.once('message', resolve));
    const first = await Promise.race([ready, ended]);
    if (first === undefined) throw new Error('the device server ended before it was ready');
    if (first instanceof Error) throw first;
    if (first.type === 'failed') throw new UserError(first.message);
    return new DeviceServer(worker, sockets, first.type === 'ready' ? first.wakeFd : -1, ended);
  }

  /** Settles when the thread has ended; with the defect that ended it, if one did. */
  get ended(): Promise<Error | undefined> {
    return this.#ended;
  }

  async close(): Promise<void> {
    if (!this.#worker) return;
    this.#send({ type: 'stop' });
    await this.#ended;
  }

  async #faults(guest: number, order: FaultOrder): Promise<readonly string[]> {
    if (!this.#worker) return [];
    const answer = new Promise<FaultAnswer>((resolve) => this.#ordered.push(resolve));
    this.#send({ type: 'faults', guest, order });
    const done = await Promise.race([answer, this.#ended]);
    if (done instanceof Error) throw done;
    if (done?.refused !== undefined) throw new UserError(done.refused);
    return done?.happened ?? [];
  }

  /** Of each machine. */
  async #reports(): Promise<readonly DeviceReport[]> {
    if (!this.#worker) return [];
    const answer = new Promise<void>((resolve) => this.#waiting.push(resolve));
    this.#send({ type: 'report' });
    const defect = await Promise.race([answer, this.#ended]);
    if (defect instanceof Error) throw defect;
    return this.#last;
  }

  #send(message: ToWorker): void {
    this.#worker?.postMessage(message);
    try {
      wake(this.#wakeFd);
    } catch {
      // The thread has ended, and its descriptor with it.
    }
  }
}
