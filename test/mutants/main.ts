/**
 * `npm run mutate`: whether the suites notice mistakes in the
 * device models and in the executable specification of the drivers. docs/mutants.md says how, and what they do not notice.
 */

import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import process from 'node:process';
import { parseArgs } from 'node:util';
import { Random } from '../../src/sim/random.ts';
import { allMutants } from './all.ts';
import { apply, familyOf, type Mutant } from './mutant.ts';
import { Station } from './station.ts';
import { reasonOf, reasons } from './survivors.ts';
import { taps } from './taps.ts';

const root = path.resolve(import.meta.dirname, '../..');
const NOTICED = path.join(import.meta.dirname, 'noticed.json');
const GOAL = 0.95;

interface Verdict {
  readonly mutant: Mutant;
  /** The test, or undefined: nobody has noticed. */
  readonly by: string | undefined;
  readonly how: string;
}

const USAGE = `Usage: npm run mutate [-- OPTIONS]

Makes one small mistake at a time in the device models or in the executable specification of the drivers, and tells which test of
the suites notices, how, or that none does (docs/mutants.md).

  --only TEXT    mutants whose name contains the text
  --by TEXT      of the tests, only those whose name contains the text
  --new          mutants that nobody is remembered to have noticed
  --sample N     N of those that are remembered, always the same ones
  --patience S   seconds that the tests of a mutant nobody is remembered for may take together (4)
  --jobs N       processes at a time (1)
  --write        remember in test/mutants/noticed.json who has noticed
  --help         this text`;

const options = readOptions();
/** Milliseconds that the tests of a mutant may take, by their time without it: the fastest are asked first. */
const PATIENCE = 1000 * options.patience;

const remembered: Record<string, string> = existsSync(NOTICED) ? JSON.parse(readFileSync(NOTICED, 'utf8')) : {};
const everything = allMutants();
for (const edit of [...taps, ...everything.flatMap(({ edit }) => edit ?? [])]) {
  apply(readFileSync(path.join(root, edit.file), 'utf8'), edit);
}
const mutants = choose(everything);
console.log(`${mutants.length} of ${everything.length} mutants`);

for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, finish);

/** Who is remembered to have noticed is asked first. */
const verdicts = new Map<string, Verdict>();
await inParallel(
  mutants.filter(({ name }) => remembered[name] !== undefined),
  async (mutant, station) => {
    const by = remembered[mutant.name] as string;
    const verdict = await examine(mutant, by.includes(': ') ? [by] : [], station);
    if (verdict.by !== undefined) tell(verdict);
  },
);
const open = mutants.filter(({ name }) => !verdicts.has(name));
if (open.length > 0) {
  const reached = await survey(open);
  const none = open.filter(({ name }) => !reached.has(name));
  for (const { name } of none) console.log(`no test comes to ${name}`);
  console.log(`${none.length} of ${open.length} are where no test comes`);
  await inParallel(open, async (mutant, station) => {
    const tests = reached.get(mutant.name) ?? [];
    if (tests.length > 0) tell(await examine(mutant, tests, station));
    else tell({ mutant, by: undefined, how: 'no test comes there' });
  });
}
finish();

function finish(): never {
  process.exit(conclude());
}

function readOptions() {
  try {
    const { values } = parseArgs({
      options: {
        only: { type: 'string' },
        by: { type: 'string', default: '' },
        jobs: { type: 'string', default: '1' },
        sample: { type: 'string' },
        new: { type: 'boolean', default: false },
        patience: { type: 'string', default: '4' },
        write: { type: 'boolean', default: false },
        help: { type: 'boolean', short: 'h', default: false },
      },
    });
    if (values.help) {
      console.log(USAGE);
      process.exit(0);
    }
    const { sample } = values;
    return {
      ...values,
      jobs: positive('jobs', values.jobs),
      patience: positive('patience', values.patience),
      sample: sample === undefined ? undefined : positive('sample', sample),
    };
  } catch (error) {
    console.error(`${(error as Error).message}\n\n${USAGE}`);
    process.exit(2);
  }
}

function positive(option: string, text: string): number {
  const value = Number(text);
  if (!(value > 0) || !Number.isFinite(value)) throw new Error(`--${option} takes a number above 0, not "${text}"`);
  return value;
}

function choose(all: readonly Mutant[]): readonly Mutant[] {
  const { only, sample } = options;
  if (options.new || only !== undefined)
    return all.filter(
      ({ name }) => (!options.new || remembered[name] === undefined) && (only === undefined || name.includes(only)),
    );
  if (sample === undefined) return all;
  const random = new Random(1);
  const rest = all.filter(({ name }) => remembered[name] !== undefined);
  return Array.from({ length: Math.min(sample, rest.length) }, () => rest.splice(random.below(rest.length), 1)).flat();
}

async function inParallel(
  list: readonly Mutant[],
  body: (mutant: Mutant, station: Station) => Promise<void>,
): Promise<void> {
  const rest = [...list];
  const lane = async () => {
    const station = new Station();
    try {
      for (let mutant = rest.shift(); mutant; mutant = rest.shift()) await body(mutant, station);
    } finally {
      station.end();
    }
  };
  await Promise.all(Array.from({ length: options.jobs }, lane));
}

async function examine(mutant: Mutant, tests: readonly string[], station: Station): Promise<Verdict> {
  // what is loaded with a mutant in its source is good for nothing else
  if (mutant.edit) station.end();
  const last = await station.order({ mutants: [mutant], survey: false, tests });
  if (mutant.edit) station.end();
  if (typeof last !== 'string' && last.type === 'broken') throw new Error(last.text);
  if (typeof last !== 'string' && last.type === 'noticed') return { mutant, by: last.by, how: last.how };
  if (typeof last !== 'string' && last.type === 'survived') {
    return { mutant, by: undefined, how: `${last.tests} tests do not mind` };
  }
  return { mutant, by: tests[0] ?? 'the machine', how: last === 'late' ? 'hangs' : 'the process ends' };
}

/** Tests by mutant that pass the place where it would be, the fastest first. */
async function survey(list: readonly Mutant[]): Promise<Map<string, string[]>> {
  const times = new Map<string, number>();
  const reached = new Map<string, Set<string>>();
  const atStart = new Set<string>();
  const add = (name: string, test: string) => {
    const tests = reached.get(name) ?? new Set();
    reached.set(name, tests.add(test));
  };
  const station = new Station();
  const last = await station.order({ mutants: list, survey: true, tests: [], by: options.by }, (told) => {
    if (told.type !== 'surveyed') return;
    if (told.test === '') for (const name of told.passes) atStart.add(name);
    else {
      times.set(told.test, told.ms);
      for (const name of told.passes) add(name, told.test);
    }
  });
  station.end();
  if (typeof last === 'string' || last.type !== 'done') {
    throw new Error(`the tests do not run: ${typeof last === 'string' ? last : JSON.stringify(last)}`);
  }
  const time = (test: string) => times.get(test) ?? 0;
  const sorted = (tests: Iterable<string>) => [...tests].sort((a, b) => time(a) - time(b));
  const byName = new Map([...reached].map(([name, tests]) => [name, sorted(tests)]));
  for (const name of atStart) {
    // what begins wrong shows later: after those that come there again, all others
    const first = byName.get(name) ?? [];
    byName.set(name, [...new Set([...first, ...sorted(times.keys())])]);
  }
  for (const [name, tests] of byName) {
    let sum = 0;
    const within = tests.filter((test) => {
      sum += time(test);
      return sum < PATIENCE;
    });
    byName.set(name, within.length > 0 ? within : tests.slice(0, 1));
  }
  return byName;
}

function tell(verdict: Verdict): void {
  verdicts.set(verdict.mutant.name, verdict);
  const { mutant, by, how } = verdict;
  console.log(by === undefined ? `SURVIVES  ${mutant.name}: ${how}` : `noticed   ${mutant.name}: ${by} (${how})`);
}

function conclude(): number {
  const all = [...verdicts.values()];
  const alive = all.filter(({ by }) => by === undefined);
  if (options.write) {
    const known = new Set(everything.map(({ name }) => name));
    const noticed = { ...remembered };
    for (const { mutant, by } of all) {
      if (by === undefined) delete noticed[mutant.name];
      else noticed[mutant.name] = by;
    }
    const kept = Object.entries(noticed).filter(([name]) => known.has(name));
    kept.sort(([a], [b]) => (a < b ? -1 : 1));
    writeFileSync(NOTICED, `${JSON.stringify(Object.fromEntries(kept), undefined, 2)}\n`);
  }
  for (const [family, list] of Map.groupBy(all, ({ mutant }) => familyOf(mutant))) {
    const noticed = list.filter(({ by }) => by !== undefined).length;
    console.log(`${family.padEnd(10)} ${noticed} of ${list.length} noticed`);
  }
  const equivalent = alive.filter(({ mutant }) => reasonOf(mutant.name)?.equivalent);
  const counted = all.length - equivalent.length;
  const share = counted === 0 ? 1 : (all.length - alive.length) / counted;
  console.log(
    `all        ${all.length - alive.length} of ${counted} noticed: ${(100 * share).toFixed(1)} %; ` +
      `${equivalent.length} more make no difference`,
  );
  for (const [reason, list] of Map.groupBy(alive, ({ mutant }) => reasonOf(mutant.name))) {
    console.log(`${reason?.why ?? 'no reason is known'}:`);
    for (const { mutant, how } of list) console.log(`  ${mutant.name} (${how})`);
  }
  const unexplained = alive.filter(({ mutant }) => reasonOf(mutant.name) === undefined);
  const whole = all.length === everything.length;
  const stale = reasons.filter(({ of }) => whole && !alive.some(({ mutant }) => of.test(mutant.name)));
  for (const { of } of stale) console.log(`a reason of which no mutant is left: ${of}`);
  return unexplained.length > 0 || stale.length > 0 || share < GOAL ? 1 : 0;
}
