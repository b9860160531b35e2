/** The places where `sagrada exercise` runs its suites: this process, or a virtual machine. */

import { writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { availableParallelism, tmpdir } from 'node:os';
import path from 'node:path';
import process from 'node:process';
import { stripVTControlCharacters } from 'node:util';
import type { AgentConfig } from '../exercise/agent.ts';
import { type Contender, runAgreement } from '../exercise/agreement/run.ts';
import { agentBundle } from '../exercise/bundle.ts';
import { type FileCoverage, mergeCode } from '../exercise/coverage/code.ts';
import { commandsIn, GuestCode } from '../exercise/coverage/guest-code.ts';
import { LeakWatch } from '../exercise/coverage/leaks.ts';
import type { Result, RunEvent } from '../exercise/events.ts';
import { runInProcess } from '../exercise/in-process.ts';
import { runInLanes } from '../exercise/lanes.ts';
import { judge, type Refusal } from '../exercise/refusals.ts';
import { runRemotely, type Station } from '../exercise/remote.ts';
import { chosenTests, machineOf } from '../exercise/selection.ts';
import type { Moved } from '../exercise/suite.ts';
import { TrafficMeter } from '../exercise/traffic.ts';
import { checkFaults, type FaultOrder } from '../machine/faults.ts';
import { machineDescription } from '../machine/machines.ts';
import { ModelMachine, type ModelMachineOptions } from '../machine/model.ts';
import { wallTime } from '../machine/trace.ts';
import { COVERAGE_SUFFIX, WATCHED_SLOWDOWN } from '../machine/vm/coverage-config.ts';
import type { DeviceReport } from '../machine/vm/device-server.ts';
import { bootVm, type Vm, type VmOptions } from '../machine/vm/vm.ts';
import { TraceFile } from '../trace/file.ts';
import { TraceRecorder, type Track } from '../trace/recorder.ts';
import { type MachineOptions, machineSetup, traceFile } from './machine-options.ts';
import { progressLine, waiting } from './terminal.ts';

/** What a run needs to know. */
export interface PlaceOptions extends MachineOptions {
  readonly seed: number;
  readonly timeout: number;
  /** Nobody has asked for a machine: on `model` each suite has the one it wants. */
  readonly perSuite?: boolean;
  /** Suites that run at a time on `model`. */
  readonly jobs?: number;
  /** Take down what of the driver's code runs in the guest. */
  readonly coverage?: boolean;
}

/** Where the suites run. */
export interface Place {
  /** What there is, once it is prepared. */
  readonly system: string;
  prepare(): Promise<void>;
  /** @param only these tests, instead of all that were chosen */
  run(emit: (event: RunEvent) => void, only?: readonly string[]): Promise<readonly Result[]>;
  report(): Promise<Pick<DeviceReport, 'devices'>>;
  /** What of the driver's code has run, where that was asked for. */
  code(): Promise<readonly FileCoverage[]>;
  /** What a kernel that watches memory finds lost, by the id of the test that lost it. */
  leaks(): Promise<readonly { readonly id: string; readonly text: string }[]>;
  close(): Promise<void>;
}

/** Suites side by side in worker threads, or one after the other on one machine where its registers are asked for. */
export class InProcess implements Place {
  readonly system = 'the model of the driver in this process';
  readonly #options: PlaceOptions;
  readonly #config: AgentConfig;
  readonly #signal: AbortSignal;
  #machine: ModelMachine | undefined;

  constructor(options: PlaceOptions, config: AgentConfig, signal: AbortSignal) {
    this.#options = options;
    this.#config = config;
    this.#signal = signal;
  }

  get #machineOptions(): ModelMachineOptions {
    const { machine, delay, deviceSeed, firmware, fault } = this.#options;
    return {
      machine,
      ...(delay ? { delays: delay } : {}),
      ...(deviceSeed === undefined ? {} : { seed: deviceSeed }),
      ...(firmware ? { firmware } : {}),
      ...(fault ? { faults: fault } : {}),
    };
  }

  async prepare(): Promise<void> {
    // a machine that does not exist is told of before anything else
    machineDescription(this.#options.machine);
    checkFaults(this.#options.fault ?? [], this.#options.machine);
  }

  async run(emit: (event: RunEvent) => void, only?: readonly string[]): Promise<readonly Result[]> {
    const config = only === undefined ? this.#config : { ...this.#config, only };
    const { traceRegisters, trace, jobs = availableParallelism() } = this.#options;
    const machine = this.#machineOptions;
    const signal = this.#signal;
    const together = config.trace === true;
    if (!traceRegisters) {
      const own = this.#options.perSuite && !together ? { machineOf } : {};
      const traced = trace === undefined ? {} : { trace };
      return runInLanes(config, { machine, ...own, ...traced, jobs, together, signal }, emit);
    }
    const place = trace === undefined ? {} : { trace: { file: trace, sequence: 1, root: 'model' } };
    this.#machine ??= new ModelMachine({ ...machine, ...place });
    return runInProcess(chosenTests(config), this.#machine, config, emit, signal);
  }

  async report(): Promise<Pick<DeviceReport, 'devices'>> {
    const devices = (this.#machine?.cards ?? []).map((card) => ({
      name: card.name,
      errors: card.errors.entries(),
      registers: card.registerUses(),
      stats: card.stats(),
    }));
    return { devices };
  }

  async leaks(): Promise<readonly []> {
    return [];
  }

  /** The model is no kernel's code. */
  async code(): Promise<readonly FileCoverage[]> {
    return [];
  }

  async close(): Promise<void> {
    this.#machine?.[Symbol.dispose]();
  }
}

export class InVm implements Place {
  readonly #config: AgentConfig;
  readonly #bundle: string;
  readonly #station: VmStation;
  readonly #signal: AbortSignal;
  readonly #ended: Promise<never>;
  readonly #tests: TestTrace | undefined;

  constructor(options: PlaceOptions, config: AgentConfig, signal: AbortSignal) {
    this.#config = options.kernel === 'coverage' ? { ...config, slowdown: WATCHED_SLOWDOWN } : config;
    this.#tests = options.trace === undefined ? undefined : new TestTrace(options.trace, traceFile(options.trace));
    // set-up and boot speak on standard error, so that a report on standard output stays whole
    const say = (line: string) => void process.stderr.write(`sagrada: ${line}\n`);
    const setup = machineSetup(options, { say, signal, progress: progressLine(), onFailedLog: keepLog });
    this.#bundle = path.join(setup.cache, 'agent', String(process.pid));
    this.#station = new VmStation(setup, this.#bundle, options.coverage === true);
    this.#signal = signal;
    this.#ended = new Promise<never>((_, reject) => {
      signal.addEventListener('abort', () => reject(signal.reason), { once: true });
    });
    this.#ended.catch(() => {});
  }

  get system(): string {
    return this.#station.title;
  }

  prepare(): Promise<void> {
    return waiting(this.#station.boot());
  }

  run(emit: (event: RunEvent) => void, only?: readonly string[]): Promise<readonly Result[]> {
    const config = only === undefined ? this.#config : { ...this.#config, only };
    // the guest is taken down while it runs a test, which has not failed for that
    const tell = (event: RunEvent) => {
      if (this.#signal.aborted) return;
      this.#tests?.tell(event);
      emit(event);
    };
    return Promise.race([runRemotely(this.#station, config, tell), this.#ended]);
  }

  report(): Promise<Pick<DeviceReport, 'devices'>> {
    return this.#station.report();
  }

  code(): Promise<readonly FileCoverage[]> {
    return this.#station.code();
  }

  leaks(): ReturnType<Place['leaks']> {
    return this.#station.leaks();
  }

  async close(): Promise<void> {
    await this.#station.close();
    this.#tests?.close();
    await rm(this.#bundle, { recursive: true, force: true });
  }
}

/** What a trace tells of tests that run elsewhere. */
class TestTrace {
  readonly #file: TraceFile;
  readonly #track: Track;

  /** @param began milliseconds since 1970 */
  constructor(file: string, began: number) {
    this.#file = new TraceFile(file);
    const options = { sequence: TESTS_SEQUENCE, root: 'exercise', now: () => wallTime(began) };
    const recorder = new TraceRecorder({ sink: this.#file, ...options });
    recorder.track().instant('machine', 'exercise', { clock: 'wall', began, target: 'vm' });
    this.#track = recorder.track('tests');
  }

  tell(event: RunEvent): void {
    if (event.type === 'start') this.#track.begin('test', event.id, {});
    else if (event.type === 'result') {
      const { status, failure } = event.result;
      this.#track.end('test', { outcome: status, message: failure?.message });
    } else return;
    this.#track.trace.flush();
  }

  close(): void {
    this.#track.trace.close();
    this.#file[Symbol.dispose]();
  }
}

/** Number of the tests in a trace, and how far apart guests are that were started one after the other. */
const TESTS_SEQUENCE = 2 ** 17;
const RESTART_SEQUENCES = 64;

/** Two places: what differs between them has failed. */
export class Both implements Place {
  readonly #names: readonly string[];
  readonly #places: readonly Place[];

  constructor(places: readonly { readonly name: string; readonly place: Place }[]) {
    this.#names = places.map(({ name }) => name);
    this.#places = places.map(({ place }) => place);
  }

  get system(): string {
    return this.#places.map((place) => place.system).join(' and ');
  }

  /** Both are there before the first test, so that what cannot be had is said at once. */
  async prepare(): Promise<void> {
    for (const place of this.#places) await place.prepare();
  }

  run(emit: (event: RunEvent) => void): Promise<readonly Result[]> {
    const [first, second] = this.#names.map((target, i) => {
      const place = this.#places[i] as Place;
      const run: Place['run'] = (told, only) => place.run(told, only);
      return { target, run };
    }) as [Contender, Contender];
    return runAgreement(first, second, emit, (text) => void process.stderr.write(`sagrada: ${text}\n`));
  }

  async report(): Promise<Pick<DeviceReport, 'devices'>> {
    const reports = await Promise.all(this.#places.map((place) => place.report()));
    const devices = reports.flatMap(({ devices }, i) =>
      devices.map((device) => ({ ...device, name: `${this.#names[i]} ${device.name}` })),
    );
    return { devices };
  }

  async code(): Promise<readonly FileCoverage[]> {
    return mergeCode(await Promise.all(this.#places.map((place) => place.code())));
  }

  async leaks(): ReturnType<Place['leaks']> {
    return (await Promise.all(this.#places.map((place) => place.leaks()))).flat();
  }

  async close(): Promise<void> {
    for (const place of this.#places) await place.close();
  }
}

/** Keeps the log of a guest that did not come up. */
function keepLog(text: string): void {
  const file = path.join(tmpdir(), `sagrada-exercise-${process.pid}.log`);
  writeFileSync(file, text);
  process.stderr.write(`sagrada: the guest's log is in ${file}\n`);
}

/** Seconds without a sign of life after which a guest that starts is given up, where its kernel watches everything. */
const WATCHED_PATIENCE = 120;

/** Milliseconds that kmemleak may take to look through the memory of a slow guest. */
const SCANNING = 900_000;

/** The module whose code is watched. */
const DRIVER = 'habanalabs';

/** A virtual machine in which the agent runs. */
class VmStation implements Station {
  readonly system = 'the guest';
  readonly #options: VmOptions;
  readonly #folder: string;
  #vm: Vm | undefined;
  #boots = 0;
  #meter = new TrafficMeter();
  /** What the device models have refused so far, by device and place. */
  readonly #known = new Map<string, number>();
  readonly #code: GuestCode | undefined;
  #leaks: LeakWatch | undefined;

  constructor(options: VmOptions, folder: string, coverage: boolean) {
    const patience = options.kernel === 'coverage' ? { patience: WATCHED_PATIENCE } : {};
    this.#options = { ...options, ...patience, ...(coverage ? { trace: DRIVER } : {}) };
    this.#folder = folder;
    if (coverage) this.#code = new GuestCode(DRIVER, options.cache);
  }

  /** The kernel, and what was done to it. */
  get title(): string {
    return this.#vm?.title ?? 'not booted';
  }

  async boot(): Promise<void> {
    const { trace, ...devices } = this.#options.devices ?? {};
    if (!trace) this.#vm = await bootVm(this.#options);
    else {
      const sequence = trace.sequence + RESTART_SEQUENCES * this.#boots++;
      this.#vm = await bootVm({ ...this.#options, devices: { ...devices, trace: { ...trace, sequence } } });
    }
    await this.#code?.begin(this.#vm);
    this.#leaks = this.#vm.kernelRelease.endsWith(COVERAGE_SUFFIX)
      ? await LeakWatch.of(commandsIn(this.#vm, SCANNING))
      : undefined;
  }

  /** Of this guest: what one before it has lost is gone with it. */
  async leaks(): ReturnType<Place['leaks']> {
    return (await this.#leaks?.find()) ?? [];
  }

  /** What ran in this guest and in those before it. */
  async code(): Promise<readonly FileCoverage[]> {
    await this.#code?.end();
    return this.#code?.files() ?? [];
  }

  async restart(): Promise<void> {
    await this.#code?.end();
    await this.#vm?.close();
    this.#known.clear();
    this.#meter = new TrafficMeter();
    await this.boot();
  }

  async launch(config: AgentConfig, onLine: (line: string) => void, stdin: AsyncIterable<Uint8Array>): Promise<number> {
    const vm = this.#vm;
    if (!vm) throw new Error('the machine has not booted');
    const bundle = await agentBundle(this.#folder);
    const out = lines(onLine);
    const status = await vm.run([process.execPath, bundle, JSON.stringify(config)], {
      stdin,
      onStdout: (data) => void out.add(data),
      onStderr: (data) => void out.add(data),
    });
    out.end();
    return status;
  }

  lastWords(): readonly string[] {
    const log = this.#vm?.logText().trimEnd().split('\n') ?? [];
    return log.slice(-15).map((line) => stripVTControlCharacters(line));
  }

  async report(): Promise<Pick<DeviceReport, 'devices'>> {
    return (await this.#vm?.deviceReport()) ?? { devices: [] };
  }

  async faults(order: FaultOrder): Promise<readonly string[]> {
    return (await this.#vm?.faults(order)) ?? [];
  }

  async traffic(): Promise<readonly Moved[]> {
    return (await this.#vm?.deviceReport())?.traffic ?? [];
  }

  /** Judges a result by what the device models have refused since the last. */
  async examine(reported: Result): Promise<Result> {
    await this.#code?.take();
    await this.#leaks?.ended(reported.id);
    const report = await this.#vm?.deviceReport();
    const result = this.#meter.add(reported, report?.traffic ?? []);
    const refusals: Refusal[] = [];
    for (const device of report?.devices ?? []) {
      for (const { category, where, message, count } of device.errors) {
        const key = `${device.name} ${category} ${where}`;
        if (count > (this.#known.get(key) ?? 0)) refusals.push({ device: device.name, message });
        this.#known.set(key, count);
      }
    }
    return judge(result, refusals);
  }

  async close(): Promise<void> {
    await this.#vm?.close();
    this.#vm = undefined;
  }
}

/** Cuts a stream of bytes into lines. */
function lines(onLine: (line: string) => void): { add(data: Buffer): void; end(): void } {
  let rest = '';
  const decoder = new TextDecoder();
  return {
    add(data) {
      const parts = (rest + decoder.decode(data, { stream: true })).split('\n');
      rest = parts.pop() ?? '';
      for (const part of parts) onLine(part);
    },
    end() {
      if (rest !== '') onLine(rest);
    },
  };
}
