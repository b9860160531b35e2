/**
 * Random sequences of calls whose resources flow from those that make them to those that take them. A sequence is a test: its
 * name says which it is, so that it can be run again, and with some of its steps left out.
 */

import { type Driver, SystemError } from '../../driver/driver.ts';
import { Random } from '../../sim/random.ts';
import { csFlags, DRM_IOCTL_HL_CS } from '../../uapi/habanalabs/cs.ts';
import { DRM_IOCTL_HL_INFO } from '../../uapi/habanalabs/info.ts';
import { DRM_IOCTL_HL_WAIT_CS } from '../../uapi/habanalabs/wait-cs.ts';
import { type Suite, suite } from '../suite.ts';
import { INVALID, type Kind, type Numbers, type World } from './operation-rows.ts';
import { operations } from './operations.ts';
import { compared, History } from './recorder.ts';

/** Steps of a sequence. */
export const LENGTH = 40;
export const SUITE = 'sequences';

export interface Step {
  readonly operation: string;
  /** Steps that made what it takes; undefined: nothing valid. */
  readonly takes: readonly (number | undefined)[];
  readonly numbers: Numbers;
}

/** What a step has made. */
interface Resource {
  readonly kind: Kind;
  readonly step: number;
  ended: boolean;
}

/** What there is after these steps. */
export function resourcesOf(steps: readonly Step[]): Resource[] {
  const made: Resource[] = [];
  for (const [index, { operation, takes }] of steps.entries()) {
    const row = operations[operation];
    const ended = row?.ends === undefined ? undefined : takes[row.ends];
    for (const resource of made) if (resource.step === ended) resource.ended = true;
    if (row?.makes) made.push({ kind: row.makes, step: index, ended: false });
  }
  return made;
}

/** Names of operations, each as often as it is to be drawn. @param only these; empty: all @param nics whether there are any */
export function lottery(only: readonly string[] = [], nics = false): string[] {
  return Object.entries(operations)
    .filter(([name, { needs }]) => (only.length === 0 ? nics || needs !== 'nic' : only.includes(name)))
    .flatMap(([name, { weight }]) => new Array<string>(weight).fill(name));
}

/** A step that may come next. @param names of operations to choose from. @returns undefined when what was drawn is of little interest */
export function drawStep(random: Random, names: readonly string[], made: readonly Resource[]): Step | undefined {
  const operation = names[random.below(names.length)] as string;
  const row = operations[operation];
  if (!row) return undefined;
  const takes = row.takes.map((kind) => drawResource(random, kind, made));
  // what has nothing to work on is seldom interesting
  if (takes.some((step) => step === undefined) && random.below(8) > 0) return undefined;
  return { operation, takes, numbers: row.draw?.(random) ?? {} };
}

/** The step that made something of this kind, now and then something that is gone, or nothing. */
export function drawResource(random: Random, kind: Kind, made: readonly Resource[]): number | undefined {
  const all = made.filter((resource) => resource.kind === kind);
  const live = all.filter(({ ended }) => !ended);
  const list = live.length > 0 && random.below(10) > 0 ? live : all;
  return random.below(25) === 0 ? undefined : list[random.below(list.length)]?.step;
}

/** The sequence of a seed. The first step opens a card. */
export function generate(random: Random, length = LENGTH, names: readonly string[] = lottery()): Step[] {
  const steps: Step[] = [{ operation: 'open_compute', takes: [], numbers: { card: 0 } }];
  while (steps.length < length) {
    const step = drawStep(random, names, resourcesOf(steps));
    if (step) steps.push(step);
  }
  return steps;
}

/** A step as a line of a program: `r3 = cb_create(r0) {size: 4096, flags: 0}`. */
export function lineOf({ operation, takes, numbers }: Step, index: number): string {
  const row = operations[operation];
  const result = row?.makes ? `r${index} = ` : '';
  const taken = takes.map((step, i) => (step === undefined ? `no ${row?.takes[i]}` : `r${step}`)).join(', ');
  const drawn = Object.entries(numbers).map(
    ([key, value]) => `${key}: ${value > 9999 ? `0x${value.toString(16)}` : value}`,
  );
  return `${result}${operation}(${taken})${drawn.length === 0 ? '' : ` {${drawn.join(', ')}}`}`;
}

/** Name of the test of a sequence. @param without indices of steps that are left out */
export function nameOf(number: number, without: readonly number[] = []): string {
  return without.length === 0 ? String(number) : `${number} without ${without.join(' ')}`;
}

/** @returns undefined for what is no name of a sequence */
export function parseName(name: string): { readonly number: number; readonly without: readonly number[] } | undefined {
  const match = /^(\d+)(?: without ((?:\d+ ?)+))?$/.exec(name);
  if (!match) return undefined;
  return {
    number: Number(match[1]),
    without: (match[2] ?? '')
      .split(' ')
      .filter((s) => s !== '')
      .map(Number),
  };
}

/** The sequence with this number, of a run with this seed. */
export function sequence(seed: number, number: number): Step[] {
  return generate(new Random(Math.imul(seed, 0x9e3779b1) ^ number));
}

/**
 * Sequences 1 to `count`, and those that are named.
 * @param names of tests, without the suite
 */
export function sequenceSuite(seed: number, count: number, names: readonly string[] = []): Suite {
  return suite(SUITE, 'Random calls, with what they make and take.', (test) => {
    const numbered = Array.from({ length: count }, (_, i) => nameOf(i + 1));
    for (const name of new Set([...numbered, ...names])) {
      const parsed = parseName(name);
      if (!parsed) continue;
      test(name, (t) => {
        // whatever is asked for may be complained of; the complaints are compared
        t.expectMessages(/./);
        const { signal } = t;
        const step = (text: string, outcome: string) => t.step(text, outcome);
        perform(t.target.driver, sequence(seed, parsed.number), { signal, step, without: new Set(parsed.without) });
      });
    }
  });
}

/** Those that a run is about. */
export function sequencesOf(config: {
  readonly seed: number;
  readonly suites: readonly string[];
  readonly sequences?: number;
  readonly only?: readonly string[];
}): Suite {
  const names = (config.only ?? []).filter((id) => id.startsWith(`${SUITE}: `)).map((id) => id.slice(SUITE.length + 2));
  return sequenceSuite(config.seed, config.suites.includes(SUITE) ? (config.sequences ?? 0) : 0, names);
}

interface PerformOptions {
  /** Ends it between two steps. */
  readonly signal?: AbortSignal;
  /** Told what is about to be done. */
  readonly before?: (index: number) => void;
  /** Told each step, as a line, and what came of it, as it is compared. */
  readonly step: (text: string, outcome: string) => void;
  /** Indices of steps that are left out. */
  readonly without?: ReadonlySet<number>;
}

/** Makes the calls of a sequence, waits for what it has submitted, and gives back what it has made. @throws the signal's reason */
export function perform(
  driver: Driver,
  steps: readonly Step[],
  { signal, before, step: tell, without = new Set() }: PerformOptions,
): void {
  const scratch = driver.allocate(64 * 1024);
  const values = new Map<number, unknown>();
  const open = new DisposableStack();
  const files = new Set<number>();
  let submissions: Submitted[] = [];
  const history = new History();
  let outcome = '';
  const world: World = {
    driver,
    scratch,
    settle(fd, seq) {
      attempt(() =>
        driver.ioctl(
          fd,
          DRM_IOCTL_HL_WAIT_CS.request,
          DRM_IOCTL_HL_WAIT_CS.argument.encode({ in: { seq, timeout_us: 60_000_000 } }),
        ),
      );
    },
    settleAll(fd) {
      for (const each of submissions) if (each.fd === fd) world.settle(fd, each.seq);
      submissions = submissions.filter((each) => each.fd !== fd);
    },
    ioctl(fd, ioctl, value) {
      const before = ioctl.argument.encode(value);
      const after = before.slice();
      const code = attempt(() => driver.ioctl(fd, ioctl.request, after));
      const answer = ioctl.request === DRM_IOCTL_HL_INFO.request ? scratch.bytes.slice() : undefined;
      const raw = { request: ioctl.request, before, after, answer };
      outcome = compared({ on: '', name: '', ioctl: raw, outcome: code }, history)?.outcome ?? '(not compared)';
      if (code !== 'ok') throw new Refused(code);
      return ioctl.argument.decode(after);
    },
  };
  try {
    for (const [index, step] of steps.entries()) {
      if (without.has(index)) continue;
      signal?.throwIfAborted();
      before?.(index);
      const row = operations[step.operation];
      if (!row) continue;
      const taken = row.takes.map((kind, i) => values.get(step.takes[i] ?? -1) ?? INVALID[kind]);
      outcome = 'ok';
      try {
        const value = row.perform(world, taken, step.numbers);
        if (row.makes) values.set(index, value);
        keep(row.makes, value, { open, files, world, submissions }, taken);
        const ended = row.ends === undefined ? undefined : taken[row.ends];
        const kind = row.ends === undefined ? undefined : row.takes[row.ends];
        if (kind !== undefined && FILES.has(kind)) {
          // its number may be another file's from now on
          files.delete(ended as number);
          values.set(step.takes[row.ends ?? 0] ?? -1, INVALID[kind]);
        }
      } catch (error) {
        if (error instanceof SystemError) outcome = error.code;
        else if (!(error instanceof Refused)) throw error;
      }
      tell(lineOf(step, index), outcome);
    }
    for (const { fd, seq } of submissions) world.settle(fd, seq);
  } finally {
    open.dispose();
    scratch.unmap();
  }
}

/** Kinds that are descriptors, or have one. */
const FILES: ReadonlySet<Kind> = new Set(['compute', 'control', 'eventfd', 'dmabuf', 'nic']);

/** The ioctl was refused, which `outcome` says. */
class Refused extends Error {}

function attempt(call: () => unknown): string {
  try {
    call();
    return 'ok';
  } catch (error) {
    if (error instanceof SystemError) return error.code;
    throw error;
  }
}

/** Work that was submitted through a file. */
interface Submitted {
  readonly fd: number;
  readonly seq: bigint;
}

/** What a sequence has at some time. */
interface Belongings {
  /** Gives back the rest in the end. */
  readonly open: DisposableStack;
  /** Descriptors that are open. */
  readonly files: Set<number>;
  readonly submissions: Submitted[];
  readonly world: World;
}

/** Notes what has to be given back when the sequence ends. */
function keep(kind: Kind | undefined, value: unknown, belongings: Belongings, taken: readonly unknown[]): void {
  const { open, files, world, submissions } = belongings;
  const file = taken[0] as number;
  switch (kind) {
    case 'compute':
    case 'control':
    case 'eventfd':
    case 'dmabuf':
      files.add(value as number);
      open.defer(() => {
        if (files.delete(value as number)) attempt(() => world.driver.close(value as number));
      });
      break;
    case 'reservation': {
      // a card that is closed with one is reset, which takes seconds
      const give = {
        encaps_sig_handle_id: value as number,
        cs_flags: csFlags.HL_CS_FLAGS_UNRESERVE_SIGNALS_ONLY.value,
      };
      const argument = DRM_IOCTL_HL_CS.argument.encode({ in: give });
      open.defer(() => {
        if (files.has(file)) attempt(() => world.driver.ioctl(file, DRM_IOCTL_HL_CS.request, argument));
      });
      break;
    }
    case 'nic':
      open.adopt(value as { close(): void }, (nic) => nic.close());
      break;
    case 'memory':
      open.adopt(value as { unmap(): void }, (memory) => memory.unmap());
      break;
    case 'packets':
      open.adopt(value as { mapping: { unmap(): void } }, ({ mapping }) => mapping.unmap());
      break;
    case 'submission':
    case 'signal':
      submissions.push({ fd: file, seq: value as bigint });
  }
}
