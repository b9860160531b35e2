/** `sagrada fuzz`: random sequences of calls without end, and what they have found. */

import { randomInt } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import process from 'node:process';
import { Command, InvalidArgumentError, Option } from 'commander';
import { operations } from '../exercise/agreement/operations.ts';
import { lineOfFinding, programOf } from '../exercise/fuzz/finding-text.ts';
import { Fuzzer, type Lane } from '../exercise/fuzz/fuzzer.ts';
import { ModelStation, VmStation } from '../exercise/fuzz/stations.ts';
import { Store } from '../exercise/fuzz/store.ts';
import { Target } from '../exercise/fuzz/target.ts';
import { suggestion } from '../isa/diagnostics.ts';
import { countOf, machineDescription } from '../machine/machines.ts';
import { cacheFolder } from '../os/cache.ts';
import { UserError } from '../sim/errors.ts';
import { FuzzDisplay } from './fuzz-display.ts';
import { addExamples } from './help.ts';
import { endWithReader, Interruption, interruptible } from './interruption.ts';
import { addMachineOptions, type MachineOptions, machineSetup, VM_OPTIONS } from './machine-options.ts';
import { progressLine } from './terminal.ts';
import { version } from './version.ts';

type TargetName = 'model' | 'vm';

interface CorpusOptions {
  readonly cache: string;
  readonly corpus?: string;
  readonly json?: boolean;
}

interface Options extends MachineOptions, CorpusOptions {
  readonly on?: readonly TargetName[];
  /** Seconds. */
  readonly for?: number;
  readonly sequences?: number;
  readonly seed?: number;
  readonly only?: readonly string[];
  readonly jobs: number;
}

export function command(): Command {
  const fuzz = new Command('fuzz')
    .description(
      'make random calls of the driver, guided by what of it they reach, until Ctrl-C: on the model of the driver, on the driver in a virtual machine, or on both, which have to agree; exits with 1 when it finds something new',
    )
    // before the subcommands are made: they inherit it
    .exitOverride()
    .enablePositionalOptions()
    .addOption(
      new Option(
        '--on <targets>',
        'where the driver is: model (in this process), vm, or model,vm: on both, and every difference is a finding (default: model; model,vm where an option of the guest is given)',
      ).argParser(targets),
    )
    .option('--for <time>', 'end after this time, e.g. 90s, 10m or 8h', time)
    .option('--sequences <n>', 'end after so many sequences', count)
    .option('--seed <n>', 'of all that is random (default: another each time, which is told)', seed)
    .option(
      '--only <operations>',
      'only these, with commas between them; besides, each sequence opens a card',
      only,
      [],
    )
    .option('--jobs <n>', 'pairs of targets that run at a time', count, 1);
  addCorpusOption(fuzz);
  addExamples(
    addMachineOptions(fuzz, 'gaudi-x2').action(run),
    ['sagrada fuzz --for 30s', 'on the model of the driver alone'],
    ['sagrada fuzz --on model,vm --for 10m', 'the driver in a virtual machine and its model have to agree'],
    ['sagrada fuzz list', 'what has been found'],
    ['sagrada fuzz show 1 > finding.ts', 'a program that shows it, for "sagrada run"'],
  );
  const list = fuzz.command('list').description('list what has been found');
  addExamples(withCorpus(list).action(runList), ['sagrada fuzz list --json', 'all of it, for a program']);
  const show = fuzz
    .command('show')
    .description('print a program that reproduces a finding')
    .argument('<number>', 'of the finding, as "sagrada fuzz list" has it', count);
  addExamples(withCorpus(show).action(runShow), [
    'sagrada fuzz show 1 > finding.ts',
    'then: sagrada run --on vm finding.ts',
  ]);
  return fuzz;
}

function addCorpusOption(command: Command): Command {
  return command
    .option('--corpus <file>', 'where sequences and findings are kept (default: fuzz.sqlite in the cache)')
    .option('--json', 'as JSON');
}

function withCorpus(command: Command): Command {
  return addCorpusOption(command).option('--cache <folder>', 'where what was downloaded is kept', cacheFolder());
}

function targets(text: string): readonly TargetName[] {
  const names = text.split(',');
  if (names.some((name) => name !== 'model' && name !== 'vm') || new Set(names).size !== names.length)
    throw new InvalidArgumentError('model, vm or model,vm is expected.');
  return (names as TargetName[]).toSorted();
}

const SECONDS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600, d: 86_400 };

function time(text: string): number {
  const [, value = '', unit = ''] = /^(\d+(?:\.\d+)?)([smhd])$/.exec(text) ?? [];
  const seconds = Number(value) * (SECONDS[unit] ?? 0);
  if (!(seconds > 0)) throw new InvalidArgumentError('a time such as 90s, 10m or 8h is expected.');
  return seconds;
}

function count(text: string): number {
  if (!/^[1-9]\d{0,8}$/.test(text)) throw new InvalidArgumentError('a whole number of at least 1 is expected.');
  return Number(text);
}

function seed(text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw new InvalidArgumentError('a whole number is expected.');
  return Number(text);
}

function only(text: string): readonly string[] {
  const known = Object.keys(operations);
  const names = text.split(',');
  const unknown = names.find((name) => !known.includes(name));
  if (unknown !== undefined)
    throw new InvalidArgumentError(
      `no operation "${unknown}"${suggestion(unknown, known)}; there are ${known.join(', ')}.`,
    );
  return names;
}

function corpusFile({ corpus, cache }: CorpusOptions): string {
  return corpus ?? path.join(cache, 'fuzz.sqlite');
}

function runList(options: CorpusOptions): void {
  endWithReader();
  using store = new Store(corpusFile(options), false);
  const findings = store.findings();
  if (options.json) {
    for (const finding of findings) console.log(JSON.stringify(finding));
    return;
  }
  for (const finding of findings) console.log(lineOfFinding(finding));
  if (findings.length === 0) {
    const { sequences, runs } = store.totals();
    console.log(`nothing has been found by ${sequences} sequences in ${runs} ${runs === 1 ? 'run' : 'runs'}`);
  }
}

function runShow(number: number, options: CorpusOptions): void {
  endWithReader();
  using store = new Store(corpusFile(options), false);
  const finding = store.findings().find((each) => each.number === number);
  if (!finding) throw new UserError(`no finding ${number}: see "sagrada fuzz list"`);
  process.stdout.write(options.json ? `${JSON.stringify(finding)}\n` : programOf(finding));
}

const say = (line: string) => void process.stderr.write(`sagrada: ${line}\n`);

async function run(options: Options, self: Command): Promise<void> {
  endWithReader();
  const guest = VM_OPTIONS.filter((name) => self.getOptionValueSource(name) === 'cli');
  const on: readonly TargetName[] = options.on ?? (guest.length > 0 ? ['model', 'vm'] : ['model']);
  if (!on.includes('vm') && guest[0] !== undefined) {
    const flag = self.options.find((option) => option.attributeName() === guest[0])?.long;
    throw new UserError(`${flag} is about the guest: it goes with --on vm`);
  }
  if (countOf(machineDescription(options.machine), 'gaudi') === 0)
    throw new UserError(`machine ${options.machine} has no card to make calls of`);
  // what is wrong with the file is told before a guest is started
  using store = new Store(corpusFile(options), true);
  await interruptible(async (signal) => {
    const lanes = Array.from({ length: options.jobs }, (_, i) => on.map((name) => targetOf(name, i, options, signal)));
    try {
      await Promise.all(lanes.flat().map((target) => target.start()));
      await fuzz(store, lanes, on, options, signal);
    } finally {
      await Promise.all(lanes.flat().map((target) => target.station.stop()));
    }
  });
}

/** @param lane which of those that run at a time */
function targetOf(name: TargetName, lane: number, options: Options, signal: AbortSignal): Target {
  if (name === 'model') {
    const { machine, delay, deviceSeed, firmware } = options;
    const more = {
      ...(delay ? { delays: delay } : {}),
      ...(deviceSeed === undefined ? {} : { seed: deviceSeed }),
      ...(firmware ? { firmware } : {}),
    };
    return new Target(new ModelStation({ machine, ...more }));
  }
  const setup = machineSetup(options, { say, signal, progress: progressLine(), onFailedLog: keepLog });
  return new Target(new VmStation(setup, path.join(setup.cache, 'agent', `fuzz-${process.pid}-${lane}`)));
}

/** Keeps the log of a guest that did not come up. */
function keepLog(text: string): void {
  const file = path.join(tmpdir(), `sagrada-fuzz-${process.pid}.log`);
  writeFileSync(file, text);
  say(`the guest's log is in ${file}`);
}

async function fuzz(
  store: Store,
  lanes: readonly Lane[],
  on: readonly TargetName[],
  options: Options,
  signal: AbortSignal,
): Promise<void> {
  const { machine, sequences } = options;
  const places = (lanes[0] ?? []).map((target) => ({ name: target.place, coverage: target.coverage }));
  const system = (lanes[0] ?? []).map(({ station }) => station.system).join(' and ');
  const run = { seed: options.seed ?? randomInt(1e9), target: on.join(','), machine, system };
  const began = performance.now();
  const seconds = () => (performance.now() - began) / 1000;
  const earlier = places.some(({ name }) => store.reached(name).size === 0);
  store.begin({ ...run, version: version() });
  const display = new FuzzDisplay(store, places, options);
  display.begin(run);
  const until = options.for === undefined ? undefined : began + options.for * 1000;
  const limits = {
    ...(until === undefined ? {} : { until }),
    ...(sequences === undefined ? {} : { sequences }),
  };
  let performed = 0;
  let isNew = false;
  const fuzzer = new Fuzzer(
    store,
    {
      seed: run.seed,
      only: options.only ?? [],
      nics: countOf(machineDescription(machine), 'efa') > 0,
      signal,
      ...limits,
    },
    {
      found: (found) => {
        isNew ||= found.isNew && found.finding.steady;
        display.found(found);
      },
      progress: (count) => {
        performed = count;
        store.progress(performed, seconds());
        display.progress(performed, seconds());
      },
      restarting: (why) => display.restarting(why),
    },
    earlier,
  );
  try {
    await fuzzer.run(lanes);
    display.end(performed, seconds());
  } catch (error) {
    if (error instanceof Interruption) display.end(performed, seconds());
    throw error;
  }
  if (isNew) process.exitCode = 1;
}
