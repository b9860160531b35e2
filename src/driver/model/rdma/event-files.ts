/**
 * Files from which events are read: completion channels, and those of asynchronous events. Source: core/uverbs_main.c
 * (ib_uverbs_event_read, ib_uverbs_event_poll, ib_uverbs_comp_handler).
 */

import { Condition } from '../../../sim/process.ts';
import { ib_uverbs_async_event_desc, ib_uverbs_comp_event_desc } from '../../../uapi/rdma/verbs.ts';
import { refuse } from '../errno.ts';
import type { FileOperations } from '../files.ts';
import type { UserObject } from './uobjects.ts';

/** asm-generic/poll.h */
const POLLERR = 0x8;

interface Event {
  readonly bytes: Uint8Array;
  /** Whose event it is, and what counts it once it is read. */
  readonly object: UserObject | undefined;
  readonly counter: 'completions' | 'others';
}

export class EventFile implements FileOperations {
  readonly name = 'anon_inode:[infinibandevent]';
  readonly changed = new Condition();
  readonly #size: number;
  readonly #released: () => void;
  #events: Event[] = [];
  #closed = false;

  /** @param kind what is read from it @param released told when nobody has it open any more */
  constructor(kind: 'completions' | 'others', released: () => void) {
    this.#size = (kind === 'completions' ? ib_uverbs_comp_event_desc : ib_uverbs_async_event_desc).size;
    this.#released = released;
  }

  /** There is something to read, if only the end. */
  readable(): boolean {
    return this.#events.length > 0 || this.#closed;
  }

  failed(): number {
    return this.#events.length === 0 && this.#closed ? POLLERR : 0;
  }

  /** @throws SystemError EIO when nothing comes any more, EINVAL where an event has no room; it stays then */
  read(buffer: Uint8Array): number {
    const event = this.#events[0];
    if (!event) refuse('EIO', 'read');
    if (buffer.length < this.#size) refuse('EINVAL', 'read');
    this.#events.shift();
    if (event.object) event.object.reported[event.counter]++;
    buffer.set(event.bytes);
    return this.#size;
  }

  /** A completion queue has something new. */
  completed(queue: UserObject): void {
    if (this.#closed) return;
    const bytes = ib_uverbs_comp_event_desc.encode({ cq_handle: queue.userHandle });
    this.#events.push({ bytes, object: queue, counter: 'completions' });
    this.changed.notify();
  }

  /** An object has gone: its events do, too. */
  forget(object: UserObject): void {
    this.#events = this.#events.filter((event) => event.object !== object);
  }

  /** No more events come; those that were not read are lost (ib_uverbs_free_event_queue). */
  end(): void {
    this.#closed = true;
    this.#events = [];
    this.changed.notify();
  }

  release(): void {
    this.end();
    this.#released();
  }
}
