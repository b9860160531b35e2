/** `sagrada exercise`: the main job. Boots a machine, runs the suites in it, tells a person or another program the result. */

import { once } from 'node:events';
import { createWriteStream, type WriteStream, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import process from 'node:process';
import { stripVTControlCharacters } from 'node:util';
import { Command, InvalidArgumentError, Option } from 'commander';
import type { AgentConfig } from '../exercise/agent.ts';
import { agentBundle } from '../exercise/bundle.ts';
import type { Result, RunEvent } from '../exercise/events.ts';
import { runInProcess } from '../exercise/in-process.ts';
import { runRemotely, type Station } from '../exercise/remote.ts';
import { jsonReporter } from '../exercise/report/json.ts';
import { junitReporter } from '../exercise/report/junit.ts';
import { ktapReporter } from '../exercise/report/ktap.ts';
import { prettyReporter } from '../exercise/report/pretty.ts';
import type { Reporter, Write } from '../exercise/report/reporter.ts';
import { select } from '../exercise/runner.ts';
import type { Test } from '../exercise/suite.ts';
import { suites } from '../exercise/suites/index.ts';
import { suggestion } from '../isa/diagnostics.ts';
import { ModelMachine } from '../machine/model.ts';
import type { DeviceReport } from '../machine/vm/device-server.ts';
import { bootVm, type Vm, type VmOptions } from '../machine/vm/vm.ts';
import { UserError } from '../sim/errors.ts';
import { interruptible } from './interruption.ts';
import { addMachineOptions, type MachineOptions, machineSetup, progressLine } from './machine-options.ts';
import { printRegisters } from './registers.ts';

const formats = ['pretty', 'ktap', 'junit', 'json'] as const;
type Format = (typeof formats)[number];

interface Options extends MachineOptions {
  readonly on: string;
  readonly grep?: RegExp;
  readonly format: Format;
  readonly output?: string;
  readonly seed: number;
  readonly timeout: number;
  readonly list?: boolean;
}

export function command(): Command {
  const exercise = new Command('exercise')
    .description(
      'run the suites against a driver: the unmodified one of a Linux kernel, in a virtual machine with modelled hardware',
    )
    .argument('[suite...]', `of: ${suites.map((s) => s.name).join(', ')}; all if left out`)
    .addOption(
      new Option(
        '--on <target>',
        "where the driver is: the kernel's in a virtual machine, or its model in this process",
      )
        .choices(['vm', 'model'])
        .default('vm'),
    )
    .option('--grep <regexp>', 'only tests whose "suite: name" matches', regexp)
    .addOption(new Option('--format <format>', 'of the report').choices([...formats]).default('pretty'))
    .option('--output <file>', 'write the report there; progress still goes to the terminal')
    .option('--seed <n>', 'of all that is random in the tests', integer, 1)
    .option('--timeout <seconds>', 'a test may take, if it does not ask for more', seconds, 60)
    .option('--list', 'list the tests that would run, and end');
  return addMachineOptions(exercise).action(run);
}

function integer(text: string): number {
  if (!/^\d{1,10}$/.test(text)) throw new InvalidArgumentError('a whole number is expected.');
  return Number(text);
}

function seconds(text: string): number {
  const value = Number(text);
  if (!(value > 0)) throw new InvalidArgumentError('a number of seconds is expected.');
  return value;
}

function regexp(text: string): RegExp {
  try {
    return new RegExp(text);
  } catch (error) {
    throw new InvalidArgumentError((error as Error).message);
  }
}

async function run(names: readonly string[], options: Options, self: Command): Promise<void> {
  const known = suites.map((s) => s.name);
  for (const name of names) {
    if (!known.includes(name)) {
      throw new UserError(`no suite "${name}"${suggestion(name, known)}; there are ${known.join(', ')}`);
    }
  }
  const selection = { suites: names, ...(options.grep ? { grep: options.grep } : {}) };
  const chosen = select(suites, selection);
  if (chosen.length === 0) throw new UserError('no test matches: see "sagrada exercise --list"');
  if (options.list) {
    for (const test of chosen) console.log(test.id);
    return;
  }

  const output = options.output === undefined ? undefined : await openOutput(options.output);
  const toFile: Write = (text) => void output?.write(text);
  const toTerminal: Write = (text) => void process.stdout.write(text);
  const live = process.stdout.isTTY === true;
  const pretty = (write: Write, plain: boolean) =>
    prettyReporter(write, {
      live: live && !plain,
      colour: !plain && process.stdout.hasColors?.() === true,
      about: (suite) => suites.find((s) => s.name === suite)?.about ?? '',
      reproduce: (id) => reproduce(id, options, self),
    });
  const reporters: Reporter[] = [];
  if (output) {
    reporters.push(
      report(options.format, toFile, (write) => pretty(write, true)),
      pretty(toTerminal, false),
    );
  } else reporters.push(report(options.format, toTerminal, (write) => pretty(write, false)));

  const begin = performance.now();
  await interruptible(async (signal) => {
    const config = {
      suites: names,
      seed: options.seed,
      timeout: options.timeout,
      ...(options.grep ? { grep: options.grep.source } : {}),
    };
    const place = options.on === 'model' ? new InProcess(options, chosen, signal) : new InVm(options, config, signal);
    try {
      await place.prepare();
      const { machine, seed } = options;
      for (const reporter of reporters) reporter.begin({ target: options.on, machine, system: place.system, seed });
      const results = await place.run((event) => {
        for (const reporter of reporters) reporter.event(event);
      });
      for (const reporter of reporters) reporter.finish(results, (performance.now() - begin) / 1000);
      if (results.some((r) => r.status === 'failed')) process.exitCode = 1;
      if (options.traceRegisters) printRegisters(await place.report());
    } finally {
      await place.close();
      if (output) {
        output.end();
        await once(output, 'close');
      }
    }
  });
}

/** Where the suites run. */
interface Place {
  /** What there is, once it is prepared. */
  readonly system: string;
  prepare(): Promise<void>;
  run(emit: (event: RunEvent) => void): Promise<readonly Result[]>;
  report(): Promise<Pick<DeviceReport, 'devices'>>;
  close(): Promise<void>;
}

class InProcess implements Place {
  readonly system = 'the model of the driver in this process';
  readonly #options: Options;
  readonly #tests: readonly Test[];
  readonly #signal: AbortSignal;
  #machine: ModelMachine | undefined;

  constructor(options: Options, tests: readonly Test[], signal: AbortSignal) {
    this.#options = options;
    this.#tests = tests;
    this.#signal = signal;
  }

  async prepare(): Promise<void> {
    const { machine, delay, deviceSeed } = this.#options;
    this.#machine = new ModelMachine({
      machine,
      ...(delay ? { delays: delay } : {}),
      ...(deviceSeed === undefined ? {} : { seed: deviceSeed }),
    });
  }

  async run(emit: (event: RunEvent) => void): Promise<readonly Result[]> {
    const { seed, timeout } = this.#options;
    return runInProcess(this.#tests, this.#machine as ModelMachine, { seed, timeout }, emit, this.#signal);
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

  async close(): Promise<void> {
    this.#machine?.[Symbol.dispose]();
  }
}

class InVm implements Place {
  readonly #config: AgentConfig;
  readonly #bundle: string;
  readonly #station: VmStation;
  readonly #ended: Promise<never>;

  constructor(options: Options, config: AgentConfig, signal: AbortSignal) {
    this.#config = config;
    // set-up and boot speak on standard error, so that a report on standard output stays whole
    const say = (line: string) => void process.stderr.write(`sagrada: ${line}\n`);
    const setup = machineSetup(options, { say, signal, progress: progressLine(), onFailedLog: keepLog });
    this.#bundle = path.join(setup.cache, 'agent', String(process.pid));
    this.#station = new VmStation(setup, this.#bundle);
    this.#ended = new Promise<never>((_, reject) => {
      signal.addEventListener('abort', () => reject(signal.reason), { once: true });
    });
    this.#ended.catch(() => {});
  }

  get system(): string {
    return this.#station.system;
  }

  prepare(): Promise<void> {
    return this.#station.boot();
  }

  run(emit: (event: RunEvent) => void): Promise<readonly Result[]> {
    return Promise.race([runRemotely(this.#station, this.#config, emit), this.#ended]);
  }

  report(): Promise<Pick<DeviceReport, 'devices'>> {
    return this.#station.report();
  }

  async close(): Promise<void> {
    await this.#station.close();
    await rm(this.#bundle, { recursive: true, force: true });
  }
}

/** Keeps the log of a guest that did not come up. */
function keepLog(text: string): void {
  const file = path.join(tmpdir(), `sagrada-exercise-${process.pid}.log`);
  writeFileSync(file, text);
  process.stderr.write(`sagrada: the guest's log is in ${file}\n`);
}

function report(format: Format, write: Write, pretty: (write: Write) => Reporter): Reporter {
  if (format === 'ktap') return ktapReporter(write);
  if (format === 'junit') return junitReporter(write);
  if (format === 'json') return jsonReporter(write);
  return pretty(write);
}

async function openOutput(file: string): Promise<WriteStream> {
  const stream = createWriteStream(file);
  await once(stream, 'open').catch((error: Error) => {
    throw new UserError(`--output ${file}: ${error.message}`);
  });
  return stream;
}

function reproduce(id: string, options: Options, self: Command): string {
  const [suite = ''] = id.split(':', 1);
  const pattern = `^${id.replaceAll(/[\\^$.*+?()[\]{}|]/g, '\\$&')}$`;
  const given = (name: keyof Options & string, flag: string) =>
    self.getOptionValueSource(name) === 'cli' ? ` ${flag} ${String(options[name])}` : '';
  const where = given('machine', '--machine') + given('kernel', '--kernel') + given('modules', '--modules');
  return `npx sagrada exercise ${suite} --on ${options.on}${where} --seed ${options.seed} --grep '${pattern.replaceAll("'", "'\\''")}'`;
}

/** A virtual machine in which the agent runs. */
class VmStation implements Station {
  readonly #options: VmOptions;
  readonly #folder: string;
  #vm: Vm | undefined;
  /** What the device models have refused so far, by device and place. */
  readonly #known = new Map<string, number>();

  constructor(options: VmOptions, folder: string) {
    this.#options = options;
    this.#folder = folder;
  }

  /** The kernel, and what was done to it. */
  get system(): string {
    return this.#vm?.title ?? 'not booted';
  }

  async boot(): Promise<void> {
    this.#vm = await bootVm(this.#options);
  }

  async restart(): Promise<void> {
    await this.#vm?.close();
    this.#known.clear();
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

  /** A test during which a device model refused something has failed. */
  async examine(result: Result): Promise<Result> {
    const report = await this.#vm?.deviceReport();
    const expected = (result.expects ?? []).map((source) => new RegExp(source));
    const refused: string[] = [];
    for (const device of report?.devices ?? []) {
      for (const { category, where, message, count } of device.errors) {
        const key = `${device.name} ${category} ${where}`;
        const fresh = count - (this.#known.get(key) ?? 0);
        this.#known.set(key, count);
        if (fresh > 0 && !expected.some((pattern) => pattern.test(message))) refused.push(`${device.name}: ${message}`);
      }
    }
    if (refused.length === 0 || result.status === 'failed')
      return { ...result, messages: [...result.messages, ...refused] };
    return {
      ...result,
      status: 'failed',
      failure: { message: `the device model refused:\n  ${refused.join('\n  ')}` },
    };
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
