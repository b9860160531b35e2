import { constants } from 'node:os';
import { SystemError } from '../driver.ts';

export type Errno = keyof typeof constants.errno;

/** Ends a system call with an errno. @throws SystemError */
export function refuse(code: Errno, call = 'ioctl'): never {
  throw new SystemError(call, constants.errno[code]);
}

/** The name of an errno that a call ended with; other errors pass on. */
export function errnoOf(error: unknown): Errno {
  if (error instanceof SystemError) return error.code as Errno;
  throw error;
}

/** As the driver prints it and returns it, e.g. -22. */
export function negative(code: Errno): number {
  return -constants.errno[code];
}
