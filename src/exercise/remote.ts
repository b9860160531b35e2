/**
 * Runs the exerciser on another system through its agent and watches it: a test that hangs or takes the system down is a
 * failed test, the system is restarted, and the run goes on with the next one.
 */

import type { FaultOrder } from '../machine/faults.ts';
import type { AgentConfig } from './agent.ts';
import type { Explanation } from './agreement/recorder.ts';
import type { Result, RunEvent } from './events.ts';
import { explained, failsAfterAll } from './refusals.ts';
import type { Moved } from './suite.ts';

/** The other system. */
export interface Station {
  /** What to call it in a sentence, e.g. `the guest`. */
  readonly system: string;
  /** Runs the agent; calls `onLine` for each line it prints. @param input its standard input. @returns its exit status. */
  launch(config: AgentConfig, onLine: (line: string) => void, input: AsyncIterable<Uint8Array>): Promise<number>;
  /** Looks at the devices while the agent waits; may find that a test which passed has failed. */
  examine(result: Result): Promise<Result>;
  /** What devices have moved so far. */
  traffic(): Promise<readonly Moved[]>;
  /** Asks something of the faults of its devices. @returns those that have happened. @throws UserError for no fault */
  faults?(order: FaultOrder): Promise<readonly string[]>;
  /** Ends what runs and brings the system up again. */
  restart(): Promise<void>;
  /** Last lines of the kernel's log, for a failure that the agent cannot report. */
  lastWords(): readonly string[];
}

/** What the agent asks in the middle of a test: it is answered with the traffic as a line of JSON. */
export const ASK_TRAFFIC = { type: 'traffic' } as const;
/** The same of faults: it is answered with those that have happened, or why not. */
export interface AskFaults {
  readonly type: 'faults';
  readonly order: FaultOrder;
}
export type FaultAnswer = { readonly happened: readonly string[] } | { readonly refused: string };
/** Asks the agent what its last test did. */
export const EXPLAIN = 0x65;
const GO = 0x0a;

/** Seconds beyond a test's own time after which the agent is taken for dead. */
const GRACE = 20;

export async function runRemotely(
  station: Station,
  config: AgentConfig,
  emit: (event: RunEvent) => void,
): Promise<readonly Result[]> {
  const results: Result[] = [];
  let planned: readonly { id: string; suite: string; name: string }[] | undefined;
  let left: readonly string[] | undefined = config.only;
  for (;;) {
    const run = await watch(station, left === undefined ? config : { ...config, only: left }, (event) => {
      if (event.type === 'plan') {
        if (planned !== undefined) return;
        planned = event.tests;
      }
      if (event.type === 'result') results.push(event.result);
      if (event.type !== 'end') emit(event);
    });
    if (run.ended) break;
    if (planned === undefined) throw new Error(`the exerciser did not start: ${run.reason}`);
    const done = new Set(results.map((r) => r.id));
    const rest = planned.filter((t) => !done.has(t.id));
    const culprit = rest.find((t) => t.id === run.current) ?? rest[0];
    if (culprit === undefined) break;
    const result: Result = {
      ...culprit,
      status: 'failed',
      ms: run.ms,
      failure: { message: run.reason },
      messages: station.lastWords(),
    };
    results.push(result);
    emit({ type: 'result', result });
    left = rest.filter((t) => t.id !== culprit.id).map((t) => t.id);
    if (left.length === 0) break;
    await station.restart();
  }
  emit({ type: 'end' });
  return results;
}

interface Outcome {
  readonly ended: boolean;
  readonly reason: string;
  readonly current?: string;
  readonly ms: number;
}

/** One life of the agent: until it says that it is done, dies, or is silent for too long. */
async function watch(station: Station, config: AgentConfig, onEvent: (event: RunEvent) => void): Promise<Outcome> {
  let ended = false;
  /** What an agent says that was given up does not count. */
  let over = false;
  const go = new Orders();
  let current: string | undefined;
  let since = performance.now();
  let allowed = config.timeout;
  const noise: string[] = [];
  let examined = Promise.resolve();
  let gone = false;
  let explain: ((explanation: Explanation | undefined) => void) | undefined;
  /** A test that has failed only after it was examined. */
  const ask = async (reported: Result, judged: Result): Promise<Result> => {
    if (over || gone || !failsAfterAll(reported, judged)) return judged;
    const explanation = await new Promise<Explanation | undefined>((resolve) => {
      explain = resolve;
      go.send(Uint8Array.of(EXPLAIN));
    });
    return explanation === undefined ? judged : explained(judged, explanation);
  };
  const answer = (what: unknown) => go.send(new TextEncoder().encode(`${JSON.stringify(what)}\n`));
  let silence: NodeJS.Timeout | undefined;
  const hung = new Promise<string>((resolve) => {
    silence = setInterval(() => {
      const seconds = (performance.now() - since) / 1000;
      if (seconds > allowed + GRACE) resolve(`no sign of life for ${Math.round(seconds)} s: ${station.system} hangs`);
    }, 500);
  });
  const exited = station
    .launch(
      config,
      (line) => {
        if (over) return;
        since = performance.now();
        const event = parse(line);
        if (event === undefined) {
          noise.push(line);
          return;
        }
        if (event.type === ASK_TRAFFIC.type) {
          void station
            .traffic()
            .catch(() => [])
            .then(answer);
          return;
        }
        if (event.type === 'faults') {
          const happened = station.faults?.(event.order) ?? Promise.reject(new Error('it has no faults'));
          void happened.then(
            (happened) => answer({ happened } satisfies FaultAnswer),
            (error: Error) => answer({ refused: error.message } satisfies FaultAnswer),
          );
          return;
        }
        if (event.type === 'start') {
          current = event.id;
          allowed = event.timeout;
        }
        if (event.type === 'result') {
          current = undefined;
          examined = examined
            .then(() => station.examine(event.result))
            .catch((error: unknown) => unexamined(event.result, error))
            .then((result) => ask(event.result, result))
            .then((result) => {
              if (!over) onEvent({ type: 'result', result });
              go.send(Uint8Array.of(GO));
            });
          return;
        }
        if (event.type === 'explanation') {
          explain?.(event.explanation);
          return;
        }
        if (event.type === 'end') ended = true;
        onEvent(event);
      },
      go,
    )
    .finally(async () => {
      gone = true;
      explain?.(undefined);
      await examined;
    })
    .then(
      (status) => `the exerciser ended with status ${status} in the middle of a test${quote(noise)}`,
      (error: unknown) =>
        `${station.system} is gone: ${error instanceof Error ? error.message : String(error)}${quote(noise)}`,
    );
  const reason = await Promise.race([exited, hung]);
  clearInterval(silence);
  over = true;
  return { ended, reason, ms: performance.now() - since, ...(current === undefined ? {} : { current }) };
}

function unexamined(result: Result, error: unknown): Result {
  const message = `the devices cannot be examined: ${error instanceof Error ? error.message : String(error)}`;
  return { ...result, status: 'failed', failure: result.failure ?? { message } };
}

/** Standard input of a program elsewhere: what is sent, in order, and no end. */
export class Orders implements AsyncIterable<Uint8Array> {
  readonly #orders: Uint8Array[] = [];
  #wake: (() => void) | undefined;

  send(order: Uint8Array): void {
    this.#orders.push(order);
    this.#wake?.();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    for (;;) {
      const order = this.#orders.shift();
      if (order !== undefined) yield order;
      else {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      }
    }
  }
}

function quote(noise: readonly string[]): string {
  return noise.length === 0 ? '' : `\n${noise.slice(-10).join('\n')}`;
}

type Heard = RunEvent | typeof ASK_TRAFFIC | AskFaults;

function parse(line: string): Heard | undefined {
  if (!line.startsWith('{"type":')) return undefined;
  try {
    return JSON.parse(line) as Heard;
  } catch {
    return undefined;
  }
}
