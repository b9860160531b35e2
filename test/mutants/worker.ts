/**
 * A process of `npm run mutate`: runs tests on the model with one mutant until one of them notices, or, for a survey, without any
 * and tells which mutants each test passes.
 */

import process from 'node:process';
import { install } from './hook.ts';
import type { Mutant } from './mutant.ts';
import type { Saboteur as SaboteurType } from './taps.ts';

export interface Order {
  readonly mutants: readonly Mutant[];
  readonly survey: boolean;
  /** Names of tests, in this order; a survey runs all. */
  readonly tests: readonly string[];
  /** Of a survey: only tests whose names contain it. */
  readonly by?: string;
}

export type Told =
  | { readonly type: 'noticed'; readonly by: string; readonly how: string }
  | { readonly type: 'begun' }
  | { readonly type: 'done' }
  | { readonly type: 'survived'; readonly tests: number }
  | { readonly type: 'surveyed'; readonly test: string; readonly ms: number; readonly passes: readonly string[] }
  | { readonly type: 'broken'; readonly text: string };

declare global {
  var sagradaMutant: SaboteurType;
}

/** Seconds for a test, without and with a mutant. */
const TIMEOUT = { SURVEY: 60, MUTANT: 10 } as const;
/** Where tests run whose needs no suite's own machine meets. */
const MACHINES: Readonly<Record<string, string>> = { apart: 'gaudi-x2-apart', 'nic-apart': 'gaudi-efa-apart' };
const tell = (told: Told): void => {
  process.send?.(told);
};

/** Is it told of a mutant of the source, then of nothing else: others may follow each other in one process. */
let running: Promise<void> = Promise.resolve();
process.on('message', (order: Order) => {
  running = running
    .then(() => carryOut(order))
    .catch((error: Error) => {
      if (order.survey) tell({ type: 'broken', text: error.stack ?? error.message });
      else tell({ type: 'noticed', by: 'the machine', how: error.message });
    });
});

// whoever asked has gone
process.on('disconnect', () => process.exit());

const registers = new Set<string>();
let passes = new Set<string>();
let only: string | undefined;
let installed = false;
const { Saboteur } = await import('./taps.ts');
globalThis.sagradaMutant = new Saboteur((name, present) => {
  if (present) passes.add(name);
  return name === only;
}, registers);

async function carryOut({ mutants, survey, tests, by = '' }: Order): Promise<void> {
  only = survey ? undefined : mutants[0]?.name;
  if (!installed) install(mutants, survey);
  installed = true;
  registers.clear();
  for (const { name } of mutants) if (name.startsWith('register: ')) registers.add(name);

  const { ModelMachine } = await import('../../src/machine/model.ts');
  const { suites } = await import('../../src/exercise/suites/index.ts');
  const { runInProcess } = await import('../../src/exercise/in-process.ts');
  const { divide } = await import('../../src/exercise/needs.ts');
  const all = suites.flatMap((suite) =>
    suite.tests.map((test) => ({ test, machine: MACHINES[test.options.needs ?? ''] ?? suite.machine ?? 'gaudi-x2' })),
  );
  const chosen = survey
    ? all.filter(({ test }) => test.id.includes(by))
    : tests.flatMap((id) => all.filter(({ test }) => test.id === id));
  if (!survey && chosen.length < tests.length) {
    tell({ type: 'broken', text: `there is no test ${tests.find((id) => !all.some(({ test }) => test.id === id))}` });
    return;
  }
  using made = new DisposableStack();
  const machines = new Map<string, InstanceType<typeof ModelMachine>>();
  const machineNamed = (name: string) => {
    const known = machines.get(name);
    if (known) return known;
    const machine = made.use(new ModelMachine({ machine: name }));
    machines.set(name, machine);
    // the machine's own start is passed by all its tests
    if (survey) tell({ type: 'surveyed', test: '', ms: 0, passes: [...passes] });
    return machine;
  };
  if (tests.length === 0 && !survey) for (const { machine } of all) machineNamed(machine);
  const timeout = survey ? TIMEOUT.SURVEY : TIMEOUT.MUTANT;
  let run = 0;
  for (const { test, machine: name } of chosen) {
    tell({ type: 'begun' });
    const machine = machineNamed(name);
    passes = new Set();
    if (divide([test], machine.driver).run.length === 0) {
      if (survey) continue;
      // what it needs was there without the mutant
      tell({ type: 'noticed', by: test.id, how: 'there is not what it needs any more' });
      return;
    }
    const [result] = await runInProcess([test], machine, { seed: 1, timeout }, () => {});
    run++;
    if (result?.status === 'failed') {
      const how = result.failure?.message.split('\n').slice(0, 2).join(' ') ?? '';
      if (survey) throw new Error(`without any mutant "${test.id}" fails: ${how}`);
      tell({ type: 'noticed', by: test.id, how });
      return;
    }
    if (survey) tell({ type: 'surveyed', test: test.id, ms: result?.ms ?? 0, passes: [...passes] });
  }
  tell(survey ? { type: 'done' } : { type: 'survived', tests: run });
}
