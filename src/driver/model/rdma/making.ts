/** What all that is made on behalf of programs has in common: who asks, what is undone where it fails, what is counted. */

import type { Steps } from '../../../sim/process.ts';
import { type Errno, refuse } from '../errno.ts';
import type { MapTable } from './mmap-table.ts';
import type { ErrorCounter, Nic } from './nic.ts';

/** What a call and the driver of its device tell each other beyond the core's arguments (struct ib_udata). */
export interface DriverData {
  /** A struct of which the caller may have given less, but not less than `least` bytes. @throws SystemError EINVAL, EFAULT, EOPNOTSUPP */
  take(size: number, least: number): Uint8Array;
  /** As much of a struct as the caller has given, whatever follows. @throws SystemError EFAULT */
  peek(size: number): Uint8Array;
  /** Nothing but zeros. @throws SystemError EOPNOTSUPP, EFAULT */
  takeNothing(): void;
  /** Answers, where there is room. @throws SystemError EFAULT */
  answer(bytes: Uint8Array): void;
}

/** struct efa_ucontext */
export interface UserContext {
  readonly uar: number;
  readonly maps: MapTable;
}

/** Counts what fails (efa_verbs.c, dev->stats). */
export function* counting<T>(nic: Nic, counter: ErrorCounter, steps: Steps<T>): Steps<T> {
  try {
    return yield* steps;
  } catch (error) {
    nic.errors[counter]++;
    throw error;
  }
}

/** Cleans up where the steps fail. */
export function* cleaning<T>(steps: Steps<T>, clean: () => void): Steps<T> {
  try {
    return yield* steps;
  } catch (error) {
    clean();
    throw error;
  }
}

/** Undoes what was made where the caller cannot be told of it. */
export function* undoing(tell: () => void, undo: Steps<unknown>): Steps {
  try {
    tell();
  } catch (error) {
    yield* undo;
    throw error;
  }
}

/** Refuses, and says why to those who debug the driver (ibdev_dbg). @throws SystemError */
export function refuseWith(nic: Nic, code: Errno, text: string): never {
  nic.say('dbg', text);
  refuse(code);
}
