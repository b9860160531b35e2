/** `sagrada exercise`: the main job. Boots a machine, runs the suites in it, tells a person or another program the result. */

import { once } from 'node:events';
import { createWriteStream, type WriteStream, writeFileSync } from 'node:fs';
import process from 'node:process';
import { finished } from 'node:stream/promises';
import { Command, InvalidArgumentError, Option } from 'commander';
import { SUITE } from '../exercise/agreement/sequences.ts';
import { type FileCoverage, lcovOf } from '../exercise/coverage/code.ts';
import { keepRun } from '../exercise/coverage/keeping.ts';
import type { RunWriter } from '../exercise/coverage/results.ts';
import type { Result } from '../exercise/events.ts';
import { longTests } from '../exercise/long-tests.ts';
import { jsonReporter } from '../exercise/report/json.ts';
import { junitReporter } from '../exercise/report/junit.ts';
import { ktapReporter } from '../exercise/report/ktap.ts';
import { prettyReporter } from '../exercise/report/pretty.ts';
import type { Reporter, Reproduce, Write } from '../exercise/report/reporter.ts';
import { statusLine } from '../exercise/report/status.ts';
import { chosenTests, machineOf, type RunConfig, type Shard } from '../exercise/selection.ts';
import type { Test } from '../exercise/suite.ts';
import { namedSuites, suites } from '../exercise/suites/index.ts';
import { suggestion } from '../isa/diagnostics.ts';
import { UserError } from '../sim/errors.ts';
import { Both, InProcess, InVm, type Place, type PlaceOptions } from './exercise-places.ts';
import { failure } from './failure.ts';
import { addExamples } from './help.ts';
import { endWithReader, Interruption, interruptible } from './interruption.ts';
import { addMachineOptions, traceFile, VM_OPTIONS } from './machine-options.ts';
import { tellRegisters } from './registers.ts';
import { resultsFile } from './results-options.ts';
import { colours } from './terminal.ts';
import { version } from './version.ts';

const formats = ['pretty', 'ktap', 'junit', 'json'] as const;
type Format = (typeof formats)[number];

const targets = ['model', 'vm'] as const;
type TargetName = (typeof targets)[number];

interface Options extends PlaceOptions {
  readonly on?: readonly TargetName[];
  readonly grep?: RegExp;
  readonly format: Format;
  readonly output?: string;
  readonly list?: boolean;
  readonly json?: boolean;
  readonly all?: boolean;
  readonly sequences: number;
  readonly shard?: Shard;
  readonly results?: string;
  readonly lcov?: string;
}

export function command(): Command {
  const exercise = new Command('exercise')
    .description(
      'run the suites against a driver and modelled hardware: the driver’s model in this process, or the unmodified driver of a Linux kernel in a virtual machine',
    )
    .argument(
      '[suite...]',
      `of: ${suites.map((s) => s.name).join(', ')} (all of these if left out), ${onlyNamed.join(', ')}`,
    )
    .addOption(
      new Option(
        '--on <targets>',
        'where the driver is: model (in this process), vm, or model,vm: on both, and every difference is a failure (default: model; vm where an option of the guest is given)',
      ).argParser(targetNames),
    )
    .option('--grep <regexp>', 'only tests whose "suite: name" matches', regexp)
    .addOption(new Option('--format <format>', 'of the report').choices([...formats]).default('pretty'))
    .option('--output <file>', 'write the report there; progress still goes to the terminal')
    .option('--seed <n>', 'of all that is random in the tests', integer, 1)
    .option('--timeout <seconds>', 'a test may take, if it does not ask for more', seconds, 60)
    .option('--jobs <n>', 'suites that run at a time on model (default: one for each processor)', jobs)
    .option(
      '--sequences <n>',
      `random sequences of calls in the suite "${SUITE}", which runs when it is named`,
      integer,
      100,
    )
    .option('--all', 'also the tests that take long, which a run of everything on the model leaves out')
    .option('--shard <i/n>', 'only part i of n of the tests; "sagrada report --merge" puts the results together', shard)
    .option('--results <file>', 'where the run is kept for "sagrada report" (default: results.sqlite in the cache)')
    .option(
      '--coverage',
      'also what runs of the driver\'s code: functions on any kernel, lines and branches on that of --kernel coverage; "sagrada report" shows it',
    )
    .option('--lcov <file>', 'with --coverage: write what ran there too, for the tools of lcov')
    .option('--list', 'list the tests that would run, and end')
    .option('--json', 'the same as --format json; with --list, the list as JSON');
  // two cards, so that no test has to be skipped
  return addExamples(
    addMachineOptions(exercise, 'gaudi-x2').action(run),
    ['sagrada exercise', 'everything that does not take long, on the model'],
    ["sagrada exercise dma sync --grep 'fence'", 'some tests of two suites'],
    ['sagrada exercise --on vm --kernel stable', "against Debian's other kernel"],
    ['sagrada exercise p2p --on vm --kernel ~/linux', 'against a kernel that you have built'],
    ['sagrada exercise cb --format junit --output results.xml', 'for CI; --format ktap is what the kernel has'],
    ['sagrada exercise info --shard 2/5 --results second.sqlite', 'a part of a run'],
    ['sagrada exercise sequences --on model,vm --seed 7', 'where do the two differ'],
  );
}

/** Suites that run only when they are named. */
const onlyNamed = [...namedSuites.map((s) => s.name), SUITE];

function targetNames(text: string): readonly TargetName[] {
  const names = text.split(',');
  const unknown = names.find((name) => !targets.includes(name as TargetName));
  if (unknown !== undefined || new Set(names).size !== names.length)
    throw new InvalidArgumentError('model, vm or model,vm is expected.');
  return names as readonly TargetName[];
}

function integer(text: string): number {
  if (!/^\d{1,10}$/.test(text)) throw new InvalidArgumentError('a whole number is expected.');
  return Number(text);
}

function jobs(text: string): number {
  if (!/^[1-9]\d{0,2}$/.test(text)) throw new InvalidArgumentError('a whole number of at least 1 is expected.');
  return Number(text);
}

function shard(text: string): Shard {
  const [index = 0, count = 0] = /^[1-9]\d{0,3}\/[1-9]\d{0,3}$/.test(text) ? text.split('/').map(Number) : [];
  if (index < 1 || index > count) throw new InvalidArgumentError('I/N with I from 1 to N is expected, e.g. 2/5.');
  return { index, count };
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

async function run(names: readonly string[], asked: Options, self: Command): Promise<void> {
  endWithReader();
  const known = [...suites.map((s) => s.name), ...onlyNamed];
  for (const name of names) {
    if (!known.includes(name)) {
      throw new UserError(`no suite "${name}"${suggestion(name, known)}; there are ${known.join(', ')}`);
    }
  }
  const on = chooseTarget(asked, self);
  const config = configOf(names, asked, on);
  const chosen = chosenTests(config);
  const options = withMachine(asked, chosen, on, self);
  if (chosen.length === 0) throw new UserError('no test matches: see "sagrada exercise --list"');
  if (options.list) {
    if (options.json) {
      const list = chosen.map(({ id, suite, name }) => ({ id, suite, name, long: longTests.has(id) }));
      console.log(JSON.stringify(list, undefined, 2));
    } else for (const test of chosen) console.log(test.id);
    return;
  }

  if (options.coverage && !on.includes('vm'))
    throw new UserError('--coverage is about the guest: it goes with --on vm');
  if (options.lcov !== undefined && !options.coverage) throw new UserError('--lcov goes with --coverage');
  if (options.trace !== undefined) traceFile(options.trace);
  const output = options.output === undefined ? undefined : await openOutput(options.output);
  const toFile: Write = (text) => void (output?.errored === null && output.write(text));
  const toTerminal: Write = (text) => void process.stdout.write(text);
  const live = process.stdout.isTTY === true;
  const again = (id: string) => reproduce(id, on.join(','), options, self);
  const pretty = (write: Write, plain: boolean) =>
    prettyReporter(write, {
      live: live && !plain,
      columns: () => process.stdout.columns,
      colour: !plain && colours(process.stdout),
      about: (suite) => suites.find((s) => s.name === suite)?.about ?? '',
      reproduce: again,
    });
  const format = options.json ? 'json' : options.format;
  const reporters: Reporter[] = [];
  // whose standard output goes elsewhere, or is for a program, still sees how far it is
  if (process.stderr.isTTY && !(live && (output || format === 'pretty'))) {
    const write: Write = (text) => void process.stderr.write(text);
    const status = statusLine(write, { colour: colours(process.stderr), columns: () => process.stderr.columns });
    reporters.push({ begin: () => {}, event: status.event, finish: status.clear });
  }
  if (output) {
    reporters.push(
      report(format, toFile, again, (write) => pretty(write, true)),
      pretty(toTerminal, false),
    );
  } else reporters.push(report(format, toTerminal, again, (write) => pretty(write, false)));

  const begin = performance.now();
  await interruptible(async (signal) => {
    const make = (name: TargetName): Place =>
      name === 'model' ? new InProcess(options, config, signal) : new InVm(options, config, signal);
    const place = on.length > 1 ? new Both(on.map((name) => ({ name, place: make(name) }))) : make(on[0] as TargetName);
    const results: Result[] = [];
    const finish = () => {
      for (const reporter of reporters) reporter.finish(results, (performance.now() - begin) / 1000);
      if (config.brief && format === 'pretty') toTerminal(`--all runs ${longTests.size} more, which take long\n`);
    };
    let began = false;
    try {
      await place.prepare();
      const { seed } = options;
      const machine = machinesOf(options, chosen);
      const info = { target: on.join(','), machine, system: place.system, seed };
      for (const reporter of reporters) reporter.begin(info);
      began = true;
      using kept = keepRun(resultsFile(options), { ...info, ...described(config, self) }, (text) => {
        process.stderr.write(`sagrada: ${text}\n`);
      });
      await place.run((event) => {
        if (event.type === 'result') {
          results.push(event.result);
          kept.result(event.result);
        }
        for (const reporter of reporters) reporter.event(event);
      });
      for (const { id, text } of await place.leaks()) {
        const message = `memory was lost that was allocated during this test:\n${text}`;
        process.stderr.write(`sagrada: ${id}: ${message}\n`);
        process.exitCode = 1;
        const at = results.findIndex((one) => one.id === id);
        const result = results[at];
        if (!result) continue;
        results[at] = { ...result, status: 'failed', failure: result.failure ?? { message } };
        kept.result(results[at]);
      }
      if (options.coverage) keepCode(await place.code(), kept, options.lcov);
      kept.end((performance.now() - begin) / 1000);
      finish();
      // a run in which nothing passed has shown nothing
      if (results.some((r) => r.status === 'failed') || !results.some((r) => r.status === 'passed'))
        process.exitCode = 1;
      if (options.traceRegisters) tellRegisters([await place.report()], options.registers);
    } catch (error) {
      // what has been run until then counts
      if (began && error instanceof Interruption) finish();
      throw error;
    } finally {
      await place.close();
      if (output) {
        output.end();
        await finished(output).catch(() => {});
      }
    }
  });
}

/** @throws UserError when `lcov` cannot be written */
function keepCode(code: readonly FileCoverage[], kept: RunWriter, lcov: string | undefined): void {
  kept.code(code);
  if (lcov === undefined) return;
  try {
    writeFileSync(lcov, lcovOf(code));
  } catch (error) {
    throw new UserError(`--lcov ${lcov}: ${(error as Error).message}`);
  }
}

/** What is kept of how it was asked for. */
function described(config: RunConfig, self: Command) {
  const { suites, grep, shard } = config;
  return {
    version: version(),
    options: [...self.args, ...given(self)].join(' '),
    whole: suites.length === 0 && grep === undefined,
    shard: shard?.index ?? 1,
    shards: shard?.count ?? 1,
  };
}

/** The machine of a run where none was asked for: one that serves all its suites, or on the model for each suite its own. */
function withMachine(options: Options, chosen: readonly Test[], on: readonly TargetName[], self: Command): Options {
  if (self.getOptionValueSource('machine') === 'cli') return options;
  const wanted = [...new Set(chosen.map(({ suite }) => machineOf(suite) ?? options.machine))];
  const special = wanted.find((machine) => machine !== options.machine);
  if (special === undefined) return options;
  if (on.join() === 'model' && wanted.length > 1 && !options.traceRegisters) return { ...options, perSuite: true };
  return { ...options, machine: special };
}

/** As a report says it. */
function machinesOf({ machine, perSuite }: Options, chosen: readonly Test[]): string {
  const own = perSuite ? [...new Set(chosen.map(({ suite }) => suite))].filter(machineOf) : [];
  return [machine, ...own.map((suite) => `${suite} on ${machineOf(suite)}`)].join(', ');
}

function configOf(suites: readonly string[], options: Options, on: readonly TargetName[]): RunConfig {
  const { seed, timeout, grep, sequences, all, shard } = options;
  const brief = !all && suites.length === 0 && grep === undefined && !on.includes('vm');
  const compared = on.length > 1;
  return {
    suites,
    seed,
    timeout,
    sequences,
    brief,
    trace: compared,
    ...(grep ? { grep: grep.source } : {}),
    ...(shard ? { shard } : {}),
  };
}

/** @throws UserError for an option of the guest where there is none */
function chooseTarget(options: Options, self: Command): readonly TargetName[] {
  const guest = VM_OPTIONS.filter((name) => self.getOptionValueSource(name) === 'cli');
  if (options.on === undefined) return guest.length > 0 ? ['vm'] : ['model'];
  if (!options.on.includes('vm') && guest[0] !== undefined) {
    const flag = self.options.find((option) => option.attributeName() === guest[0])?.long ?? guest[0];
    throw new UserError(`${flag} is about the guest: it goes with --on vm`);
  }
  return options.on;
}

function report(format: Format, write: Write, again: Reproduce, pretty: (write: Write) => Reporter): Reporter {
  if (format === 'ktap') return ktapReporter(write, again);
  if (format === 'junit') return junitReporter(write, again);
  if (format === 'json') return jsonReporter(write, again);
  return pretty(write);
}

/** The tests go on when it cannot be written any further, which is told in one line and fails the run. */
async function openOutput(file: string): Promise<WriteStream> {
  const stream = createWriteStream(file);
  await once(stream, 'open').catch((error: unknown) => {
    throw failure(`--output ${file}`, error);
  });
  stream.on('error', (error) => {
    process.stderr.write(`sagrada: ${failure(`--output ${file}`, error).message}; the report there is not whole\n`);
    process.exitCode = 1;
  });
  return stream;
}

/** The command that runs one test again as it was run. */
function reproduce(id: string, on: string, options: Options, self: Command): string {
  const [suite = ''] = id.split(':', 1);
  const words = ['npx sagrada exercise', suite, '--on', on, ...given(self, NOT_REPEATED)];
  if (self.getOptionValueSource('seed') !== 'cli') words.push('--seed', String(options.seed));
  words.push('--grep', quoted(`^${id.replaceAll(/[\\^$.*+?()[\]{}|]/g, '\\$&')}$`));
  return words.join(' ');
}

/** Options that were given, for a shell. */
function given(self: Command, without: ReadonlySet<string> = new Set()): string[] {
  const words: string[] = [];
  for (const option of self.options) {
    const name = option.attributeName();
    if (self.getOptionValueSource(name) !== 'cli' || without.has(name)) continue;
    const flag = option.long ?? name;
    const value: unknown = self.getOptionValue(name);
    if (option.isBoolean() || option.negate) words.push(flag);
    else if (name === 'on') words.push(flag, String(value));
    else if (name === 'grep') words.push(flag, quoted((value as RegExp).source));
    else if (name === 'shard') words.push(flag, `${(value as Shard).index}/${(value as Shard).count}`);
    else if (Array.isArray(value)) for (const one of value) words.push(flag, quoted(one));
    else if (typeof value === 'object' && value !== null) {
      // --delay: given in microseconds, kept in nanoseconds
      for (const [engine, ns] of Object.entries(value)) words.push(flag, quoted(`${engine}:${Number(ns) / 1000}`));
    } else words.push(flag, quoted(value));
  }
  return words;
}

const NOT_REPEATED: ReadonlySet<string> = new Set([
  'on',
  'grep',
  'format',
  'output',
  'list',
  'json',
  'traceRegisters',
  'registers',
  'shard',
  'results',
  'trace',
  'coverage',
  'lcov',
]);

/** For a shell. */
function quoted(value: unknown): string {
  const text = String(value);
  return /^[\w./:=-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}
