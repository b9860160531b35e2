/**
 * Time as the device models see it: nanoseconds since the machine started, and events at points of it.
 * In process the clock is virtual (time passes only from event to event); against a real kernel it is the wall clock.
 */

export interface Timer {
  cancel(): void;
}

export interface Clock {
  /** Nanoseconds since the machine started. */
  now(): number;
  /** Calls `run` once when `time` (ns, clamped to now) is reached. Events of one time run in the order they were made. */
  at(time: number, run: () => void): Timer;
  /**
   * Sets the time forward to `time` ns, instead of an event then, where that makes no difference to anyone.
   * @returns false where it would: an event has to be made
   */
  advance?(time: number): boolean;
}

class Event implements Timer {
  readonly time: number;
  readonly order: number;
  run: (() => void) | undefined;
  readonly #cancelled: () => void;

  constructor(time: number, order: number, run: () => void, cancelled: () => void) {
    this.time = time;
    this.order = order;
    this.run = run;
    this.#cancelled = cancelled;
  }

  /** Once. */
  go(): void {
    const { run } = this;
    this.run = undefined;
    run?.();
  }

  cancel(): void {
    if (!this.run) return;
    this.run = undefined;
    this.#cancelled();
  }
}

/** Cancelled events that a heap may have, besides as many as it has others. */
const CANCELLED = 64;
const nothing = (): void => {};

/** A binary heap of events ordered by time, then by the order in which they were made. */
class EventHeap {
  #events: Event[] = [];
  #order = 0;
  /** At most so many events are cancelled. */
  #cancelled = 0;

  add(time: number, run: () => void): Timer {
    const event = new Event(time, this.#order++, run, this.#dropped);
    const events = this.#events;
    let i = events.push(event) - 1;
    while (i > 0) {
      const parent = (i - 1) >> 1;
      const above = events[parent] as Event;
      if (before(above, event)) break;
      events[i] = above;
      i = parent;
    }
    events[i] = event;
    return event;
  }

  /** Time of the first live event, or undefined. */
  peek(): number | undefined {
    this.#dropCancelled();
    return this.#events[0]?.time;
  }

  pop(): Event | undefined {
    this.#dropCancelled();
    return this.#shift();
  }

  /** Time limits that were met are cancelled long before their time, by the thousand: they must not slow the others down. */
  readonly #dropped = (): void => {
    if (++this.#cancelled < CANCELLED || this.#cancelled < this.#events.length / 2) return;
    // what is sorted is a heap
    this.#events = this.#events.filter((event) => event.run).sort((a, b) => (before(a, b) ? -1 : 1));
    this.#cancelled = 0;
  };

  #dropCancelled(): void {
    while (this.#events.length > 0 && this.#events[0]?.run === undefined) this.#shift();
  }

  #shift(): Event | undefined {
    const events = this.#events;
    const first = events[0];
    const last = events.pop();
    if (!first || !last || first === last) return first;
    let i = 0;
    for (;;) {
      let child = 2 * i + 1;
      if (child >= events.length) break;
      if (child + 1 < events.length && before(events[child + 1] as Event, events[child] as Event)) child++;
      if (before(last, events[child] as Event)) break;
      events[i] = events[child] as Event;
      i = child;
    }
    events[i] = last;
    return first;
  }
}

function before(a: Event, b: Event): boolean {
  return a.time < b.time || (a.time === b.time && a.order < b.order);
}

/** Simulated time: it stands still until someone runs the events, and then jumps from one to the next. */
export class VirtualClock implements Clock {
  readonly #heap = new EventHeap();
  /** Events of the present, in the order in which they were made: after those that were made for it before. */
  #present: Event[] = [];
  #first = 0;
  #now = 0;
  /** Up to where `advance` may go, and what else may end the run; only while events are run. */
  #limit = Number.NEGATIVE_INFINITY;
  #done: (() => boolean) | undefined;

  now(): number {
    return this.#now;
  }

  at(time: number, run: () => void): Timer {
    if (time > this.#now) return this.#heap.add(time, run);
    const event = new Event(this.#now, 0, run, nothing);
    this.#present.push(event);
    return event;
  }

  /** Runs the next event; false when there is none, or none up to `limit` ns. */
  step(limit = Number.POSITIVE_INFINITY): boolean {
    const time = this.#heap.peek();
    if (this.#hasPresent() && (time === undefined || time > this.#now)) {
      if (this.#now > limit) return false;
      const event = this.#present[this.#first++];
      event?.go();
      return true;
    }
    if (time === undefined || time > limit) return false;
    const event = this.#heap.pop();
    this.#now = time;
    event?.go();
    return true;
  }

  /** Runs events until none is left or, where given, until `time` ns, which is then the present. */
  runUntil(time = Number.POSITIVE_INFINITY): void {
    this.#run(time, undefined);
    if (Number.isFinite(time) && time > this.#now) this.#now = time;
  }

  /**
   * Runs events until `done`, which is asked before the first and after each; no event after `limit` ns.
   * @returns false when no event was left, or none up to `limit`
   */
  runTo(done: () => boolean, limit = Number.POSITIVE_INFINITY): boolean {
    return done() || this.#run(limit, done);
  }

  /** A process that waits for a time before the next event goes on at once, which is what the event would do. */
  advance(time: number): boolean {
    if (time > this.#limit || this.#hasPresent()) return false;
    const next = this.#heap.peek();
    if ((next !== undefined && next <= time) || this.#done?.()) return false;
    this.#now = time;
    return true;
  }

  /** Whether a live event of the present is left; those before it are dropped. */
  #hasPresent(): boolean {
    const present = this.#present;
    while (this.#first < present.length && !present[this.#first]?.run) this.#first++;
    if (this.#first < present.length) return true;
    if (present.length > 0) present.length = this.#first = 0;
    return false;
  }

  #run(limit: number, done: (() => boolean) | undefined): boolean {
    // a run within an event of another: that one goes on with its own afterwards
    const outer = { limit: this.#limit, done: this.#done };
    this.#limit = limit;
    this.#done = done;
    try {
      while (this.step(limit)) if (done?.()) return true;
      return false;
    } finally {
      this.#limit = outer.limit;
      this.#done = outer.done;
    }
  }
}

/**
 * What goes by, in nanoseconds, between two requests of a host, however late the events are: about what one access over PCIe
 * takes. So a host that was told that work is done and then reads a status does not find the moment before the end.
 */
const ACCESS_NS = 1000;
/** Events that may run in that microsecond once the budget is spent: what has endless work in no time has to wait. */
const ACCESS_EVENTS = 100;

/**
 * Real time, as long as the events keep up with it: whoever serves the devices calls `runDue` between requests. While events
 * are late, time goes from event to event like that of `VirtualClock`, and what is asked for meanwhile comes after the
 * next of them. So the order of what follows from an event does not depend on how long running it takes, and work that
 * takes longer than it should does not keep others waiting for its end.
 */
export class WallClock implements Clock {
  readonly #heap = new EventHeap();
  readonly #source: () => number;
  readonly #start: number;
  /** Time of the last event. */
  #last = 0;
  #inside = false;
  /** Milliseconds of the source up to which `runDue` may go on. */
  #until = 0;

  /** @param source milliseconds that never go back */
  constructor(source: () => number = () => performance.now()) {
    this.#source = source;
    this.#start = source();
  }

  now(): number {
    if (this.#inside) return this.#last;
    const real = Math.max(this.#real(), this.#last);
    return Math.min(real, Math.max(this.#heap.peek() ?? real, this.#last));
  }

  at(time: number, run: () => void): Timer {
    return this.#heap.add(Math.max(time, this.#last), run);
  }

  /** Of what is late: who waits for a time before the next event goes on at once, within the budget of `runDue`. */
  advance(time: number): boolean {
    if (!this.#inside) return false;
    const next = this.#heap.peek();
    if (next !== undefined && next <= time) return false;
    const present = this.#source();
    if (present > this.#until || time > this.#at(present)) return false;
    this.#last = Math.max(time, this.#last);
    return true;
  }

  /** Milliseconds until the next event; 0 when one is due, undefined when there is none. */
  untilNext(): number | undefined {
    const time = this.#heap.peek();
    if (time === undefined) return undefined;
    return Math.max(0, (time - this.#real()) / 1e6);
  }

  /**
   * Runs what is due, for at most about `budget` milliseconds of wall time, but always a microsecond of events (or a
   * hundred of them); true when something due is left.
   */
  runDue(budget: number): boolean {
    this.#until = this.#source() + budget;
    const least = this.now() + ACCESS_NS;
    let beyond = 0;
    for (;;) {
      const time = this.#heap.peek();
      if (time === undefined || time > this.#real()) return false;
      if (this.#source() > this.#until && (time > least || ++beyond > ACCESS_EVENTS)) return true;
      this.#last = time;
      this.#inside = true;
      try {
        this.#heap.pop()?.go();
      } finally {
        this.#inside = false;
      }
    }
  }

  #real(): number {
    return this.#at(this.#source());
  }

  #at(source: number): number {
    return Math.round((source - this.#start) * 1e6);
  }
}
