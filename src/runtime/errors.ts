/** What goes wrong, as classes: what was asked (ioctl, operation, arguments), the errno, and what it means there. */

import type { SystemError } from '../driver/driver.ts';
import type { Ioctl, Operation } from '../uapi/rows.ts';

/** The arguments of a call, for messages. */
export type Arguments = Readonly<Record<string, unknown>>;

export interface Failure {
  readonly errno: number;
  /** Name of the errno, e.g. `EINVAL`. */
  readonly code: string;
  /** The ioctl, e.g. `MEMORY`; or the system call, e.g. `open`. */
  readonly call: string;
  /** The operation of the ioctl, e.g. `HL_MEM_OP_MAP`. */
  readonly operation?: string;
  readonly arguments: Arguments;
  /** What the errno means for this operation. */
  readonly reason?: string;
}

/** A call that the driver refused. */
export class DriverError extends Error {
  override readonly name: string = 'DriverError';
  readonly errno: number;
  readonly code: string;
  readonly call: string;
  readonly operation: string | undefined;
  readonly arguments: Arguments;

  constructor(failure: Failure, options?: ErrorOptions) {
    const what = [failure.call, failure.operation].filter((part) => part !== undefined).join(' ');
    const reason = failure.reason === undefined ? '' : ` (${failure.reason})`;
    super(`${what}${describe(failure.arguments)}: ${failure.code}${reason}`, options);
    this.errno = failure.errno;
    this.code = failure.code;
    this.call = failure.call;
    this.operation = failure.operation;
    this.arguments = failure.arguments;
  }
}

/** EINVAL: an argument is not valid. */
export class InvalidArgumentError extends DriverError {
  override readonly name = 'InvalidArgumentError';
}

/** EPERM: not allowed, or not possible on this chip. */
export class NotPermittedError extends DriverError {
  override readonly name = 'NotPermittedError';
}

/** ENOMEM: no memory, or no room in the device's address space. */
export class OutOfMemoryError extends DriverError {
  override readonly name = 'OutOfMemoryError';
}

/** EBUSY on an open node: the device is in reset or disabled. */
export class NotOperationalError extends DriverError {
  override readonly name = 'NotOperationalError';
}

/** ENODEV: the device was removed; all that can be done is to close it. */
export class DeviceGoneError extends DriverError {
  override readonly name = 'DeviceGoneError';
}

/** EAGAIN of a submission: a queue is full or too many submissions are in flight. Nothing was submitted; the same call may succeed later. */
export class QueueFullError extends DriverError {
  override readonly name = 'QueueFullError';
}

/** ETIMEDOUT of a wait: the submission did not end in the time the device allows. */
export class SubmissionTimeoutError extends DriverError {
  override readonly name = 'SubmissionTimeoutError';
}

/** EIO of a wait: the submission was aborted, as a rule because the device was reset. */
export class SubmissionAbortedError extends DriverError {
  override readonly name = 'SubmissionAbortedError';
}

/** The node cannot be opened because somebody has it open. */
export class DeviceInUseError extends DriverError {
  override readonly name = 'DeviceInUseError';
}

/** The caller's own patience ended: the submission may still end. */
export class WaitTimeoutError extends Error {
  override readonly name = 'WaitTimeoutError';
  readonly sequences: readonly bigint[];

  constructor(sequences: readonly bigint[], milliseconds: number) {
    super(`submission ${sequences.join(', ')} has not ended after ${milliseconds} ms`);
    this.sequences = sequences;
  }
}

/** Something was used after it was disposed of. */
export class DisposedError extends Error {
  override readonly name = 'DisposedError';

  constructor(what: string) {
    super(`${what} was disposed of`);
  }
}

/** There is no such card. */
export class NoDeviceError extends Error {
  override readonly name = 'NoDeviceError';
}

/** The runtime's own limits: no room left in SRAM, DRAM or a sync manager. */
export class ExhaustedError extends Error {
  override readonly name = 'ExhaustedError';
}

type Constructor = new (failure: Failure, options?: ErrorOptions) => DriverError;

const classes: Readonly<Record<string, Constructor>> = {
  EINVAL: InvalidArgumentError,
  EPERM: NotPermittedError,
  ENOMEM: OutOfMemoryError,
  EBUSY: NotOperationalError,
  ENODEV: DeviceGoneError,
};

/** Errnos that mean something of their own with one ioctl. */
const special: Readonly<Record<string, Readonly<Record<string, Constructor>>>> = {
  CS: { EAGAIN: QueueFullError },
  WAIT_CS: { ETIMEDOUT: SubmissionTimeoutError, EIO: SubmissionAbortedError },
};

/** The error for an ioctl that failed. */
export function ioctlError(
  ioctl: Ioctl,
  name: string,
  operation: Operation | undefined,
  cause: SystemError,
  input: Arguments,
): DriverError {
  const reason = operation?.errors?.[cause.code];
  const call = ioctl.name.replace('DRM_IOCTL_HL_', '');
  const failure: Failure = {
    errno: cause.errno,
    code: cause.code,
    call,
    operation: name,
    arguments: input,
    ...(reason === undefined ? {} : { reason }),
  };
  return new (special[call]?.[cause.code] ?? classes[cause.code] ?? DriverError)(failure, { cause });
}

/** ` {mem_size: 0x1000, flags: 4}`: numbers that look like addresses in hexadecimal; nothing for no arguments. */
function describe(input: Arguments): string {
  const parts = Object.entries(input).map(([key, value]) => `${key}: ${show(value)}`);
  return parts.length === 0 ? '' : ` {${parts.join(', ')}}`;
}

function show(value: unknown): string {
  if (typeof value === 'bigint') return value > 0xffffn ? `0x${value.toString(16)}` : String(value);
  if (typeof value === 'object' && value !== null) return `{${Object.keys(value).join(', ')}}`;
  return String(value);
}
