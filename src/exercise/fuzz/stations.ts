/** Where sequences are performed: a worker thread with the model of the driver, or a guest with the driver itself. */

import { rm } from 'node:fs/promises';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import type { ModelMachineOptions } from '../../machine/model.ts';
import { isAlarm } from '../../machine/vm/kernel-log.ts';
import { bootVm, type Vm, type VmOptions } from '../../machine/vm/vm.ts';
import { bundle } from '../bundle.ts';
import { Orders } from '../remote.ts';
import type { Course } from './course.ts';
import type { Station } from './target.ts';

export class ModelStation implements Station {
  readonly name = 'model';
  readonly system = 'the model of the driver';
  readonly #options: ModelMachineOptions;
  #worker: Worker | undefined;

  constructor(options: ModelMachineOptions) {
    this.#options = options;
  }

  async start(onLine: (line: string) => void): Promise<{ ended: Promise<string> }> {
    await this.stop();
    const worker = new Worker(new URL('./lane.ts', import.meta.url), { workerData: this.#options });
    this.#worker = worker;
    const { promise: ended, resolve } = Promise.withResolvers<string>();
    worker.on('message', onLine);
    worker.on('error', (error) => resolve(error instanceof Error ? (error.stack ?? error.message) : String(error)));
    worker.on('exit', (status) => resolve(`the worker thread ended with status ${status}`));
    return { ended };
  }

  send(line: string): void {
    this.#worker?.postMessage(line);
  }

  async examine(): Promise<Pick<Course, 'refusals' | 'alarms'>> {
    return { refusals: [], alarms: [] };
  }

  async stop(): Promise<void> {
    await this.#worker?.terminate();
    this.#worker = undefined;
  }
}

/** Lines of a guest that has died that are kept. */
const LAST_WORDS = 40;

export class VmStation implements Station {
  readonly name = 'vm';
  readonly #options: VmOptions;
  readonly #folder: string;
  #vm: Vm | undefined;
  #input = new Orders();
  #alarms: string[] = [];
  readonly #known = new Map<string, number>();

  /** @param folder where the program for the guest is put */
  constructor(options: VmOptions, folder: string) {
    this.#options = options;
    this.#folder = folder;
  }

  get system(): string {
    return this.#vm?.title ?? 'not booted';
  }

  /** @throws UserError when the guest does not come up */
  async start(onLine: (line: string) => void): Promise<{ ended: Promise<string> }> {
    await this.#end();
    const vm = await bootVm(this.#options);
    this.#vm = vm;
    this.#known.clear();
    this.#alarms = [];
    vm.onUnexpected((record) => {
      if (isAlarm(record)) this.#alarms.push(record.text);
    });
    const program = await bundle(fileURLToPath(new URL('./agent.ts', import.meta.url)), this.#folder);
    this.#input = new Orders();
    let rest = '';
    const noise: string[] = [];
    const decoder = new TextDecoder();
    const hear = (data: Buffer) => {
      const lines = (rest + decoder.decode(data, { stream: true })).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) {
        if (!line.startsWith('{"type":')) noise.push(line);
        onLine(line);
      }
    };
    const ended = vm
      .run([process.execPath, program], {
        stdin: this.#input,
        onStdout: (data) => void hear(data),
        onStderr: (data) => void hear(data),
      })
      .then(
        (status) => [`the program in the guest ended with status ${status}`, ...noise.slice(-10)].join('\n'),
        (error: unknown) => {
          this.#alarms.push(...vm.logText().trimEnd().split('\n').slice(-LAST_WORDS));
          return `the guest is gone: ${error instanceof Error ? error.message : String(error)}`;
        },
      );
    return { ended };
  }

  send(line: string): void {
    this.#input.send(Buffer.from(`${line}\n`));
  }

  async examine(): Promise<Pick<Course, 'refusals' | 'alarms'>> {
    const refusals: string[] = [];
    const { devices = [] } = (await this.#vm?.deviceReport()) ?? {};
    for (const { name, errors } of devices) {
      for (const { category, where, message, count } of errors) {
        const key = `${name} ${category} ${where}`;
        if (category !== 'guest' && count > (this.#known.get(key) ?? 0)) refusals.push(`${name}: ${message}`);
        this.#known.set(key, count);
      }
    }
    const alarms = this.#alarms;
    this.#alarms = [];
    return { refusals, alarms };
  }

  async stop(): Promise<void> {
    await this.#end();
    await rm(this.#folder, { recursive: true, force: true });
  }

  async #end(): Promise<void> {
    const vm = this.#vm;
    this.#vm = undefined;
    await vm?.close();
  }
}
