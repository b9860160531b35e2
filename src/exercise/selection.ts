/** What a run is about: suites, tests, seeds; and the tests that this means. */

import { sequencesOf } from './agreement/sequences.ts';
import { longTests } from './long-tests.ts';
import { type RunOptions, select } from './runner.ts';
import type { Test } from './suite.ts';
import { namedSuites, suites } from './suites/index.ts';

/** Part `index` (from 1) of `count`. */
export interface Shard {
  readonly index: number;
  readonly count: number;
}

/** A run, as it is told to where it takes place. */
export interface RunConfig extends RunOptions {
  /** Names; empty: all that do not have to be asked for. */
  readonly suites: readonly string[];
  /** Regular expression that `suite: name` matches. */
  readonly grep?: string;
  /** Exactly these tests. */
  readonly only?: readonly string[];
  /** Leave out what takes long. */
  readonly brief?: boolean;
  /** Only one of several parts of the tests. */
  readonly shard?: Shard;
  /** Random sequences there are. */
  readonly sequences?: number;
}

/** The machine that a suite is run on where nobody asks for another, if it is not the usual one. */
export function machineOf(suite: string): string | undefined {
  return suites.find(({ name }) => name === suite)?.machine;
}

export function chosenTests(config: RunConfig): Test[] {
  // a sequence that is named is run, whatever else was asked for
  const only = config.only === undefined ? {} : { only: config.only };
  const named = namedSuites.filter(
    ({ name, tests }) => config.suites.includes(name) || tests.some(({ id }) => config.only?.includes(id)),
  );
  const tests = select([...suites, ...named, sequencesOf(config)], {
    suites: config.suites,
    ...(config.grep === undefined || config.only !== undefined ? {} : { grep: new RegExp(config.grep) }),
    ...only,
  });
  if (config.only !== undefined) return tests;
  const run = config.brief ? tests.filter(({ id }) => !longTests.has(id)) : tests;
  const { shard } = config;
  // one after the other in turn, so that the tests of a suite, which are alike, are spread
  return shard === undefined ? run : run.filter((_, i) => i % shard.count === shard.index - 1);
}
