/** A file that belongs to a context of verbs: events are read from it. */

import { DisposedError } from '../errors.ts';
import type { OpenNode } from '../node.ts';

export class EventFile implements Disposable {
  protected readonly node: OpenNode;
  readonly #what: string;
  #fd: number | undefined;

  /** @param what it is, for an error */
  constructor(node: OpenNode, what: string, fd: number) {
    this.node = node;
    this.#what = what;
    this.#fd = fd;
    node.own(this);
  }

  /** @throws DisposedError */
  get fd(): number {
    if (this.#fd === undefined) throw new DisposedError(this.#what);
    return this.#fd;
  }

  /** Sleeps until there is an event. @returns its bytes */
  protected next(size: number): Uint8Array {
    const event = new Uint8Array(size);
    this.node.driver.read(this.fd, event);
    return event;
  }

  /** Harmless when done twice. */
  [Symbol.dispose](): void {
    if (this.#fd === undefined) return;
    const fd = this.#fd;
    this.#fd = undefined;
    this.node.disown(this);
    this.node.driver.close(fd);
  }
}
