/**
 * What fuzzing has come to, kept in an SQLite file: sequences that reached something new, what has been reached, and findings.
 * Each is in the file when it is told; a run that is cut off leaves what it had until then.
 */

import { existsSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { UserError } from '../../sim/errors.ts';
import type { Step } from '../agreement/sequences.ts';
import { parseSequence } from './program.ts';

/** Of the tables below, in the file's header: neither another program's file, nor one of another version, is touched. */
const APPLICATION = 0x53616766;
const VERSION = 1;
const TABLES = `
  CREATE TABLE run (
    key INTEGER PRIMARY KEY, began TEXT NOT NULL, seconds REAL NOT NULL, sequences INTEGER NOT NULL, seed INTEGER NOT NULL,
    target TEXT NOT NULL, system TEXT NOT NULL, machine TEXT NOT NULL, version TEXT NOT NULL
  ) STRICT;
  CREATE TABLE corpus (key INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE, run INTEGER NOT NULL REFERENCES run) STRICT;
  CREATE TABLE place (key INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;
  CREATE TABLE feature (
    place INTEGER NOT NULL REFERENCES place, name TEXT NOT NULL, corpus INTEGER NOT NULL REFERENCES corpus,
    PRIMARY KEY (place, name)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE finding (
    key INTEGER PRIMARY KEY, kind TEXT NOT NULL, about TEXT NOT NULL, title TEXT NOT NULL, detail TEXT NOT NULL,
    text TEXT NOT NULL, steady INTEGER NOT NULL, target TEXT NOT NULL, system TEXT NOT NULL, machine TEXT NOT NULL,
    seed INTEGER NOT NULL, found TEXT NOT NULL, seen TEXT NOT NULL, count INTEGER NOT NULL, UNIQUE (kind, about)
  ) STRICT;
`;

export interface RunDescription {
  readonly seed: number;
  /** E.g. `model,vm`. */
  readonly target: string;
  /** E.g. which kernel. */
  readonly system: string;
  readonly machine: string;
  /** Version of this program. */
  readonly version: string;
}

/**
 * - `difference`: two targets answer differently.
 * - `alarm`: the kernel says that something is wrong with it.
 * - `hang`, `crash`, `card`: a call never ends, what made it has died, a card cannot be used any more.
 * - `refusal`: a device model was asked for what it does not do.
 * - `exception`: a defect of ours.
 */
export type FindingKind = 'difference' | 'alarm' | 'hang' | 'crash' | 'card' | 'refusal' | 'exception';

export interface FindingDescription {
  readonly kind: FindingKind;
  /** What makes it the same as another, whatever the sequence. */
  readonly about: string;
  /** One line. */
  readonly title: string;
  readonly detail: string;
  readonly steps: string;
  /** It came again when the sequence was repeated. */
  readonly steady: boolean;
}

export interface Finding extends FindingDescription, RunDescriptionOfFinding {
  readonly number: number;
  /** When it was found, and seen last, in UTC: 2026-01-31T12:00:00.000Z. */
  readonly found: string;
  readonly seen: string;
  /** How often it was seen. */
  readonly count: number;
}

type RunDescriptionOfFinding = Omit<RunDescription, 'version'>;

/** What is reached, by place, e.g. a kernel. */
export type Features = ReadonlyMap<string, Iterable<string>>;

export class Store implements Disposable {
  readonly #file: string;
  readonly #database: DatabaseSync;
  readonly #features = new Map<string, Set<string>>();
  readonly #corpus: (readonly Step[])[] = [];
  readonly #texts = new Set<string>();
  #run = 0;
  #description: RunDescription | undefined;

  /**
   * @param file `:memory:` for none. @param write make it if it is not there
   * @throws UserError when there is none to read, or what is there is no such file
   */
  constructor(file: string, write: boolean) {
    this.#file = file;
    this.#database = this.#attempt(() => open(file, write));
    try {
      this.#attempt(() => this.#load());
    } catch (error) {
      this.#database.close();
      throw error;
    }
  }

  #load(): void {
    if (!this.#has('corpus')) return;
    for (const { text } of this.#database.prepare('SELECT text FROM corpus ORDER BY key').all()) {
      try {
        this.#corpus.push(parseSequence(String(text)));
        this.#texts.add(String(text));
      } catch {
        // of a version with an operation that is no more
      }
    }
    const rows = this.#database.prepare(
      'SELECT place.name AS place, feature.name AS name FROM feature JOIN place ON place.key = feature.place',
    );
    for (const { place, name } of rows.all()) this.#of(String(place)).add(String(name));
  }

  #has(table: string): boolean {
    return this.#database.prepare('SELECT 1 FROM sqlite_schema WHERE name = ?').get(table) !== undefined;
  }

  #of(place: string): Set<string> {
    const known = this.#features.get(place) ?? new Set();
    this.#features.set(place, known);
    return known;
  }

  /** Sequences that reached something new, the oldest first. */
  get corpus(): readonly (readonly Step[])[] {
    return this.#corpus;
  }

  /** What was reached, ever. */
  reached(place: string): ReadonlySet<string> {
    return this.#of(place);
  }

  /** A run begins. @throws UserError when it cannot be written */
  begin(description: RunDescription, now = new Date()): void {
    const { seed, target, system, machine, version } = description;
    this.#description = description;
    const { lastInsertRowid } = this.#attempt(() =>
      this.#database
        .prepare(
          'INSERT INTO run (began, seconds, sequences, seed, target, system, machine, version) VALUES (?, 0, 0, ?, ?, ?, ?, ?)',
        )
        .run(now.toISOString(), seed, target, system, machine, version),
    );
    this.#run = Number(lastInsertRowid);
  }

  /** What the run has done so far. */
  progress(sequences: number, seconds: number): void {
    this.#attempt(() =>
      this.#database
        .prepare('UPDATE run SET sequences = ?, seconds = ? WHERE key = ?')
        .run(sequences, seconds, this.#run),
    );
  }

  /** Keeps a sequence if it reached what none had. @returns how much */
  add(text: string, features: Features): number {
    const fresh = [...features].flatMap(([place, names]) => {
      const known = this.#of(place);
      return [...new Set(names)].filter((name) => !known.has(name)).map((name) => ({ place, name }));
    });
    if (fresh.length === 0) return 0;
    this.#attempt(() =>
      this.#transaction(() => {
        this.#database.prepare('INSERT OR IGNORE INTO corpus (text, run) VALUES (?, ?)').run(text, this.#run);
        const key = Number(this.#database.prepare('SELECT key FROM corpus WHERE text = ?').get(text)?.key);
        const insert = this.#database.prepare('INSERT OR IGNORE INTO feature (place, name, corpus) VALUES (?, ?, ?)');
        const places = new Map([...new Set(fresh.map(({ place }) => place))].map((name) => [name, this.#place(name)]));
        for (const { place, name } of fresh) insert.run(places.get(place) as number, name, key);
      }),
    );
    for (const { place, name } of fresh) this.#of(place).add(name);
    if (!this.#texts.has(text)) {
      this.#texts.add(text);
      this.#corpus.push(parseSequence(text));
    }
    return fresh.length;
  }

  #place(name: string): number {
    this.#database.prepare('INSERT OR IGNORE INTO place (name) VALUES (?)').run(name);
    return Number(this.#database.prepare('SELECT key FROM place WHERE name = ?').get(name)?.key);
  }

  /** Counts a finding that is known. @returns its number, undefined when it is not */
  again(kind: FindingKind, about: string, now = new Date()): number | undefined {
    const row = this.#attempt(() =>
      this.#database
        .prepare('UPDATE finding SET count = count + 1, seen = ? WHERE kind = ? AND about = ? RETURNING key')
        .get(now.toISOString(), kind, about),
    );
    return row === undefined ? undefined : Number(row.key);
  }

  /** @returns its number, which may be that of one that is the same */
  find(finding: FindingDescription, now = new Date()): { readonly number: number; readonly isNew: boolean } {
    const known = this.again(finding.kind, finding.about, now);
    if (known !== undefined) return { number: known, isNew: false };
    const { kind, about, title, detail, steps, steady } = finding;
    const { target = '', system = '', machine = '', seed = 0 } = this.#description ?? {};
    const time = now.toISOString();
    const { lastInsertRowid } = this.#attempt(() =>
      this.#database
        .prepare(
          'INSERT INTO finding (kind, about, title, detail, text, steady, target, system, machine, seed, found, seen, count) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 1)',
        )
        .run(kind, about, title, detail, steps, Number(steady), target, system, machine, seed, time, time),
    );
    return { number: Number(lastInsertRowid), isNew: true };
  }

  findings(): readonly Finding[] {
    const rows = this.#attempt(() => this.#database.prepare('SELECT * FROM finding ORDER BY key').all());
    return rows.map((row) => ({
      number: Number(row.key),
      kind: row.kind as FindingKind,
      about: String(row.about),
      title: String(row.title),
      detail: String(row.detail),
      steps: String(row.text),
      steady: row.steady === 1,
      target: String(row.target),
      system: String(row.system),
      machine: String(row.machine),
      seed: Number(row.seed),
      found: String(row.found),
      seen: String(row.seen),
      count: Number(row.count),
    }));
  }

  /** Sequences that all runs have performed, and the seconds they took. */
  totals(): { readonly runs: number; readonly sequences: number; readonly seconds: number } {
    const row = this.#attempt(() =>
      this.#database
        .prepare('SELECT count(*) AS runs, coalesce(sum(sequences), 0) AS n, coalesce(sum(seconds), 0.0) AS s FROM run')
        .get(),
    );
    return { runs: Number(row?.runs), sequences: Number(row?.n), seconds: Number(row?.s) };
  }

  /** Where something was reached. */
  places(): readonly string[] {
    return [...this.#features].filter(([, names]) => names.size > 0).map(([name]) => name);
  }

  [Symbol.dispose](): void {
    this.#database.close();
  }

  #transaction(body: () => void): void {
    this.#database.exec('BEGIN IMMEDIATE');
    try {
      body();
      this.#database.exec('COMMIT');
    } catch (error) {
      // a full disk has ended it already
      if (this.#database.isTransaction) this.#database.exec('ROLLBACK');
      throw error;
    }
  }

  #attempt<T>(body: () => T): T {
    try {
      return body();
    } catch (error) {
      if (error instanceof UserError) throw error;
      throw new UserError(`${this.#file}: ${(error as Error).message}`);
    }
  }
}

function open(file: string, write: boolean): DatabaseSync {
  if (!write && file !== ':memory:' && !existsSync(file)) throw new UserError(`${file}: nothing has been kept in it`);
  const database = new DatabaseSync(file, { readOnly: !write, timeout: 10_000 });
  try {
    const made = isMade(database, file);
    if (!made && !write) throw new UserError(`${file}: nothing has been kept in it`);
    if (!write) return database;
    // readers and other runs go on beside a run; what is committed outlives a crash of the program
    database.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = ON; BEGIN IMMEDIATE');
    if (!isMade(database, file))
      database.exec(`${TABLES} PRAGMA user_version = ${VERSION}; PRAGMA application_id = ${APPLICATION}`);
    database.exec('COMMIT');
    return database;
  } catch (error) {
    database.close();
    throw error;
  }
}

/** Whether it has the tables. @throws UserError when it has others */
function isMade(database: DatabaseSync, file: string): boolean {
  const number = (pragma: string) => Number(Object.values(database.prepare(`PRAGMA ${pragma}`).get() ?? {})[0]);
  if (number('user_version') === VERSION && number('application_id') === APPLICATION) return true;
  const { count } = database.prepare('SELECT count(*) AS count FROM sqlite_schema').get() as { count: number };
  if (number('user_version') !== 0 || count !== 0)
    throw new UserError(`${file}: not a file of "sagrada fuzz", or of another version`);
  return false;
}
