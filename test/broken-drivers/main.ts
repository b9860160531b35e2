/**
 * Tries drivers that are broken on purpose: does the exerciser notice? `node test/broken-drivers/main.ts [--kernel stable]
 * [--only NAME,...] [--all] [--together]`. Each is built of Debian's source and put into a running guest; the tests that should notice it run
 * first. With `--all` all others follow where those do not. With `--together` all changes are made to one driver, which is quick: a
 * row is then noticed when one of its own tests fails.
 */

import { execFileSync } from 'node:child_process';
import { appendFileSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { chosenTests } from '../../src/exercise/selection.ts';
import { suites } from '../../src/exercise/suites/index.ts';
import { parts, type Suite } from '../../src/machine/vm/cache-parts.ts';
import { GivenDrivers } from '../../src/machine/vm/given-drivers.ts';
import { prepare } from '../../src/machine/vm/prepare.ts';
import { cacheFolder } from '../../src/os/cache.ts';
import { type BrokenDriver, broken, brokenDrivers } from './drivers.ts';
import { Station } from './station.ts';

const { values } = parseArgs({
  options: {
    kernel: { type: 'string', default: 'backports' },
    only: { type: 'string' },
    all: { type: 'boolean', default: false },
    together: { type: 'boolean', default: false },
    output: { type: 'string' },
    timeout: { type: 'string', default: '60' },
  },
});

const cache = cacheFolder();
const say = (line: string) => void process.stderr.write(`${line}\n`);
const kernel = values.kernel as Suite;
const only = values.only?.split(',');
const chosen = brokenDrivers.filter(({ name }) => only === undefined || only.includes(name));
const unknown = only?.find((name) => !brokenDrivers.some((driver) => driver.name === name));
if (unknown !== undefined) throw new Error(`no broken driver "${unknown}"`);

const prepared = await prepare({ kernel, cache, say, drivers: true, nic: true });
const release = prepared.release as string;
const work = path.join(cache, 'run', `broken-patches-${process.pid}`);
mkdirSync(work, { recursive: true });

/** A driver with these changes, as `--patch` builds it. */
async function build(name: string, rows: readonly BrokenDriver[]): Promise<Uint8Array> {
  let text = '';
  for (const [file, changes] of Map.groupBy(rows, (row) => row.file)) {
    const before = path.join(parts(cache).driverTree(release), 'pristine', file);
    const after = path.join(work, 'after');
    writeFileSync(after, changes.reduce(broken, readFileSync(before, 'utf8')));
    text += difference(before, after, file);
  }
  const patch = path.join(work, `${name}.patch`);
  writeFileSync(patch, text);
  const given = new GivenDrivers([patch], []);
  const { modules } = await given.build({ cache, kernel: prepared.kernel, release, say: () => {} });
  return modules[0]?.bytes as Uint8Array;
}

function difference(before: string, after: string, file: string): string {
  try {
    return execFileSync('diff', ['-u', '--label', `a/${file}`, '--label', `b/${file}`, before, after]).toString();
  } catch (error) {
    // diff(1) ends with 1 where there is a difference
    return (error as { stdout: Buffer }).stdout.toString();
  }
}

const machine = (driver: BrokenDriver) => (driver.file.includes('/efa/') ? 'gaudi-x2-efa-x2' : 'gaudi-x2');
const stations = new Map<string, Station>();
const run = { seed: 1, timeout: Number(values.timeout), suites: suites.map(({ name }) => name) };
let unnoticed = 0;

function stationFor(place: string): Station {
  const station = stations.get(place) ?? new Station({ machine: place, kernel, cache, say });
  stations.set(place, station);
  return station;
}

/** @param by undefined: nothing has noticed it */
function tell({ name, unnoticed: why }: BrokenDriver, by: string | undefined, how: string): void {
  if (by === undefined && why === undefined) unnoticed++;
  const line = `${name}: ${by === undefined ? `NOT NOTICED${why ? ` (${why})` : ''}` : `noticed by ${by}`} ${how}`;
  console.log(line);
  if (values.output) appendFileSync(values.output, `${line}\n`);
}

async function each(driver: BrokenDriver): Promise<void> {
  const place = machine(driver);
  const module = await build(driver.name, [driver]);
  let outcome = await stationFor(place).try(driver.name, module, { ...run, grep: driver.tests.source });
  if (outcome.noticedBy === undefined && values.all) {
    const done = new Set(chosenTests({ ...run, grep: driver.tests.source }).map(({ id }) => id));
    const own = suites.filter((suite) => (suite.machine ?? 'gaudi-x2') === place).map(({ name }) => name);
    const left = chosenTests({ ...run, suites: own }).map(({ id }) => id);
    outcome = await stationFor(place).try(driver.name, module, { ...run, only: left.filter((id) => !done.has(id)) });
  }
  const reason = outcome.message.split('\n').slice(0, 2).join(' ').slice(0, 160);
  tell(driver, outcome.noticedBy, `[${outcome.tests} tests, ${outcome.seconds.toFixed(0)} s] ${reason}`);
}

async function together(place: string, rows: readonly BrokenDriver[]): Promise<void> {
  const module = await build('together', rows);
  const left = new Set(rows.flatMap(({ tests }) => chosenTests({ ...run, grep: tests.source }).map(({ id }) => id)));
  const failed: string[] = [];
  // a test that takes the guest with it does not keep the others from theirs
  while (left.size > 0) {
    const outcome = await stationFor(place).try('together', module, { ...run, only: [...left] }, true);
    failed.push(...outcome.failed);
    for (const id of outcome.done) left.delete(id);
    say(`${outcome.tests} tests in ${outcome.seconds.toFixed(0)} s, ${left.size} left; ${outcome.failed.at(-1) ?? ''}`);
    if (outcome.done.length === 0) {
      say(outcome.message);
      break;
    }
    if (!outcome.dead) break;
  }
  for (const row of rows) {
    const by = failed.filter((id) => row.tests.test(id));
    tell(row, by[0], by.length > 1 ? `and ${by.length - 1} more` : '');
  }
}

try {
  if (values.together) for (const [place, rows] of Map.groupBy(chosen, machine)) await together(place, rows);
  else for (const driver of chosen) await each(driver);
} finally {
  for (const station of stations.values()) await station[Symbol.asyncDispose]();
  if (existsSync(work)) rmSync(work, { recursive: true });
}
process.exitCode = unnoticed > 0 ? 1 : 0;
