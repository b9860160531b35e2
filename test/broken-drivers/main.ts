/**
 * Tries drivers that are broken on purpose: does the exerciser notice? `node test/broken-drivers/main.ts [--kernel stable]
 * [--only NAME,...] [--all]`. Each is built of Debian's source and put into a running guest; the tests that should notice it run
 * first. With `--all` all others follow where those do not.
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
    build: { type: 'boolean', default: false },
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

/** The driver, as `--patch` builds it. */
async function build(driver: BrokenDriver): Promise<Uint8Array> {
  const before = path.join(parts(cache).driverTree(release), 'pristine', driver.file);
  const after = path.join(work, 'after');
  writeFileSync(after, broken(readFileSync(before, 'utf8'), driver));
  const patch = path.join(work, `${driver.name}.patch`);
  writeFileSync(patch, difference(before, after, driver.file));
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

const machine = (driver: BrokenDriver) => (driver.file.includes('/efa/') ? 'gaudi-efa' : 'gaudi-x2');
const stations = new Map<string, Station>();
let unnoticed = 0;
try {
  for (const driver of chosen) {
    const module = await build(driver).catch((error: Error) =>
      say(`${driver.name}: CANNOT BE BUILT: ${error.message}`),
    );
    if (!module) {
      unnoticed++;
      continue;
    }
    if (values.build) {
      say(`${driver.name}: built`);
      continue;
    }
    const place = machine(driver);
    let station = stations.get(place);
    if (!station) {
      station = new Station({ machine: place, kernel, cache, say });
      stations.set(place, station);
    }
    const run = { seed: 1, timeout: Number(values.timeout), suites: suites.map(({ name }) => name) };
    const own = suites.filter((suite) => (suite.machine ?? 'gaudi-x2') === place).map(({ name }) => name);
    let outcome = await station.try(driver.name, module, { ...run, grep: driver.tests.source });
    if (outcome.noticedBy === undefined && values.all) {
      const done = new Set(chosenTests({ ...run, grep: driver.tests.source }).map(({ id }) => id));
      const left = chosenTests({ ...run, suites: own }).map(({ id }) => id);
      outcome = await station.try(driver.name, module, { ...run, only: left.filter((id) => !done.has(id)) });
    }
    const noticed = outcome.noticedBy !== undefined;
    if (!noticed && driver.unnoticed === undefined) unnoticed++;
    const what = noticed
      ? `noticed by ${outcome.noticedBy}`
      : `NOT NOTICED${driver.unnoticed ? ` (${driver.unnoticed})` : ''}`;
    const reason = outcome.message.split('\n').slice(0, 2).join(' ').slice(0, 160);
    const line = `${driver.name}: ${what} [${outcome.tests} tests, ${outcome.seconds.toFixed(0)} s] ${reason}`;
    console.log(line);
    if (values.output) appendFileSync(values.output, `${line}\n`);
  }
} finally {
  for (const station of stations.values()) await station[Symbol.asyncDispose]();
  if (existsSync(work)) rmSync(work, { recursive: true });
}
process.exitCode = unnoticed > 0 ? 1 : 0;
