/** An open node of the driver: ioctls by row, pointers to scratch memory, and what must be cleaned up when it is closed. */

import { type Driver, type Mapping, SystemError } from '../driver/driver.ts';
import type { Ioctl, Operation } from '../uapi/rows.ts';
import type { Struct } from '../uapi/struct.ts';
import { DisposedError, DriverError, ioctlError } from './errors.ts';

/** First size of the memory that arguments with pointers point to, bytes; it grows when more is needed. */
const SCRATCH = 64 * 1024;

/** What a row of operations gives to `call`: the name for messages, and when it fails with what. */
export interface Named {
  readonly name: string;
  readonly row: Operation | undefined;
}

export class OpenNode {
  readonly driver: Driver;
  readonly path: string;
  readonly #fd: number;
  readonly #owned = new Set<Disposable>();
  #scratch: Mapping | undefined;
  #open = true;

  constructor(driver: Driver, path: string, fd: number) {
    this.driver = driver;
    this.path = path;
    this.#fd = fd;
  }

  /** @throws DisposedError after `close`. */
  get fd(): number {
    if (!this.#open) throw new DisposedError(this.path);
    return this.#fd;
  }

  get isOpen(): boolean {
    return this.#open;
  }

  /**
   * Makes an ioctl; a signal that interrupts it makes it again.
   * @param shown arguments that an error message shows. @returns the argument as the driver left it.
   */
  call<Out, In>(
    ioctl: Ioctl<Struct<Out, In>>,
    operation: Named,
    value: In,
    shown: Readonly<Record<string, unknown>> = {},
  ): Out {
    for (;;) {
      const argument = ioctl.argument.encode(value);
      try {
        this.driver.ioctl(this.fd, ioctl.request, argument);
        return ioctl.argument.decode(argument);
      } catch (error) {
        if (!(error instanceof SystemError)) throw error;
        if (error.code !== 'EINTR') throw this.#failure(ioctl, operation, error, shown);
      }
    }
  }

  #failure(ioctl: Ioctl, operation: Named, cause: SystemError, shown: Readonly<Record<string, unknown>>): DriverError {
    return ioctlError(ioctl, operation.name, operation.row, cause, shown);
  }

  /** At least `size` bytes that arguments can point to, zeroed; valid until the next call of this method. */
  scratch(size: number): Mapping {
    if (!this.#open) throw new DisposedError(this.path);
    if (this.#scratch === undefined || this.#scratch.bytes.length < size) {
      this.#scratch?.unmap();
      this.#scratch = undefined;
      this.#scratch = this.driver.allocate(Math.max(SCRATCH, Math.ceil(size / 4096) * 4096));
    }
    this.#scratch.bytes.fill(0, 0, size);
    return this.#scratch;
  }

  /** Remembers something that goes when the node is closed. */
  own<T extends Disposable>(resource: T): T {
    this.#owned.add(resource);
    return resource;
  }

  /** Forgets it: it has been disposed of. */
  disown(resource: Disposable): void {
    this.#owned.delete(resource);
  }

  /**
   * Disposes of everything that is owned, the last made first, and closes the node. What the driver then refuses to take
   * back (because the caller gave it back behind our back) it forgets with the node. Harmless when done twice.
   */
  close(): void {
    if (!this.#open) return;
    const errors: unknown[] = [];
    const attempt = (body: () => void) => {
      try {
        body();
      } catch (error) {
        if (!(error instanceof DriverError)) errors.push(error);
      }
    };
    for (const resource of [...this.#owned].reverse()) attempt(() => resource[Symbol.dispose]());
    this.#owned.clear();
    attempt(() => this.#scratch?.unmap());
    this.#open = false;
    attempt(() => this.driver.close(this.#fd));
    if (errors.length === 1) throw errors[0];
    if (errors.length > 1) throw new AggregateError(errors, `${this.path}: closing it failed in several ways`);
  }
}
