/** What asm, disasm and isa share: finding the instruction set, reading and writing files with one-line errors. */

import { createReadStream, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { instructionSets } from '../../specs/index.ts';
import { suggestion } from '../isa/diagnostics.ts';
import type { InstructionSet } from '../isa/instruction-set.ts';
import { UserError } from '../sim/errors.ts';
import { failure } from './failure.ts';

/** @throws UserError for a name that is none */
export function loadInstructionSet(name: string): Promise<InstructionSet> {
  const names = Object.keys(instructionSets);
  const entry = Object.hasOwn(instructionSets, name) ? instructionSets[name] : undefined;
  if (!entry) {
    throw new UserError(`no instruction set "${name}"${suggestion(name, names)} (known: ${names.join(', ')})`);
  }
  return entry.load();
}

/** Longest input, bytes. */
const MAX_INPUT = 256 * 1024 * 1024;

/** The bytes of `file`; `-` is standard input. @throws UserError */
export async function readInput(file: string): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  try {
    // Standard input as a stream: a synchronous read of a pipe that is still empty may fail.
    for await (const chunk of file === '-' ? process.stdin : createReadStream(file)) {
      chunks.push(chunk as Uint8Array);
      length += (chunk as Uint8Array).length;
      if (length > MAX_INPUT) throw new UserError(`${inputName(file)} is longer than ${MAX_INPUT} bytes`);
    }
    return Buffer.concat(chunks, length);
  } catch (error) {
    throw failure(`cannot read ${inputName(file)}`, error);
  }
}

/** @throws UserError */
export function makeFolder(folder: string): void {
  try {
    mkdirSync(folder, { recursive: true });
  } catch (error) {
    throw failure(`cannot make folder ${folder}`, error);
  }
}

export function inputName(file: string): string {
  return file === '-' ? 'standard input' : file;
}

/** Writes `file` whole or not at all. @throws UserError */
export function writeOutput(file: string, bytes: Uint8Array): void {
  const part = `${file}.${process.pid}.part`;
  try {
    writeFileSync(part, bytes);
    renameSync(part, file);
  } catch (error) {
    rmSync(part, { force: true });
    throw failure(`cannot write ${file}`, error);
  }
}

/** Writes to standard output and waits until it is taken. That it is not is no matter of the command's (main.ts). */
export function print(output: string | Uint8Array): Promise<void> {
  return new Promise((resolve) => {
    const failed = () => resolve();
    process.stdout.on('error', failed);
    process.stdout.write(output, (error) => {
      // a failure is told by the event, which comes after this
      if (error) return;
      process.stdout.off('error', failed);
      resolve();
    });
  });
}
