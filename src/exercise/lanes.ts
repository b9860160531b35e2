/**
 * Runs suites side by side, each on a machine of its own in a worker thread: what a suite does depends on nothing that
 * ran before it, and a test that never ends can be given up. Events are told in the order of the suites, whichever ends first.
 */

import { Worker } from 'node:worker_threads';
import { ModelMachine, type ModelMachineOptions } from '../machine/model.ts';
import type { TracePlace } from '../machine/trace.ts';
import type { Result, RunEvent } from './events.ts';
import { divide } from './needs.ts';
import { runRemotely, type Station } from './remote.ts';
import { chosenTests, type RunConfig } from './selection.ts';
import type { Moved } from './suite.ts';

export interface LaneOptions {
  readonly machine: ModelMachineOptions;
  /** The machine of a suite that is run on another. */
  readonly machineOf?: (suite: string) => string | undefined;
  /** Suites that run at a time, at most. */
  readonly jobs: number;
  /** File that all machines record what happens into; `createTraceFile` has made it. */
  readonly trace?: string;
  /** All suites on one machine, one after the other: a comparison wants what ran before to be the same. */
  readonly together?: boolean;
  /** Ends the run at once. */
  readonly signal: AbortSignal;
}

/** @returns the results, which `emit` has been told of too. @throws the signal's reason, or what kept a machine from starting */
export async function runInLanes(
  config: RunConfig,
  { machine, machineOf, jobs, trace, together = false, signal }: LaneOptions,
  emit: (event: RunEvent) => void,
): Promise<readonly Result[]> {
  const machineFor = (suite: string) => ({ ...machine, machine: machineOf?.(suite) ?? machine.machine });
  const { run, leftOut } = planned(config, machineFor);
  const tests = run.map(({ id, suite, name }) => ({ id, suite, name }));
  emit({ type: 'plan', tests, ...(leftOut.length > 0 ? { leftOut } : {}) });
  const suites = together ? [tests] : [...Map.groupBy(tests, ({ suite }) => suite).values()];
  const results: Result[] = [];
  const queue = new InOrder<RunEvent>(suites.length, (event) => {
    if (event.type === 'result') results.push(event.result);
    emit(event);
  });
  let next = 0;
  const stations = Array.from({ length: Math.min(jobs, suites.length) }, () => new WorkerStation(suites.length));
  const lane = async (station: WorkerStation) => {
    for (let i = next++; i < suites.length; i = next++) {
      const list = suites[i] ?? [];
      const only = list.map(({ id }) => id);
      station.machine = machineFor(list[0]?.suite ?? '');
      if (trace !== undefined) {
        const root = together ? 'model' : (list[0]?.suite ?? '');
        station.trace = { file: trace, root, sequence: i + 1 };
      }
      await runRemotely(station, { ...config, only }, (event) => {
        if ((event.type === 'start' || event.type === 'result') && !signal.aborted) queue.add(i, event);
      });
      queue.end(i);
    }
  };
  const stopped = new AbortController();
  const interrupted = new Promise<never>((_, reject) => {
    const end = () => reject(signal.reason);
    if (signal.aborted) end();
    signal.addEventListener('abort', end, { once: true, signal: stopped.signal });
  });
  try {
    await Promise.race([Promise.all(stations.map(lane)), interrupted]);
  } catch (error) {
    queue.flush();
    throw error;
  } finally {
    stopped.abort();
    await Promise.all(stations.map((station) => station.close()));
  }
  emit({ type: 'end' });
  return results;
}

function planned(config: RunConfig, machineFor: (suite: string) => ModelMachineOptions) {
  const tests = chosenTests(config);
  if (tests.every((test) => test.options.needs === undefined)) return { run: tests, leftOut: [] };
  const parts = [...Map.groupBy(tests, ({ suite }) => machineFor(suite).machine).values()].map((list) => {
    using machine = new ModelMachine(machineFor(list[0]?.suite ?? ''));
    return divide(list, machine.driver);
  });
  const kept = new Set(parts.flatMap(({ run }) => run));
  return { run: tests.filter((test) => kept.has(test)), leftOut: parts.flatMap(({ leftOut }) => leftOut) };
}

/** Passes on what several sources tell, source after source. */
class InOrder<T> {
  readonly #kept: (T[] | undefined)[];
  readonly #tell: (item: T) => void;
  readonly #ended: boolean[];
  #first = 0;

  constructor(sources: number, tell: (item: T) => void) {
    this.#kept = Array.from({ length: sources }, () => []);
    this.#ended = Array.from({ length: sources }, () => false);
    this.#tell = tell;
  }

  add(source: number, item: T): void {
    if (source === this.#first) this.#tell(item);
    else this.#kept[source]?.push(item);
  }

  end(source: number): void {
    this.#ended[source] = true;
    while (this.#ended[this.#first]) {
      this.#first++;
      this.#take(this.#first);
    }
  }

  /** Tells all that is there, whoever has not ended. */
  flush(): void {
    for (let i = 0; i < this.#kept.length; i++) this.#take(i);
  }

  #take(source: number): void {
    for (const item of this.#kept[source] ?? []) this.#tell(item);
    this.#kept[source] = [];
  }
}

/** A worker thread that runs lists of tests, one after the other. */
class WorkerStation implements Station {
  readonly system = 'the worker thread';
  /** Where the next list runs, and where it is recorded. */
  machine: ModelMachineOptions | undefined;
  trace: TracePlace | undefined;
  readonly #lists: number;
  #worker: Worker | undefined;
  #closed = false;

  /** @param lists of tests that there are, for all stations */
  constructor(lists: number) {
    this.#lists = lists;
  }

  launch(config: RunConfig, onLine: (line: string) => void): Promise<number> {
    this.#worker ??= this.#start();
    const worker = this.#worker;
    const { promise, resolve, reject } = Promise.withResolvers<number>();
    const hear = (line: string) => {
      if (line === '') resolve(0);
      else onLine(line);
    };
    worker.on('message', hear).on('error', reject).on('exit', resolve);
    const { trace } = this;
    worker.postMessage({ config, machine: trace ? { ...this.machine, trace } : this.machine });
    // what is launched again begins anew, on another machine
    if (trace) this.trace = { ...trace, sequence: trace.sequence + this.#lists, root: `${trace.root} again` };
    return promise.finally(() => worker.off('message', hear).off('error', reject).off('exit', resolve));
  }

  /** Judged where it ran. */
  async examine(result: Result): Promise<Result> {
    return result;
  }

  async restart(): Promise<void> {
    if (this.#closed) throw new Error('the run has ended');
    await this.#end();
  }

  lastWords(): readonly string[] {
    return [];
  }

  /** Tests that run here ask the machine itself. */
  async traffic(): Promise<readonly Moved[]> {
    return [];
  }

  /** Ends what runs, for good. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#end();
  }

  async #end(): Promise<void> {
    const worker = this.#worker;
    this.#worker = undefined;
    await worker?.terminate();
  }

  #start(): Worker {
    const worker = new Worker(new URL('./lane.ts', import.meta.url));
    // whoever is told of it is in launch()
    worker.on('error', () => {});
    return worker;
  }
}
