/** What `sagrada fuzz` tells while it runs: lines for people, one that is written over on a terminal, or JSON. */

import process from 'node:process';
import type { Found } from '../exercise/fuzz/fuzzer.ts';
import type { Store } from '../exercise/fuzz/store.ts';

/** Milliseconds between two lines of progress. */
const LIVE = 500;
const JSON_EVERY = 10_000;

/** Kinds of what is reached, by the first word of its name, and what several are called. */
const KINDS: Readonly<Record<string, string>> = {
  function: 'functions',
  call: 'calls',
  edge: 'edges',
  point: 'points',
  block: 'blocks',
};

/** Of whom it is that something is reached, and how that is known. */
interface Place {
  readonly name: string;
  readonly coverage: string;
}

export class FuzzDisplay {
  readonly #store: Store;
  readonly #places: readonly Place[];
  readonly #json: boolean;
  /** Seconds in all. */
  readonly #limit: number | undefined;
  readonly #live: boolean;
  #told = Number.NEGATIVE_INFINITY;
  #shown = false;
  readonly #met = new Set<number>();
  #new = 0;

  constructor(store: Store, places: readonly Place[], options: { readonly json?: boolean; readonly for?: number }) {
    this.#store = store;
    this.#places = places;
    this.#json = options.json === true;
    this.#limit = options.for;
    this.#live = !this.#json && process.stderr.isTTY === true;
  }

  begin(run: {
    readonly seed: number;
    readonly target: string;
    readonly machine: string;
    readonly system: string;
  }): void {
    const corpus = this.#store.corpus.length;
    const findings = this.#store.findings().length;
    if (this.#json) {
      this.#line({ type: 'begin', ...run, coverage: this.#places, corpus, findings });
      return;
    }
    const kept = corpus > 0 ? `; ${corpus} sequences and ${findings} findings of earlier runs` : '';
    console.log(`machine ${run.machine} on ${run.target}, ${run.system}, seed ${run.seed}${kept}`);
    for (const { name, coverage } of this.#places) console.log(`${name}: guided by ${coverage}`);
  }

  found({ number, isNew, finding }: Found): void {
    this.#met.add(number);
    if (isNew) this.#new++;
    if (this.#json) {
      this.#line({ type: 'finding', number, isNew, ...finding });
      return;
    }
    if (!isNew) return;
    this.#clear();
    const steady = finding.steady ? '' : ' (not steady: it did not come again)';
    console.log(`finding ${number}, ${finding.kind}${steady}: ${finding.title}`);
    for (const line of finding.steps.split('\n')) console.log(`    ${line}`);
  }

  restarting(why: string): void {
    const [line = ''] = why.split('\n');
    if (this.#json) {
      this.#line({ type: 'restart', why });
      return;
    }
    this.#clear();
    process.stderr.write(`sagrada: starting anew: ${line}\n`);
  }

  progress(sequences: number, seconds: number): void {
    const now = performance.now();
    if (now - this.#told < (this.#json ? JSON_EVERY : LIVE)) return;
    this.#told = now;
    if (this.#json) this.#line({ type: 'progress', ...this.#figures(sequences, seconds) });
    else if (this.#live) {
      this.#clear();
      const left = this.#limit === undefined ? '' : `${duration(Math.max(0, this.#limit - seconds))} left, `;
      const text = `${left}${this.#summary(sequences, seconds)}`;
      process.stderr.write(`\r${text.slice(0, (process.stderr.columns ?? 80) - 1)}`);
      this.#shown = true;
    }
  }

  end(sequences: number, seconds: number): void {
    this.#clear();
    if (this.#json) this.#line({ type: 'end', ...this.#figures(sequences, seconds) });
    else {
      console.log(this.#summary(sequences, seconds));
      if (this.#met.size > 0) console.log('sagrada fuzz list, sagrada fuzz show NUMBER: what was found');
    }
  }

  #figures(sequences: number, seconds: number) {
    const findings = { new: this.#new, known: this.#met.size - this.#new };
    const reached = Object.fromEntries(this.#places.map(({ name }) => [name, this.#reached(name)]));
    return { sequences, seconds, corpus: this.#store.corpus.length, reached, findings };
  }

  #reached(place: string): Record<string, number> {
    const counts: Record<string, number> = {};
    for (const name of this.#store.reached(place)) {
      const kind = KINDS[name.split(' ', 1)[0] ?? ''] ?? 'others';
      counts[kind] = (counts[kind] ?? 0) + 1;
    }
    return counts;
  }

  #summary(sequences: number, seconds: number): string {
    const reached = this.#places.map(({ name }) => {
      const counts = Object.entries(this.#reached(name)).map(([kind, n]) => `${n} ${kind}`);
      return counts.length === 0 ? '' : `, ${counts.join(' ')}`;
    });
    const old = this.#met.size - this.#new;
    const known = old > 0 ? ` and ${old} known` : '';
    const rate = (sequences / Math.max(seconds, 0.001)).toFixed(1);
    const findings = `${this.#new} new${known} findings`;
    return `${sequences} sequences, ${rate}/s, ${findings}, corpus ${this.#store.corpus.length}${reached.join('')}`;
  }

  #clear(): void {
    if (this.#shown) process.stderr.write('\r\x1b[K');
    this.#shown = false;
  }

  #line(value: unknown): void {
    console.log(JSON.stringify(value));
  }
}

/** E.g. `1 h 20 min`, `9 min 5 s`. */
function duration(seconds: number): string {
  const s = Math.round(seconds);
  if (s >= 3600) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
  return s >= 60 ? `${Math.floor(s / 60)} min ${s % 60} s` : `${s} s`;
}
