/** Opens the file of a trace. */

import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { UserError } from '../sim/errors.ts';
import { TraceReader } from './reader.ts';

/** Bytes read at a time. */
const PIECE = 4 * 2 ** 20;

/**
 * Reads a file up to its end, or to where it cannot be read: `problem` of what is returned says which.
 * @param onRead told the bytes that are read, and those of the file, after each piece
 * @throws UserError for a file that cannot be opened, or that is no trace at all
 */
export function openTrace(path: string, onRead?: (done: number, total: number) => void): TraceReader {
  const trace = new TraceReader();
  let descriptor: number;
  try {
    descriptor = openSync(path, 'r');
  } catch (error) {
    throw new UserError(`${path}: ${(error as Error).message}`);
  }
  try {
    const { size } = fstatSync(descriptor);
    let done = 0;
    while (trace.problem === undefined || trace.problem.category === 'truncated') {
      const piece = new Uint8Array(PIECE);
      const length = readSync(descriptor, piece);
      if (length === 0) break;
      trace.append(piece.subarray(0, length));
      done += length;
      onRead?.(done, size);
    }
  } catch (error) {
    throw new UserError(`${path}: ${(error as Error).message}`);
  } finally {
    closeSync(descriptor);
  }
  if (trace.problem?.category === 'not-a-trace') throw new UserError(`${path}: not-a-trace: ${trace.problem.message}`);
  return trace;
}
