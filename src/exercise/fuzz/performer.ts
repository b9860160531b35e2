/** Performs sequences on a driver, one after the other, and says what each of them did. */

import type { Driver } from '../../driver/driver.ts';
import { perform } from '../agreement/sequences.ts';
import type { Step } from '../events.ts';
import { noise } from '../noise.ts';
import type { LogLine } from '../suite.ts';
import type { Course, Probe, Request, Trouble } from './course.ts';
import { parseSequence } from './program.ts';

/** Where sequences are performed. */
export interface Stage {
  readonly driver: Driver;
  readonly probe: Probe;
  /** Lines logged since the last call. */
  messages(): readonly LogLine[];
  /** Whether a line is one that no sequence may cause. */
  isAlarm(line: LogLine): boolean;
  /** What device models have refused since the last call, where that is known here. */
  refusals(): readonly string[];
}

const WARNING = 4;
/** Nanoseconds that a card which is being reset is waited for: it takes a slow guest many seconds. */
const RECOVERY = 60e9;
const LOOK = 20e6;
/** What the driver's status says of a card that can be used. */
const OPERATIONAL = 'Operational';

/** @param before told which step is next */
export function performOn(stage: Stage, { text, rest }: Request, before: (index: number) => void): Course {
  const { driver, probe } = stage;
  const sequence = parseSequence(text);
  if (rest !== undefined) driver.sleep(rest * 1e6);
  stage.messages();
  const steps: Step[] = [];
  let error: Trouble | undefined;
  const began = performance.now();
  probe.begin();
  let features: readonly string[] = [];
  try {
    perform(driver, sequence, { before, step: (text, outcome) => void steps.push({ text, outcome }) });
  } catch (thrown) {
    error = { kind: 'exception', message: thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown) };
  } finally {
    features = probe.end();
  }
  const ms = performance.now() - began;
  error ??= recovered(driver);
  const logged = stage.messages().filter(({ text: line }) => !noise.some((pattern) => pattern.test(line)));
  const isAlarm = (line: LogLine) => stage.isAlarm(line);
  return {
    steps,
    messages: logged.filter((line) => line.level <= WARNING && !isAlarm(line)).map(({ text: line }) => line),
    alarms: logged.filter(isAlarm).map(({ text: line }) => line),
    refusals: stage.refusals(),
    ...(error ? { error } : {}),
    features,
    ms,
  };
}

/** Waits until every card can be used. @returns what is wrong with one that cannot */
function recovered(driver: Driver): Trouble | undefined {
  const end = driver.now() + RECOVERY;
  for (;;) {
    const states = driver.accelerators().map((card) => ({ path: card.path, status: card.status() }));
    const lost = states.find(({ status }) => status !== OPERATIONAL);
    if (!lost) return undefined;
    if (driver.now() > end) return { kind: 'card', message: `${lost.path} stays "${lost.status}"` };
    driver.sleep(LOOK);
  }
}
