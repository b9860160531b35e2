/** Runs a program to its end and collects what it printed. */

import { spawn } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { constants as os } from 'node:os';
import path from 'node:path';

export interface RunOptions {
  readonly cwd?: string;
  /** The whole environment; default: ours. */
  readonly env?: NodeJS.ProcessEnv;
  /** Ends the program, and whatever it started, with SIGTERM; `run` then rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
  readonly stdin?: Uint8Array;
  /** Told what comes on standard output, as it comes. */
  readonly onStdout?: ((text: string) => void) | undefined;
}

export interface RunResult {
  /** Exit status; 128 + n when signal n ended it. */
  readonly status: number;
  readonly stdout: Buffer;
  readonly stderr: string;
}

/** @throws Error with `code` ENOENT and the like when the program cannot be started. */
export function run(file: string, args: readonly string[], options: RunOptions = {}): Promise<RunResult> {
  const { signal } = options;
  return new Promise((resolve, reject) => {
    if (signal?.aborted) {
      reject(signal.reason);
      return;
    }
    // A process group of its own: ending the group ends what the program started (apt's methods, make's compilers).
    const child = spawn(file, args, { cwd: options.cwd, env: options.env, detached: true, stdio: 'pipe' });
    const stdout: Buffer[] = [];
    const stderr: Buffer[] = [];
    const stop = () => {
      if (child.pid === undefined) return;
      try {
        process.kill(-child.pid, 'SIGTERM');
      } catch {
        // It has ended by itself.
      }
    };
    signal?.addEventListener('abort', stop);
    child.stdout.on('data', (chunk: Buffer) => {
      stdout.push(chunk);
      options.onStdout?.(chunk.toString('latin1'));
    });
    child.stderr.on('data', (chunk: Buffer) => stderr.push(chunk));
    child.stdin.on('error', () => {});
    child.stdin.end(options.stdin);
    child.on('error', (error) => {
      signal?.removeEventListener('abort', stop);
      reject(error);
    });
    child.on('close', (code, name) => {
      signal?.removeEventListener('abort', stop);
      if (signal?.aborted) reject(signal.reason);
      else
        resolve({
          status: code ?? 128 + (name === null ? 0 : signalNumber(name)),
          stdout: Buffer.concat(stdout),
          stderr: Buffer.concat(stderr).toString(),
        });
    });
  });
}

/** The number of a signal, e.g. 15 for SIGTERM. */
export function signalNumber(name: NodeJS.Signals): number {
  return os.signals[name];
}

/** Where a program lies in PATH (or in the folders of system administrators), or undefined. */
export function findProgram(name: string, environment: NodeJS.ProcessEnv = process.env): string | undefined {
  const folders = [...(environment.PATH ?? '').split(':'), '/usr/local/sbin', '/usr/sbin', '/sbin'];
  for (const folder of folders) {
    if (!path.isAbsolute(folder)) continue;
    const file = path.join(folder, name);
    try {
      accessSync(file, constants.X_OK);
      return file;
    } catch {
      // Not here.
    }
  }
  return undefined;
}
