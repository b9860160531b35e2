import { EFD_CLOEXEC, EFD_NONBLOCK, POLLIN } from '../driver/driver.ts';
import type { Info } from './info.ts';
import type { OpenNode } from './node.ts';
import type { WaitingRoom, WaitOptions } from './patience.ts';

/** Tells of events of the card: the driver counts up an eventfd for each. */
export class EventNotifier implements Disposable {
  readonly fd: number;
  readonly #node: OpenNode;
  readonly #info: Info;
  readonly #waiting: WaitingRoom;
  #live = true;

  /** When the driver refuses, the eventfd is closed. */
  constructor(node: OpenNode, info: Info, waiting: WaitingRoom) {
    this.#node = node;
    this.#info = info;
    this.#waiting = waiting;
    this.fd = node.driver.eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    try {
      info.registerEventfd(this.fd);
    } catch (error) {
      node.driver.close(this.fd);
      throw error;
    }
    node.own(this);
  }

  /** The events that have come since the last call, as HL_NOTIFIER_EVENT_* bits; 0 when none have. */
  take(): bigint {
    return this.#take(0) ?? 0n;
  }

  /** Waits for events and takes them. @returns 0 when none came in time. @throws the signal's reason */
  async next(options: WaitOptions = {}): Promise<bigint> {
    return (await this.#waiting.until(options, (milliseconds) => this.#take(Math.ceil(milliseconds)))) ?? 0n;
  }

  #take(milliseconds: number): bigint | undefined {
    const { driver } = this.#node;
    if ((driver.poll(this.fd, POLLIN, milliseconds) & POLLIN) === 0) return undefined;
    driver.read(this.fd, new Uint8Array(8));
    return this.#info.getEvents();
  }

  [Symbol.dispose](): void {
    if (!this.#live) return;
    this.#live = false;
    this.#node.disown(this);
    try {
      this.#info.unregisterEventfd();
    } finally {
      this.#node.driver.close(this.fd);
    }
  }
}
