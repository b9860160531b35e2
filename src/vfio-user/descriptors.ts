/** Descriptors that a client sends: which of them are kept, and what can be done with them without danger. */

import { readlinkSync, statfsSync } from 'node:fs';
import { close, fcntl } from '../os/libc.ts';

/** Stands for a descriptor that was closed on arrival because nothing here could use it (-1: lost on the way). */
const USELESS = -2;

// linux/fcntl.h and linux/magic.h
const F_GETFL = 3;
const F_SETFL = 4;
const F_ADD_SEALS = 1033;
const F_GET_SEALS = 1034;
const F_SEAL_SHRINK = 0x2;
const O_NONBLOCK = 0o4000;
const TMPFS_MAGIC = 0x01021994;

/** Closes descriptors that nobody wants. */
export function closeAll(fds: readonly number[]): void {
  for (const fd of fds) if (fd >= 0) close(fd);
}

/** The seals of a memfd, else undefined; alone of all questions it asks nothing of the file's owner (as FUSE would). */
function sealsOf(fd: number): number | undefined {
  try {
    return fcntl(fd, F_GET_SEALS, 0);
  } catch {
    return undefined;
  }
}

function isEventfd(fd: number): boolean {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`) === 'anon_inode:[eventfd]';
  } catch {
    return false;
  }
}

/**
 * Keeps memory and eventfds; all else is closed at once. A socket, say, could be the client's own end of the
 * connection: held here with an unfinished message it would keep the connection open after the client's death.
 * @returns `fd`, or -2 for a closed one: there was a descriptor, and it is of no use
 */
export function keep(fd: number): number {
  if (sealsOf(fd) !== undefined || isEventfd(fd)) return fd;
  close(fd);
  return USELESS;
}

/**
 * True when the memory of a file can never go away under a mapping: an ordinary memfd that is sealed, or can be sealed
 * here, against shrinking. QEMU's memory-backend-memfd seals by default (backends/hostmem-memfd.c). Anything else
 * (files on a disk, /dev/shm, hugetlbfs, devices) could raise SIGBUS in this process at the client's whim.
 */
export function isStableMemory(fd: number): boolean {
  try {
    let seals = sealsOf(fd);
    if (seals === undefined) return false;
    if ((seals & F_SEAL_SHRINK) === 0) {
      fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK);
      seals = fcntl(fd, F_GET_SEALS, 0);
    }
    return (seals & F_SEAL_SHRINK) !== 0 && statfsSync(`/proc/self/fd/${fd}`).type === TMPFS_MAGIC;
  } catch {
    return false;
  }
}

/**
 * True for an eventfd; it is then made non-blocking, as QEMU's are already, so that signalling it never waits for the
 * client to read it.
 */
export function prepareEventfd(fd: number): boolean {
  if (fd < 0 || !isEventfd(fd)) return false;
  const flags = fcntl(fd, F_GETFL, 0);
  if ((flags & O_NONBLOCK) === 0) fcntl(fd, F_SETFL, flags | O_NONBLOCK);
  return true;
}
