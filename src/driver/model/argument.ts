/**
 * How the argument of an ioctl comes to a driver and goes back: a program may speak of a shorter or longer one than the driver
 * has, and of one direction only. Source: drivers/gpu/drm/drm_ioctl.c (drm_ioctl), common/habanalabs_ioctl.c (_hl_ioctl).
 */

import type { Steps } from '../../sim/process.ts';
import { refuse } from './errno.ts';

/** uapi/asm-generic/ioctl.h. */
const IOC = { SIZE_SHIFT: 16, SIZE_MASK: 0x3fff, WRITE: 1 << 30, READ: 2 << 30, TYPE_SHIFT: 8 } as const;

type Body = (argument: Uint8Array) => Steps | undefined;

/** Number of a request, without size, type and direction. */
export function numberOf(request: number): number {
  return request & 0xff;
}

/**
 * drm_ioctl: what the program does not give is zero, what it has no room for is lost.
 * @param size bytes that the driver's own request has; undefined where it has none of this number
 * @throws SystemError ENOTTY for requests of others, EINVAL, EFAULT where the program's argument is shorter than it says
 */
export function* viaDrm(request: number, argument: Uint8Array, size: number | undefined, body: Body): Steps {
  if (((request >>> IOC.TYPE_SHIFT) & 0xff) !== 'd'.charCodeAt(0)) refuse('ENOTTY');
  if (size === undefined) refuse('EINVAL');
  const bytes = (request >>> IOC.SIZE_SHIFT) & IOC.SIZE_MASK;
  yield* carry(argument, request & IOC.WRITE ? bytes : 0, request & IOC.READ ? bytes : 0, size, body);
}

/** _hl_ioctl: both directions, whatever the request says. @throws SystemError */
export function* viaControl(request: number, argument: Uint8Array, size: number, body: Body): Steps {
  const bytes = (request >>> IOC.SIZE_SHIFT) & IOC.SIZE_MASK;
  yield* carry(argument, bytes, bytes, size, body);
}

function* carry(argument: Uint8Array, incoming: number, outgoing: number, size: number, body: Body): Steps {
  if (argument.length < incoming) refuse('EFAULT');
  const copy = new Uint8Array(Math.max(incoming, outgoing, size));
  copy.set(argument.subarray(0, incoming));
  try {
    yield* body(copy.subarray(0, size)) ?? [];
  } finally {
    // also what fails is answered
    argument.set(copy.subarray(0, Math.min(outgoing, argument.length)));
  }
  if (outgoing > argument.length) refuse('EFAULT');
}
