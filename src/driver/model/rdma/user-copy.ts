/** Memory of the calling program as the kernel copies it (copy_from_user, copy_to_user, clear_user). */

import { refuse } from '../errno.ts';
import type { Kernel } from '../kernel.ts';

/** @throws SystemError EFAULT */
export function copyFromUser(kernel: Kernel, address: bigint, length: number): Uint8Array {
  return (kernel.program.bytes(address, length) ?? refuse('EFAULT')).slice();
}

/** @throws SystemError EFAULT */
export function copyToUser(kernel: Kernel, address: bigint, bytes: Uint8Array): void {
  (kernel.program.bytes(address, bytes.length) ?? refuse('EFAULT')).set(bytes);
}

/** Copies as much of `bytes` as there is room for; what is left of the room becomes zero. @throws SystemError EFAULT */
export function respond(kernel: Kernel, address: bigint, room: number, bytes: Uint8Array): void {
  const whole = new Uint8Array(room);
  whole.set(bytes.subarray(0, room));
  copyToUser(kernel, address, whole);
}

/**
 * copy_struct_from_user: what the program does not give is zero; what it gives beyond must be zero.
 * @throws SystemError EOPNOTSUPP for what is not
 */
export function extend(given: Uint8Array, size: number): Uint8Array {
  if (given.subarray(size).some((byte) => byte !== 0)) refuse('EOPNOTSUPP');
  const whole = new Uint8Array(size);
  whole.set(given.subarray(0, size));
  return whole;
}
