/** A driver and its cards somewhere else: performs sequences there, notices when one never ends, and starts anew. */

import { UserError } from '../../sim/errors.ts';
import type { Answer, Course, Request, Trouble } from './course.ts';

/** What a target runs in. */
export interface Station {
  /** Of a difference, e.g. `model`. */
  readonly name: string;
  /** What it is, once it runs, e.g. which kernel. */
  readonly system: string;
  /** Starts it, or starts it anew. @returns its end: why. */
  start(onLine: (line: string) => void): Promise<{ readonly ended: Promise<string> }>;
  send(line: string): void;
  /** What device models have refused since the last call, and what the kernel said that nobody there could tell of. */
  examine(): Promise<Pick<Course, 'refusals' | 'alarms'>>;
  /** Ends it. */
  stop(): Promise<void>;
}

/** Seconds without a sign of life after which a step has hung: more than any wait of a sequence. */
const PATIENCE = 90;
/** Seconds between two looks whether there was one. */
const LOOK = 0.1;

export class Target {
  readonly station: Station;
  readonly #patience: number;
  /** How what a sequence reaches is told; empty until it runs. */
  coverage = '';
  #hear: (answer: Answer) => void = () => {};
  #ended: Promise<string> | undefined;

  constructor(station: Station, patience = PATIENCE) {
    this.station = station;
    this.#patience = patience;
  }

  /** Of whom it is that something is reached: the kernel, or the model. */
  get place(): string {
    return this.station.system.split(',')[0] ?? '';
  }

  /** Starts it, or starts it anew. @throws UserError when it cannot be started */
  async start(): Promise<void> {
    const ready = Promise.withResolvers<void>();
    this.#hear = (answer) => {
      if (answer.type !== 'ready') return;
      this.coverage = answer.coverage;
      ready.resolve();
    };
    const { ended } = await this.station.start((line) => {
      const answer = parse(line);
      if (answer) this.#hear(answer);
    });
    this.#ended = ended;
    await Promise.race([
      ready.promise,
      ended.then((reason) => {
        throw new UserError(`${this.station.name} did not start: ${reason}`);
      }),
    ]);
  }

  /**
   * Performs sequences one after the other, up to one after which the target is not what it was: it has to be started anew.
   * @returns what each did
   */
  async perform(requests: readonly Request[]): Promise<readonly Course[]> {
    const courses: Course[] = [];
    for (const request of requests) {
      const course = await this.#perform(request);
      const { refusals, alarms } = await this.station.examine().catch(() => ({ refusals: [], alarms: [] }));
      courses.push({
        ...course,
        refusals: [...course.refusals, ...refusals],
        alarms: [...new Set([...course.alarms, ...alarms])],
      });
      if (isLost(course)) break;
    }
    return courses;
  }

  #perform(request: Request): Promise<Course> {
    const { promise, resolve } = Promise.withResolvers<Course>();
    const began = performance.now();
    // counted, and not measured: a host that has no time for us is no silence of the target
    let silent = 0;
    let at = 0;
    const end = (kind: Trouble['kind'], message: string) => {
      const line = request.text.split('\n')[at] ?? 'the end';
      const steps = request.text.split('\n', at).map((text) => ({ text, outcome: '(not known)' }));
      const ms = performance.now() - began;
      const error = { kind, message: `${message} in step ${at}, ${line}` };
      resolve({
        steps: [...steps, { text: line, outcome: `(${kind})` }],
        messages: [],
        alarms: [],
        refusals: [],
        error,
        features: [],
        ms,
      });
    };
    this.#hear = (answer) => {
      silent = 0;
      if (answer.type === 'step') at = answer.index;
      else if (answer.type === 'course') resolve(answer.course);
    };
    const allowed = this.#patience + (request.rest ?? 0) / 1000;
    const watch = setInterval(() => {
      silent += LOOK;
      if (silent > allowed) end('hang', `no sign of life for ${allowed} s`);
    }, LOOK * 1000);
    void this.#ended?.then((reason) => end('death', reason));
    this.station.send(JSON.stringify(request));
    return promise.finally(() => clearInterval(watch));
  }
}

/** Whether the target is not what it was: what runs there has not ended, or a card cannot be used. */
export function isLost({ error }: Course): boolean {
  return error !== undefined && error.kind !== 'exception';
}

function parse(line: string): Answer | undefined {
  if (!line.startsWith('{"type":')) return undefined;
  try {
    return JSON.parse(line) as Answer;
  } catch {
    return undefined;
  }
}
