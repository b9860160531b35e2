/** The thread that serves a machine's devices to QEMU, as seen from the main thread. */

import path from 'node:path';
import { Worker } from 'node:worker_threads';
import type { Limits } from '../../efa/limits.ts';
import type { GaudiStats } from '../../gaudi/device.ts';
import type { Protocol } from '../../gaudi/firmware.ts';
import type { Traffic } from '../../pci/fabric.ts';
import type { ErrorCount } from '../../sim/errors.ts';
import { UserError } from '../../sim/errors.ts';
import type { RegisterUse } from '../../sim/registers.ts';
import { wake } from '../../vfio-user/reactor.ts';
import { machineDescription, machineDevices } from '../machines.ts';

export interface DeviceServerOptions {
  /** Slows engines down: nanoseconds by the engine's name, e.g. `DMA0`. */
  readonly delays?: Readonly<Record<string, number>>;
  /** How many times as long transfers take as on the card; default 1. */
  readonly slowdown?: number;
  /** What the NICs have less of, or more, than others. */
  readonly nicLimits?: Partial<Limits>;
  /** Seed of what is random in the devices. */
  readonly seed?: number;
  /** How a card loads its firmware; default `comms`. */
  readonly firmware?: Protocol;
  /** Counts the uses of each register. */
  readonly traceRegisters?: boolean;
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
  /** What the devices have moved, among each other and to and from the host's memory. */
  readonly traffic: readonly Readonly<Traffic>[];
  /** CPU time of the serving thread so far, microseconds. */
  readonly cpu: number;
  /** What the vfio-user servers had to say. */
  readonly messages: readonly string[];
}

export interface WorkerInput {
  readonly machine: string;
  readonly sockets: Readonly<Record<string, string>>;
  readonly options: DeviceServerOptions;
}

export type ToWorker = { readonly type: 'report' } | { readonly type: 'stop' };
export type FromWorker =
  | { readonly type: 'ready'; readonly wakeFd: number }
  | { readonly type: 'report'; readonly report: DeviceReport }
  | { readonly type: 'failed'; readonly message: string };

const NOTHING: DeviceReport = { devices: [], traffic: [], cpu: 0, messages: [] };

export class DeviceServer {
  readonly #worker: Worker | undefined;
  readonly #sockets: Readonly<Record<string, string>>;
  readonly #wakeFd: number;
  readonly #reports: ((report: DeviceReport) => void)[] = [];
  readonly #ended: Promise<Error | undefined>;
  #last: DeviceReport = NOTHING;

  private constructor(
    worker: Worker | undefined,
    sockets: Readonly<Record<string, string>>,
    wakeFd: number,
    ended: Promise<Error | undefined>,
  ) {
    this.#worker = worker;
    this.#sockets = sockets;
    this.#wakeFd = wakeFd;
    this.#ended = ended;
    worker?.on('message', (message: FromWorker) => {
      if (message.type !== 'report') return;
      this.#last = message.report;
      for (const resolve of this.#reports.splice(0)) resolve(message.report);
    });
  }

  /**
   * Builds the machine's devices and serves each on a socket in `folder`.
   * @throws UserError where a socket cannot be made.
   */
  static async start(machine: string, folder: string, options: DeviceServerOptions): Promise<DeviceServer> {
    const devices = machineDevices(machineDescription(machine));
    const sockets = Object.fromEntries(devices.map(({ name }) => [name, path.join(folder, name)]));
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

  /** Path of the socket that serves a device. */
  socket(device: string): string {
    const socket = this.#sockets[device];
    if (socket === undefined) throw new Error(`no device ${device}`);
    return socket;
  }

  /** What has happened so far. @throws the defect that ended the thread, if one did. */
  async report(): Promise<DeviceReport> {
    if (!this.#worker) return this.#last;
    const answer = new Promise<DeviceReport>((resolve) => this.#reports.push(resolve));
    this.#send({ type: 'report' });
    const result = await Promise.race([answer, this.#ended]);
    if (result instanceof Error) throw result;
    return result ?? this.#last;
  }

  async close(): Promise<void> {
    if (!this.#worker) return;
    this.#send({ type: 'stop' });
    await this.#ended;
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
