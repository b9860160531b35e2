/** A private folder for a run's sockets and files, and the programs of that run: none of them outlives this process. */

import { type ChildProcess, spawn } from 'node:child_process';
import { chmodSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { findProgram } from '../../os/run.ts';
import { UserError } from '../../sim/errors.ts';

const PREFIX = 'sagrada-';

/** Longest path of a UNIX socket (unix(7), sun_path), less what we append to the folder. */
const MAX_FOLDER = 108 - 24;

export class Scratch {
  readonly folder: string;
  readonly #children = new Set<ChildProcess>();
  readonly #atExit = () => this.close();

  constructor() {
    const prefix = `${PREFIX}${process.pid}-`;
    const base = [tmpdir(), '/tmp'].find((folder) => folder.length + prefix.length + 8 < MAX_FOLDER) ?? '/tmp';
    try {
      sweep(base);
      this.folder = mkdtempSync(path.join(base, prefix));
      chmodSync(this.folder, 0o700);
    } catch (error) {
      throw new UserError(
        `cannot make a folder in ${base}: ${(error as NodeJS.ErrnoException).code} (TMPDIR names another)`,
      );
    }
    process.once('exit', this.#atExit);
  }

  file(name: string): string {
    return path.join(this.folder, name);
  }

  /** Writes a file of the run. @returns its path. @throws UserError where there is no space. */
  write(name: string, data: Uint8Array): string {
    try {
      writeFileSync(this.file(name), data);
    } catch (error) {
      throw new UserError(
        `cannot write ${this.file(name)}: ${(error as NodeJS.ErrnoException).code} (TMPDIR names another folder)`,
      );
    }
    return this.file(name);
  }

  /**
   * Starts a program that ends with us, however we end: by the kernel where setpriv is there to ask for it, else when
   * this process exits. It has a session of its own, so that Ctrl-C reaches only us.
   */
  start(command: readonly string[]): ChildProcess {
    const setpriv = findProgram('setpriv');
    const guarded = setpriv ? [setpriv, '--pdeathsig', 'KILL', '--', ...command] : command;
    const [program = '', ...args] = guarded;
    const child = spawn(program, args, { cwd: this.folder, detached: true, stdio: ['ignore', 'pipe', 'pipe'] });
    this.#children.add(child);
    child.once('exit', () => this.#children.delete(child));
    return child;
  }

  /** Ends the programs and removes the folder. */
  close(): void {
    process.removeListener('exit', this.#atExit);
    for (const child of this.#children) child.kill('SIGKILL');
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** Removes the folders of processes that were killed before they could. */
function sweep(base: string): void {
  for (const name of readdirSync(base)) {
    const pid = Number(/^sagrada-(\d+)-/.exec(name)?.[1]);
    if (!pid || alive(pid)) continue;
    try {
      rmSync(path.join(base, name), { recursive: true, force: true });
    } catch {
      // Somebody else's.
    }
  }
}

function alive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
