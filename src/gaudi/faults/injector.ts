/** Has faults of a card happen when they are to, and tells which have. */

import { faults } from '../../../specs/gaudi/faults.ts';
import type { Clock, Timer } from '../../sim/clock.ts';
import type { Track } from '../../trace/recorder.ts';
import { type FaultBody, type FaultyCard, faultBodies } from './bodies.ts';
import { type Fault, parseFault } from './parse.ts';
import { FaultPoints, type Handler } from './points.ts';

export class Faults {
  readonly points = new FaultPoints();
  readonly #clock: Clock;
  readonly #card: FaultyCard;
  readonly #track: Track | undefined;
  /** What ends each fault that waits or lasts. */
  readonly #ends = new Set<() => void>();
  /** Those that wait for the driver to take events, for a boot, or for a reset. */
  readonly #waiting: { readonly for: 'ready' | 'boot' | 'reset'; readonly go: () => void }[] = [];
  #happened: string[] = [];

  /** @param track where a trace tells of them */
  constructor(clock: Clock, card: FaultyCard, track?: Track) {
    this.#clock = clock;
    this.#card = card;
    this.#track = track;
  }

  /**
   * Arms a fault. One without `@when` happens from now on, or where `starting`, because the card is not up, once the driver
   * takes events; but faults of the boot and of resets at their first.
   * @param text `NAME[:word[.word]][@when]` @throws UserError
   */
  inject(text: string, starting = false): void {
    const fault = parseFault(text);
    const { when, name } = fault;
    const go = () => this.#arm(fault);
    const early = faults[name].occasion === 'boot' || faults[name].occasion === 'reset';
    if (when.kind === 'boot' || when.kind === 'reset') this.#wait(when.kind, go);
    else if (when.kind === 'after') this.#after(when.ns, go);
    else if (when.kind === 'usual' && starting && !early) this.#wait('ready', go);
    else go();
  }

  /** Something has come that faults may wait for. */
  signal(what: 'ready' | 'boot' | 'reset'): void {
    const due = this.#waiting.filter((one) => one.for === what);
    for (const one of due) {
      this.#waiting.splice(this.#waiting.indexOf(one), 1);
      one.go();
    }
  }

  /** Ends all that wait or last. What has happened is not undone. */
  clear(): void {
    this.#waiting.length = 0;
    for (const end of this.#ends) end();
    this.#ends.clear();
  }

  /** The faults that have happened since the last call, each as often as it has. */
  takeHappened(): readonly string[] {
    const happened = this.#happened;
    this.#happened = [];
    return happened;
  }

  #wait(what: 'ready' | 'boot' | 'reset', go: () => void): void {
    this.#waiting.push({ for: what, go });
  }

  #after(ns: number, go: () => void): void {
    let timer: Timer | undefined;
    const end = () => timer?.cancel();
    timer = this.#clock.at(this.#clock.now() + ns, () => {
      this.#ends.delete(end);
      go();
    });
    this.#ends.add(end);
  }

  /** The chip stands still, until it is reset or the fault is ended. */
  #halt(): void {
    const end = () => this.#card.boot();
    this.#ends.add(end);
    for (const what of ['reset', 'boot'] as const) this.#wait(what, () => void this.#ends.delete(end));
  }

  #tell({ name, text }: Fault): void {
    this.#happened.push(text);
    this.#track?.instant('fault', name, { detail: text });
  }

  #arm(fault: Fault): void {
    const row = faults[fault.name];
    const { occasion } = row;
    const body = faultBodies[fault.name] as FaultBody;
    if (occasion === 'time') {
      this.#tell(fault);
      const end = body(fault.words, this.#card) as (() => void) | undefined;
      if (end) this.#ends.add(end);
      return;
    }
    const first = fault.when.kind === 'occasion' ? fault.when.n : 1;
    const { times = 1 } = fault.words as { times?: number };
    const outcomeOf = body(fault.words, this.#card) as Handler<object, unknown>;
    let seen = 0;
    const handler: Handler<object, unknown> = (what) => {
      const outcome = outcomeOf(what);
      if (outcome === undefined) return undefined;
      seen++;
      if (seen < first) return undefined;
      if (seen >= first + times - 1) end();
      this.#tell(fault);
      if ('halts' in row) this.#halt();
      return outcome;
    };
    const point = this.points[occasion] as { listen(handler: Handler<object, unknown>): () => void };
    const stop = point.listen(handler);
    const end = () => {
      stop();
      this.#ends.delete(end);
    };
    this.#ends.add(end);
    if ('ends' in row) this.#wait(row.ends, end);
  }
}
