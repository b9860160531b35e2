/** How a suite is written: a name, a sentence, and tests that are given all they may touch. */

import type { Driver } from '../driver/driver.ts';
import type { Device } from '../runtime/device.ts';
import type { Random } from '../sim/random.ts';
import type { Need } from './needs.ts';
import type { Counts } from './remains.ts';

/** A line of the kernel's log: syslog level (0 emergency .. 7 debug) and text. */
export interface LogLine {
  readonly level: number;
  readonly text: string;
}

/** What a device has moved to and from a place so far, as the fabric between them counts it. */
export interface Moved {
  readonly from: string;
  /** Another device, or `host`: memory of the host. */
  readonly to: string;
  /** By which way: across a switch, through the root complex, or to memory of the host. */
  readonly route: string;
  /** Bytes that `from` has read there. */
  readonly read: number;
  readonly written: number;
}

/** What goes wrong in the devices, where that can be brought about. */
export interface FaultPort {
  /** Has a card do something wrong: `[CARD/]NAME[:word[.word]][@when]`. @throws UserError where there is no such fault */
  inject(text: string): Promise<void>;
  /** Ends all that wait or last. */
  clear(): Promise<void>;
  /** Those that have happened since the last call, each as often as it has. */
  happened(): Promise<readonly string[]>;
}

/** Where tests run: a driver to call, and what that driver logs. Suites do not know which one it is. */
export interface Target {
  readonly driver: Driver;
  /** Number of accelerators. */
  readonly devices: number;
  /** Lines logged since the last call. */
  messages(): readonly LogLine[];
  /** Has `note` told of what happens in the devices from now on, where that can be seen. */
  observe?(note: (text: string) => void): void;
  /** What there is in the driver, where it counts that: what is more after a test than before was left behind. */
  counts?(): Counts;
  /** What devices have moved so far, where that is counted. */
  traffic?(): Promise<readonly Moved[]>;
  readonly faults?: FaultPort;
}

export interface TestContext {
  readonly target: Target;
  /** The first card, opened at first use and closed when the test ends. */
  readonly device: Device;
  /** Opens a card; closed when the test ends, if the test has not done so. */
  open(index?: number): Device;
  /** Registers something to dispose of when the test ends; the last registered goes first. */
  use<T extends Disposable>(resource: T): T;
  /** Seeded by the run's seed and the test's name. */
  readonly random: Random;
  /** Aborted when the test's time is over. */
  readonly signal: AbortSignal;
  /** Tells of a step of a course that is not written down in the test, and what came of it; compared between targets. */
  step(text: string, outcome: string): void;
  /** Says that the driver will log lines that match, because the test provokes them; any other warning fails the test. */
  expectMessages(...patterns: RegExp[]): void;
}

export interface TestOptions {
  /** Cards the test needs; where there are fewer it is skipped. Default 1. */
  readonly devices?: number;
  /** Seconds; default is the run's. */
  readonly timeout?: number;
  /** What there must be; where it is not, the test is left out. */
  readonly needs?: Need;
}

export interface Test {
  /** `suite: what is stated`. */
  readonly id: string;
  readonly suite: string;
  readonly name: string;
  readonly options: TestOptions;
  run(t: TestContext): void | Promise<void>;
}

export interface Suite {
  readonly name: string;
  readonly about: string;
  /** The machine it is run on where nobody asks for another. */
  readonly machine?: string;
  readonly tests: readonly Test[];
}

/** What `suite` hands to its body to declare tests with. */
export type Declare = (name: string, run: Test['run'], options?: TestOptions) => void;

/** @throws Error when two tests of the suite have one name. */
export function suite(
  name: string,
  about: string,
  body: (test: Declare) => void,
  options: Pick<Suite, 'machine'> = {},
): Suite {
  const tests = new Map<string, Test>();
  body((testName, run, options = {}) => {
    const id = `${name}: ${testName}`;
    if (tests.has(id)) throw new Error(`two tests named "${id}"`);
    tests.set(id, { id, suite: name, name: testName, options, run });
  });
  return { name, about, tests: [...tests.values()], ...options };
}
