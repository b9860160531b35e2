/** What a person at a terminal sees while something takes long, and who gets none of it. */

import process from 'node:process';
import { duration, pace } from '../os/pace.ts';

const CLEAR = '\r\x1b[2K';

/** Whether to colour: NO_COLOR and FORCE_COLOR decide, also where it is no terminal; FORCE_COLOR wins, as it does in Node. */
export function colours(stream: NodeJS.WriteStream, env: NodeJS.ProcessEnv = process.env): boolean {
  const { FORCE_COLOR: forced, NO_COLOR: none } = env;
  if (forced !== undefined) return forced !== '0' && forced !== 'false';
  if (none !== undefined && none !== '') return false;
  return stream.isTTY === true && stream.hasColors(env);
}

let toldAt = 0;

/** A line on a terminal that is written over; empty: none. */
export function statusLine(text: string): void {
  toldAt = performance.now();
  process.stderr.write(`${CLEAR}${text}`);
}

/** Shows the progress of a download on a terminal; elsewhere a line for each tenth. Both in bytes. */
export function progressLine(): (done: number, total: number) => void {
  let shown = -1;
  let first: { readonly at: number; readonly done: number } | undefined;
  return (done, total) => {
    const now = performance.now();
    // what was there already has not been as fast
    if (first === undefined || done < first.done) first = { at: now, done };
    const megabytes = (bytes: number) => bytes / 1e6;
    const finished = done >= total;
    const rest = finished
      ? ''
      : pace(megabytes(done - first.done), megabytes(total - first.done), (now - first.at) / 1000, ' MB');
    const text = `  ${Math.ceil(megabytes(done))} of ${Math.ceil(megabytes(total))} MB${rest}`;
    const tenth = total === 0 ? 10 : Math.floor((10 * done) / total);
    if (process.stderr.isTTY) statusLine(`${text}${finished && shown < 10 ? '\n' : ''}`);
    else if (tenth > shown) process.stderr.write(`${text}\n`);
    shown = tenth;
  };
}

/** Milliseconds between two lines that are written over each other. */
const REWRITE = 200;

/**
 * How far work is that takes the thread for itself, on a terminal and after two seconds; undefined where it is no terminal.
 * @param unit of what is counted
 * @returns to be told what is done and how much there is, and called without anything at the end
 */
export function workLine(unit: string): ((done?: number, total?: number) => void) | undefined {
  if (!process.stderr.isTTY) return undefined;
  const began = performance.now();
  let shown = false;
  return (done, total) => {
    if (done === undefined || total === undefined) {
      if (shown) statusLine('');
      return;
    }
    const now = performance.now();
    const rest = pace(done, total, (now - began) / 1000, ` ${unit}`);
    if (rest === '' || (shown && now - toldAt < REWRITE)) return;
    shown = true;
    const count = (n: number) => Math.ceil(n).toLocaleString('en');
    statusLine(`  ${count(done)} of ${count(total)} ${unit}${rest}`);
  };
}

/** Milliseconds without a word, after which a terminal shows that time passes. */
const SILENCE = 2000;

/** Shows, on a terminal, how long `work` has taken since the last progress. */
export async function waiting<T>(work: Promise<T>): Promise<T> {
  if (!process.stderr.isTTY) return work;
  toldAt = performance.now();
  const timer = setInterval(() => {
    const silent = performance.now() - toldAt;
    // what is said next is written over it
    if (silent >= SILENCE) process.stderr.write(`${CLEAR}  ... ${duration(Math.floor(silent / 1000))}\r`);
  }, 1000);
  try {
    return await work;
  } finally {
    clearInterval(timer);
    process.stderr.write(CLEAR);
  }
}
