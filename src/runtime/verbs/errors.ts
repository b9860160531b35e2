/** What goes wrong with verbs: calls that the kernel refuses, and work that did not succeed. */

import type { SystemError } from '../../driver/driver.ts';
import {
  type Arguments,
  DeviceGoneError,
  DriverError,
  type Failure,
  InvalidArgumentError,
  NotPermittedError,
  OutOfMemoryError,
} from '../errors.ts';
import type { WorkCompletion } from './completion.ts';

/** EBUSY: others still use the object. */
export class ObjectInUseError extends DriverError {
  override readonly name = 'ObjectInUseError';
}

/** EOPNOTSUPP, EPROTONOSUPPORT: the device, its driver or the kernel does not have this. */
export class NotSupportedError extends DriverError {
  override readonly name = 'NotSupportedError';
}

/** Work that ended with a status other than success. */
export class WorkError extends Error {
  override readonly name = 'WorkError';
  readonly completion: WorkCompletion;

  constructor(completion: WorkCompletion) {
    super(`${completion.operation} ${completion.id}: ${completion.status}`);
    this.completion = completion;
  }
}

/** Completions that were waited for did not come. */
export class CompletionTimeoutError extends Error {
  override readonly name = 'CompletionTimeoutError';
}

/** The queue has no room: completions of earlier work must be polled first. Nothing was posted. */
export class WorkQueueFullError extends Error {
  override readonly name = 'WorkQueueFullError';
}

const classes: Readonly<Record<string, new (failure: Failure, options?: ErrorOptions) => DriverError>> = {
  EINVAL: InvalidArgumentError,
  EPERM: NotPermittedError,
  ENOMEM: OutOfMemoryError,
  EBUSY: ObjectInUseError,
  EIO: DeviceGoneError,
  ENODEV: DeviceGoneError,
  EOPNOTSUPP: NotSupportedError,
  EPROTONOSUPPORT: NotSupportedError,
};

export function verbsError(call: string, cause: SystemError, shown: Arguments): DriverError {
  const failure: Failure = { errno: cause.errno, code: cause.code, call, arguments: shown };
  return new (classes[cause.code] ?? DriverError)(failure, { cause });
}
