/** A guest in which one driver after the other is tried, without booting for each. */

import { execFileSync } from 'node:child_process';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { agentBundle } from '../../src/exercise/bundle.ts';
import type { Result, RunEvent } from '../../src/exercise/events.ts';
import { judge } from '../../src/exercise/refusals.ts';
import { Orders } from '../../src/exercise/remote.ts';
import type { RunConfig } from '../../src/exercise/selection.ts';
import type { Command } from '../../src/machine/vm/agent.ts';
import { GivenDrivers } from '../../src/machine/vm/given-drivers.ts';
import { bootVm, type Vm, type VmOptions } from '../../src/machine/vm/vm.ts';

/** What came of a driver. */
export interface Outcome {
  /** The first test that failed, or what else went wrong; undefined: nothing was noticed. */
  readonly noticedBy: string | undefined;
  /** All tests that failed, where it did not end with the first. */
  readonly failed: readonly string[];
  /** All that were run. */
  readonly done: readonly string[];
  readonly message: string;
  readonly tests: number;
  readonly seconds: number;
  /** The guest cannot be used any more. */
  readonly dead: boolean;
}

/** What swapping drivers ends with when the one before cannot be taken out (swap.c), and ms after which it is waiting for ever. */
const STUCK = 3;
const PATIENCE = 60_000;
/** Seconds a test may be silent beyond its own time. */
const GRACE = 20;

export class Station implements AsyncDisposable {
  readonly #options: VmOptions;
  readonly #folder: string;
  #vm: Vm | undefined;

  constructor(options: VmOptions) {
    this.#options = options;
    this.#folder = path.join(options.cache, 'run', `broken-${process.pid}`);
    mkdirSync(this.#folder, { recursive: true });
    const source = path.join(import.meta.dirname, 'swap.c');
    execFileSync('cc', ['-O1', '-static', '-o', path.join(this.#folder, 'swap'), source]);
  }

  /** Runs tests with a driver until one fails. @param module the driver's bytes @param on go on when one has failed */
  async try(name: string, module: Uint8Array, config: RunConfig, on = false): Promise<Outcome> {
    const begin = performance.now();
    const outcome = await this.#attempt(name, module, config, on);
    if (outcome.dead) await this.#end();
    return { ...outcome, seconds: (performance.now() - begin) / 1000 };
  }

  async #attempt(name: string, module: Uint8Array, config: RunConfig, on: boolean): Promise<Omit<Outcome, 'seconds'>> {
    const done: string[] = [];
    const all: Result[] = [];
    const ended = (noticedBy: string | undefined, message: string, dead: boolean) => {
      return { noticedBy, message, tests: done.length, dead, done, failed: all.map(({ id }) => id) };
    };
    try {
      const file = path.join(this.#folder, `${name}.ko`);
      writeFileSync(file, module);
      let said = '';
      const hear = (data: Buffer) => {
        said += data.toString();
        return undefined;
      };
      // drivers of network cards are not exchanged in a guest that runs
      if (this.#options.machine !== 'gaudi-x2') {
        await this.#end();
        this.#vm = await bootVm({ ...this.#options, drivers: new GivenDrivers([], [file]) });
      }
      for (let attempt = 0; this.#options.machine === 'gaudi-x2'; attempt++) {
        this.#vm ??= await bootVm(this.#options);
        said = '';
        const swap = this.#vm.run([path.join(this.#folder, 'swap'), file], { onStderr: hear });
        swap.catch(() => {});
        const status = await Promise.race([swap, setTimeout(PATIENCE, STUCK, { ref: false })]);
        if (status === 0) break;
        // the one before has left something behind
        if (status !== STUCK || attempt > 0) return ended('(the driver is loaded)', said.trim(), true);
        await this.#end();
      }
      const vm = this.#vm as Vm;
      const known = vm.unexpected().length;
      const last = await runTests(vm, await agentBundle(this.#folder), config, (result) => {
        done.push(result.id);
        if (result.status === 'failed') all.push(result);
        return on || result.status !== 'failed';
      });
      if (last) {
        all.push(last);
        done.push(last.id);
      }
      const complaint = vm.unexpected()[known];
      const dead = complaint !== undefined || last !== undefined;
      const [failed] = all;
      if (failed) return ended(failed.id, failed.failure?.message ?? '', dead);
      if (complaint) return ended('(the log of the kernel)', complaint.text, dead);
      return ended(undefined, '', dead);
    } catch (error) {
      return ended('(the guest has ended)', (error as Error).message, true);
    }
  }

  async #end(): Promise<void> {
    const vm = this.#vm;
    this.#vm = undefined;
    vm?.powerOff();
    await vm?.close().catch(() => {});
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#end();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

/** @param told each result; whether to go on. @returns the test that hung, or ended the exerciser */
async function runTests(
  vm: Vm,
  bundle: string,
  config: RunConfig,
  told: (result: Result) => boolean,
): Promise<Result | undefined> {
  const orders = new Orders();
  let command: Command | undefined;
  let stopped = false;
  let current = { id: '(before the first test)', timeout: config.timeout };
  let since = performance.now();
  let rest = '';
  const known = new Map<string, number>();
  const examine = async (reported: Result) => {
    const report = await vm.deviceReport();
    const refusals = report.devices.flatMap(({ name, errors }) =>
      errors.flatMap(({ category, where, message, count }) => {
        const key = `${name} ${category} ${where}`;
        const more = count > (known.get(key) ?? 0);
        known.set(key, count);
        return more ? [{ device: name, message }] : [];
      }),
    );
    const result = judge(reported, refusals);
    if (told(result)) orders.send(Uint8Array.of(0x0a));
    else {
      stopped = true;
      command?.signal(9);
    }
  };
  const hear = (line: string) => {
    if (!line.startsWith('{"type":')) return;
    const event = JSON.parse(line) as RunEvent;
    since = performance.now();
    if (event.type === 'start') current = event;
    if (event.type === 'result') void examine(event.result);
  };
  // what models have refused before does not count
  for (const { name, errors } of (await vm.deviceReport()).devices)
    for (const { category, where, count } of errors) known.set(`${name} ${category} ${where}`, count);
  const running = vm.run([process.execPath, bundle, JSON.stringify(config)], {
    stdin: orders,
    onStart: (started) => {
      command = started;
    },
    onStdout: (data) => {
      const lines = (rest + data.toString()).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) hear(line);
    },
  });
  const hung = new Promise<'hung'>((resolve) => {
    const watch = setInterval(() => {
      if ((performance.now() - since) / 1000 < current.timeout + GRACE) return;
      clearInterval(watch);
      resolve('hung');
    }, 1000);
    void running.catch(() => {}).finally(() => clearInterval(watch));
  });
  const status = await Promise.race([running, hung]);
  if (stopped || status === 0) return undefined;
  const [suite = '', name = ''] = current.id.split(/: (.*)/s, 2);
  const message = status === 'hung' ? 'it hangs' : `the exerciser ended with status ${status}`;
  return { id: current.id, suite, name, status: 'failed', ms: 0, failure: { message }, messages: [] };
}
