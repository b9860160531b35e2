/**
 * Where the blocks of the card ask whether something goes wrong now. A point counts the occasions that its faults look at;
 * where there is no fault, asking costs a comparison.
 */

/** What comes of an occasion: undefined where it goes as it should. */
export type Handler<Occasion, Outcome> = (occasion: Occasion) => Outcome | undefined;

export class FaultPoint<Occasion, Outcome> {
  readonly #handlers = new Set<Handler<Occasion, Outcome>>();

  /** Asked by the block; the first fault that has something to say decides. */
  ask(occasion: Occasion): Outcome | undefined {
    if (this.#handlers.size === 0) return undefined;
    for (const handler of this.#handlers) {
      const outcome = handler(occasion);
      if (outcome !== undefined) return outcome;
    }
    return undefined;
  }

  /** @returns what takes the handler away again */
  listen(handler: Handler<Occasion, Outcome>): () => void {
    this.#handlers.add(handler);
    return () => void this.#handlers.delete(handler);
  }
}

/** A stage of the firmware's boot that begins. */
export type BootStage = 'rom' | 'preboot' | 'boot-loader' | 'linux';

/** An access by an engine, named as the bus names it, e.g. `DMA0_CORE` or `DMA0_QM.CP3`. */
export interface Access {
  readonly who: string;
  readonly access: 'read' | 'write';
}

/** Of one card. Each row of specs/gaudi/faults.ts that has an occasion names one of these. */
export class FaultPoints {
  /** An interrupt is sent: nanoseconds by which it is late, `lost`, or `twice`. */
  readonly interrupt = new FaultPoint<{ readonly vector: number }, number | 'lost' | 'twice'>();
  /** A queue manager writes one word to the host: what arrives instead, or `lost`. */
  readonly message = new FaultPoint<{ readonly who: string; readonly value: number }, number | 'lost'>();
  /** An access of the host's memory: it is not answered. */
  readonly hostAccess = new FaultPoint<Access, true>();
  /** An access of anything: the interconnect refuses it. */
  readonly access = new FaultPoint<Access, true>();
  /** A virtual address is translated: there is no page. */
  readonly translation = new FaultPoint<Access, true>();
  /** A command processor has fetched a packet: its opcode does not exist. */
  readonly packet = new FaultPoint<{ readonly queue: string }, true>();
  /** A DMA core begins a transfer: the cause of its failure, or it stands still. */
  readonly transfer = new FaultPoint<{ readonly core: string }, number | 'stuck'>();
  /** A tensor core begins a kernel: it stands still. */
  readonly kernel = new FaultPoint<{ readonly core: string }, true>();
  /** The firmware begins a stage of its boot: it gets no further, or bits of CPU_BOOT_ERR0. */
  readonly boot = new FaultPoint<{ readonly stage: BootStage }, 'stuck' | number>();
  /** The firmware has a packet of the driver: no answer, an answer so many nanoseconds late, or a wrong one. */
  readonly request = new FaultPoint<{ readonly packet: string }, 'silent' | number | { rc: number } | 'wrong'>();
  /** The firmware writes an event: the number in its place, or `lost`. */
  readonly event = new FaultPoint<{ readonly name: string }, number | 'lost'>();
  /** The chip is reset: its boot state machine never ends. */
  readonly reset = new FaultPoint<Record<string, never>, true>();
}
