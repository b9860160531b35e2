/**
 * What runs have shown, kept in an SQLite file: when and where each took place, its tests, and the points of the interface that
 * each test has reached. A result is in the file when it is told; a run that is cut off leaves what it had until then.
 */

import { copyFileSync, existsSync, mkdirSync, mkdtempSync, rmSync, statfsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { deflateSync, inflateSync } from 'node:zlib';
import { UserError } from '../../sim/errors.ts';
import type { Result, Status } from '../events.ts';
import type { FileCoverage } from './code.ts';

/** Of the tables below; a file of another version is left alone. */
const VERSION = 1;
const TABLES = `
  CREATE TABLE run (
    key INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, began TEXT NOT NULL, seconds REAL, version TEXT NOT NULL,
    target TEXT NOT NULL, system TEXT NOT NULL, machine TEXT NOT NULL, seed INTEGER NOT NULL, options TEXT NOT NULL,
    whole INTEGER NOT NULL, shard INTEGER NOT NULL, shards INTEGER NOT NULL
  ) STRICT;
  CREATE TABLE name (key INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE) STRICT;
  CREATE TABLE test (
    run INTEGER NOT NULL REFERENCES run, name INTEGER NOT NULL REFERENCES name, status TEXT NOT NULL, ms REAL NOT NULL,
    message TEXT, PRIMARY KEY (run, name)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE reached (
    run INTEGER NOT NULL REFERENCES run, test INTEGER NOT NULL REFERENCES name, point INTEGER NOT NULL REFERENCES name,
    PRIMARY KEY (run, test, point)
  ) STRICT, WITHOUT ROWID;
`;

/** Kept beside them since later: what of the driver's code ran, by file; `data` is deflated JSON. */
const CODE_TABLE = `
  CREATE TABLE IF NOT EXISTS code (
    run INTEGER NOT NULL REFERENCES run, file TEXT NOT NULL, data BLOB NOT NULL, PRIMARY KEY (run, file)
  ) STRICT, WITHOUT ROWID;
`;

/** What a run is. */
export interface RunDescription {
  readonly target: string;
  /** E.g. the guest's kernel version. */
  readonly system: string;
  readonly machine: string;
  readonly seed: number;
  /** Version of this program. */
  readonly version: string;
  /** What it was asked for, as on the command line. */
  readonly options: string;
  /** It was not confined to some suites or tests. */
  readonly whole: boolean;
  /** Which of how many parts, from 1. */
  readonly shard: number;
  readonly shards: number;
}

export interface Run extends RunDescription {
  readonly id: string;
  /** When, in UTC: 2026-01-31T12:00:00.000Z. */
  readonly began: string;
  /** How long; undefined when it was cut off. */
  readonly seconds: number | undefined;
}

export interface KeptTest {
  readonly id: string;
  readonly status: Status;
  readonly ms: number;
  /** Why it failed or was skipped. */
  readonly message: string | undefined;
}

/** A point that a test has reached. */
export interface Reached {
  readonly point: string;
  readonly test: string;
}

/** Takes down a run as it goes. */
export interface RunWriter {
  result(result: Result): void;
  /** What of the driver's code the run has reached. */
  code(files: readonly FileCoverage[]): void;
  end(seconds: number): void;
}

export class Results implements Disposable {
  readonly #file: string;
  readonly #database: DatabaseSync;
  /** Folder of a copy. */
  #copy: string | undefined;
  /** Keys of names. */
  readonly #names = new Map<string, number>();

  /**
   * @param file `:memory:` for none. @param write make it if it is not there
   * @throws UserError when there is none to read, or what is there is no such file
   */
  constructor(file: string, write: boolean) {
    this.#file = file;
    this.#database = this.#attempt(() => {
      if (write && file !== ':memory:') makeFolder(path.dirname(path.resolve(file)));
      if (write) return open(file, write);
      const { database, copy } = openToRead(file);
      this.#copy = copy;
      return database;
    });
  }

  /** A run begins. @throws UserError when it cannot be written */
  begin(description: RunDescription, now = new Date()): RunWriter {
    const { target, system, machine, seed, version, options, whole, shard, shards } = description;
    const base = now.toISOString().replaceAll(/[-:]|\.\d+Z/g, '');
    const run = this.#attempt(() =>
      this.#transaction(() => {
        const taken = this.#database.prepare('SELECT 1 FROM run WHERE id = ?');
        // people type these: the time, and a letter where two began in one second
        let id = base;
        for (let i = 0; taken.get(id) !== undefined; i++) id = `${base}-${process.pid}${i === 0 ? '' : `-${i}`}`;
        const { lastInsertRowid } = this.#database
          .prepare(
            'INSERT INTO run (id, began, version, target, system, machine, seed, options, whole, shard, shards) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)',
          )
          .run(id, now.toISOString(), version, target, system, machine, seed, options, Number(whole), shard, shards);
        return Number(lastInsertRowid);
      }),
    );
    return {
      result: (result) => this.#attempt(() => this.#transaction(() => this.#addTest(run, result))),
      code: (files) => this.#attempt(() => this.#transaction(() => this.#addCode(run, files))),
      end: (seconds) =>
        void this.#attempt(() => this.#database.prepare('UPDATE run SET seconds = ? WHERE key = ?').run(seconds, run)),
    };
  }

  /** All runs, the newest first. */
  runs(): readonly Run[] {
    const rows = this.#attempt(() => this.#database.prepare('SELECT * FROM run ORDER BY began DESC, key DESC').all());
    return rows.map((row) => ({
      id: String(row.id),
      began: String(row.began),
      seconds: row.seconds === null ? undefined : Number(row.seconds),
      version: String(row.version),
      target: String(row.target),
      system: String(row.system),
      machine: String(row.machine),
      seed: Number(row.seed),
      options: String(row.options),
      whole: row.whole === 1,
      shard: Number(row.shard),
      shards: Number(row.shards),
    }));
  }

  /** @param id or the beginning of one that no other has; `last` is the newest. @throws UserError when there is none */
  run(id: string): Run {
    const runs = this.runs();
    const found = id === 'last' ? runs.slice(0, 1) : runs.filter((run) => run.id === id || run.id.startsWith(id));
    const exact = found.find((run) => run.id === id) ?? found[0];
    if (!exact) throw new UserError(`no run "${id}": see "sagrada history"`);
    if (found.length > 1 && exact.id !== id)
      throw new UserError(`${found.length} runs begin with "${id}": ${found.map((run) => run.id).join(', ')}`);
    return exact;
  }

  /** In the order of their names. */
  tests(run: Run): readonly KeptTest[] {
    const rows = this.#attempt(() =>
      this.#database
        .prepare(
          'SELECT name.text AS id, status, ms, message FROM test JOIN name ON name.key = test.name JOIN run ON run.key = test.run WHERE run.id = ? ORDER BY id',
        )
        .all(run.id),
    );
    return rows.map((row) => ({
      id: String(row.id),
      status: row.status as Status,
      ms: Number(row.ms),
      message: row.message === null ? undefined : String(row.message),
    }));
  }

  /** Points that tests with this status have reached. */
  reached(run: Run, status: Status): readonly Reached[] {
    const rows = this.#attempt(() =>
      this.#database
        .prepare(
          'SELECT p.text AS point, t.text AS test FROM reached r JOIN run ON run.key = r.run JOIN name p ON p.key = r.point JOIN name t ON t.key = r.test JOIN test ON test.run = r.run AND test.name = r.test WHERE run.id = ? AND test.status = ?',
        )
        .all(run.id, status),
    );
    return rows.map(({ point, test }) => ({ point: String(point), test: String(test) }));
  }

  /** What of the driver's code a run has reached, where that was asked for. */
  code(run: Run): readonly FileCoverage[] {
    return this.#attempt(() => {
      const table = this.#database.prepare("SELECT 1 FROM sqlite_schema WHERE name = 'code'").get();
      // a file of an earlier version that is only read
      if (table === undefined) return [];
      const rows = this.#database
        .prepare('SELECT data FROM code JOIN run ON run.key = code.run WHERE run.id = ? ORDER BY file')
        .all(run.id);
      return rows.map(({ data }) => JSON.parse(inflateSync(data as Uint8Array).toString()) as FileCoverage);
    });
  }

  /** Takes the runs of another file that are not here yet. */
  merge(other: Results): void {
    const known = new Set(this.runs().map((run) => `${run.id} ${run.began}`));
    for (const run of other.runs().toReversed()) {
      if (known.has(`${run.id} ${run.began}`)) continue;
      const points = new Map<string, string[]>();
      for (const status of ['passed', 'failed', 'skipped'] as const)
        for (const { point, test } of other.reached(run, status))
          points.set(test, [...(points.get(test) ?? []), point]);
      const writer = this.begin(run, new Date(run.began));
      for (const { id, status, ms, message } of other.tests(run)) {
        const [suite = '', name = ''] = id.split(/: (.*)/s, 2);
        const reached = points.get(id);
        writer.result({
          id,
          suite,
          name,
          status,
          ms,
          messages: [],
          ...(message === undefined ? {} : status === 'failed' ? { failure: { message } } : { reason: message }),
          ...(reached ? { points: reached } : {}),
        });
      }
      const code = other.code(run);
      if (code.length > 0) writer.code(code);
      if (run.seconds !== undefined) writer.end(run.seconds);
    }
  }

  [Symbol.dispose](): void {
    this.#database.close();
    if (this.#copy !== undefined) rmSync(this.#copy, { recursive: true, force: true });
  }

  #addTest(run: number, { id, status, ms, failure, reason, points = [] }: Result): void {
    const test = this.#name(id);
    const message = failure?.message ?? reason ?? null;
    this.#database
      .prepare('INSERT OR REPLACE INTO test (run, name, status, ms, message) VALUES (?, ?, ?, ?, ?)')
      .run(run, test, status, ms, message);
    const add = this.#database.prepare('INSERT OR IGNORE INTO reached (run, test, point) VALUES (?, ?, ?)');
    for (const point of points) add.run(run, test, this.#name(point));
  }

  #addCode(run: number, files: readonly FileCoverage[]): void {
    const add = this.#database.prepare('INSERT OR REPLACE INTO code (run, file, data) VALUES (?, ?, ?)');
    for (const file of files) add.run(run, file.file, deflateSync(JSON.stringify(file)));
  }

  #name(text: string): number {
    const known = this.#names.get(text);
    if (known !== undefined) return known;
    this.#database.prepare('INSERT OR IGNORE INTO name (text) VALUES (?)').run(text);
    const key = Number(this.#database.prepare('SELECT key FROM name WHERE text = ?').get(text)?.key);
    this.#names.set(text, key);
    return key;
  }

  #transaction<T>(body: () => T): T {
    this.#database.exec('BEGIN IMMEDIATE');
    try {
      const result = body();
      this.#database.exec('COMMIT');
      return result;
    } catch (error) {
      // a full disk has ended it already
      if (this.#database.isTransaction) this.#database.exec('ROLLBACK');
      this.#names.clear();
      throw error;
    }
  }

  #attempt<T>(body: () => T): T {
    try {
      return body();
    } catch (error) {
      if (error instanceof UserError) throw error;
      throw new UserError(`${this.#file}: ${reason(error as Error & { readonly errcode?: number }, this.#file)}`);
    }
  }
}

/** To be read: SQLite makes files beside it, so that of a file in a folder where nothing can be written it is a copy. */
function openToRead(file: string): { readonly database: DatabaseSync; readonly copy?: string } {
  try {
    return { database: open(file, false) };
  } catch (error) {
    if ((error as { readonly errcode?: number }).errcode !== CANNOT_OPEN) throw error;
  }
  const copy = mkdtempSync(path.join(tmpdir(), 'sagrada-results-'));
  try {
    // what a run that was killed has left beside it belongs to it
    for (const end of ['', '-wal']) if (existsSync(file + end)) copyFileSync(file + end, path.join(copy, `copy${end}`));
    return { database: open(path.join(copy, 'copy'), false), copy };
  } catch (error) {
    rmSync(copy, { recursive: true });
    throw error;
  }
}

/** Result codes of SQLite (sqlite.org/rescode.html): SQLITE_CANTOPEN, and SQLITE_IOERR, of which there are many kinds. */
const CANNOT_OPEN = 14;
const IO_ERROR = 10;

/** On a full disk SQLite says that it is full when it writes a page, and speaks of an I/O error when it makes its index. */
function reason({ message, errcode = 0 }: Error & { readonly errcode?: number }, file: string): string {
  if ((errcode & 0xff) !== IO_ERROR) return message;
  try {
    return statfsSync(path.dirname(path.resolve(file))).bavail === 0 ? 'no space left on the disk' : message;
  } catch {
    return message;
  }
}

function open(file: string, write: boolean): DatabaseSync {
  if (!write && file !== ':memory:' && !existsSync(file)) throw new UserError(`${file}: no run has been kept in it`);
  const database = new DatabaseSync(file, { readOnly: !write, timeout: 10_000 });
  try {
    // a file that is something else is not touched
    const made = isMade(database, file);
    if (!made && !write) throw new UserError(`${file}: no run has been kept in it`);
    if (!write) return database;
    // readers and other runs go on beside a run; what is committed outlives a crash of the program
    database.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; BEGIN IMMEDIATE');
    if (!isMade(database, file)) database.exec(`${TABLES} PRAGMA user_version = ${VERSION}`);
    database.exec(`${CODE_TABLE} COMMIT`);
    return database;
  } catch (error) {
    database.close();
    throw error;
  }
}

/** Whether it has the tables. @throws UserError when it has others */
function isMade(database: DatabaseSync, file: string): boolean {
  const { user_version } = database.prepare('PRAGMA user_version').get() as { user_version: number };
  if (user_version === VERSION) return true;
  const { count } = database.prepare('SELECT count(*) AS count FROM sqlite_schema').get() as { count: number };
  if (user_version > VERSION) throw new UserError(`${file}: kept by a newer version of this program`);
  if (user_version !== 0 || count !== 0) throw new UserError(`${file}: not a results file of this version`);
  return false;
}

/** Not by mkdir's own recursion, which does not end where nothing can be made, as below /proc. */
function makeFolder(folder: string): void {
  if (existsSync(folder)) return;
  makeFolder(path.dirname(folder));
  try {
    mkdirSync(folder);
  } catch (error) {
    // somebody else has made it meanwhile
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
}
