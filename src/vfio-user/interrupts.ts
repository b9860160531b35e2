/** The eventfds a client has connected to the interrupts of a function, and their masks. */

import { constants } from 'node:os';
import { close, SystemError, write } from '../os/libc.ts';
import type { PciFunction } from '../pci/function.ts';
import type { InterruptKind } from '../pci/ports.ts';
import { prepareEventfd } from './descriptors.ts';
import { IRQ_FLAG, IRQ_INDEX, IRQ_INDEX_COUNT, IRQ_SET, IRQ_SET_FLAG, Refusal } from './messages.ts';

const { EINVAL } = constants.errno;

const ONE = new Uint8Array(8);
ONE[0] = 1;

interface Vector {
  trigger: number;
  /** Signalled when the vector is masked, or unmasked. */
  mask: number;
  unmask: number;
  masked: boolean;
  /** Raised while masked. */
  pending: boolean;
}

type Action = 'trigger' | 'mask' | 'unmask';

const ACTIONS: Readonly<Record<number, Action>> = {
  [IRQ_SET_FLAG.MASK]: 'mask',
  [IRQ_SET_FLAG.UNMASK]: 'unmask',
  [IRQ_SET_FLAG.TRIGGER]: 'trigger',
};

const ALL_ACTIONS = IRQ_SET_FLAG.MASK | IRQ_SET_FLAG.UNMASK | IRQ_SET_FLAG.TRIGGER;
const ALL_DATA = IRQ_SET_FLAG.NONE | IRQ_SET_FLAG.BOOL | IRQ_SET_FLAG.EVENTFD;

function signal(fd: number): void {
  if (fd < 0) return;
  try {
    write(fd, ONE);
  } catch (error) {
    // EAGAIN: the counter is full, so the client has not looked at it for a long time and will be woken anyway.
    if (!(error instanceof SystemError)) throw error;
  }
}

export class Interrupts {
  readonly #vectors: readonly (readonly Vector[])[];

  constructor(counts: PciFunction['vectors']) {
    const vectors = (count: number): Vector[] =>
      Array.from({ length: count }, () => ({ trigger: -1, mask: -1, unmask: -1, masked: false, pending: false }));
    // A PCIe function has one error and one "please release me" interrupt for its host (vfio_pci_core.c,
    // vfio_pci_get_irq_count); the models never raise them, the client can.
    this.#vectors = [vectors(counts.intx), vectors(counts.msi), vectors(counts.msix), vectors(1), vectors(1)];
  }

  /** @throws Refusal for an index there is not */
  info(index: number): { flags: number; count: number } {
    const vectors = this.#vectors[index];
    if (!vectors) throw new Refusal(EINVAL, `interrupt index ${index}`);
    let flags: number = IRQ_FLAG.EVENTFD | IRQ_FLAG.MASKABLE;
    if (index === IRQ_INDEX.intx) flags |= IRQ_FLAG.AUTOMASKED;
    return { flags, count: vectors.length };
  }

  /** Raises a vector of the function; nothing happens while the client has not connected it. */
  raise(kind: InterruptKind, vector: number): void {
    const index = IRQ_INDEX[kind];
    const entry = this.#vectors[index]?.[vector];
    if (!entry) throw new RangeError(`${kind} vector ${vector} of a function that has not so many`);
    this.#raise(index, entry);
  }

  /**
   * Carries out a DEVICE_SET_IRQS request. Descriptors it keeps are taken out of `fds`.
   * @param size bytes of the request that `view` holds from `base` on
   * @throws Refusal, and then nothing has changed
   */
  set(view: DataView, base: number, size: number, fds: number[]): void {
    if (size < IRQ_SET.size) throw new Refusal(EINVAL, `DEVICE_SET_IRQS of ${size} bytes`);
    const { argsz, flags, index, start, count } = IRQ_SET.decode(view, base);
    if (argsz < IRQ_SET.size || argsz > size) throw new Refusal(EINVAL, `DEVICE_SET_IRQS with argsz ${argsz}`);
    const data = flags & ALL_DATA;
    const action = ACTIONS[flags & ALL_ACTIONS];
    const known = (flags & ~(ALL_DATA | ALL_ACTIONS)) === 0;
    if (
      !known ||
      !action ||
      (data !== IRQ_SET_FLAG.NONE && data !== IRQ_SET_FLAG.BOOL && data !== IRQ_SET_FLAG.EVENTFD)
    ) {
      throw new Refusal(EINVAL, `DEVICE_SET_IRQS with flags 0x${flags.toString(16)}`);
    }
    const vectors = index < IRQ_INDEX_COUNT ? this.#vectors[index] : undefined;
    if (!vectors) throw new Refusal(EINVAL, `interrupt index ${index}`);
    if (start > vectors.length || count > vectors.length - start) {
      throw new Refusal(EINVAL, `interrupts ${start} to ${start + count - 1} of ${vectors.length}`);
    }
    if (data !== IRQ_SET_FLAG.EVENTFD && fds.length > 0) throw new Refusal(EINVAL, 'descriptors with no use for them');
    const chosen = vectors.slice(start, start + count);
    if (data === IRQ_SET_FLAG.EVENTFD) {
      this.#connect(index, chosen, action, fds);
    } else if (data === IRQ_SET_FLAG.NONE && count === 0) {
      if (start !== 0 || action !== 'trigger') throw new Refusal(EINVAL, 'no interrupts chosen');
      this.#disable(vectors);
    } else {
      const bools = data === IRQ_SET_FLAG.BOOL;
      if (bools && argsz < IRQ_SET.size + count) throw new Refusal(EINVAL, 'fewer booleans than interrupts');
      chosen.forEach((vector, i) => {
        if (!bools || view.getUint8(base + IRQ_SET.size + i) !== 0) this.#act(index, vector, action);
      });
    }
  }

  /** Forgets everything and closes every descriptor. */
  close(): void {
    for (const vectors of this.#vectors) this.#disable(vectors);
  }

  #connect(index: number, vectors: readonly Vector[], action: Action, fds: number[]): void {
    // No descriptors at all disconnect; else there is one per interrupt (vfio-user.rst, VFIO_USER_DEVICE_SET_IRQS).
    if (vectors.length === 0 || (fds.length !== 0 && fds.length !== vectors.length)) {
      throw new Refusal(EINVAL, `${fds.length} descriptors for ${vectors.length} interrupts`);
    }
    if (!fds.every(prepareEventfd)) throw new Refusal(EINVAL, 'not an eventfd');
    const taken = fds.splice(0);
    vectors.forEach((vector, i) => {
      if (vector[action] >= 0) close(vector[action]);
      vector[action] = taken[i] ?? -1;
      if (action === 'trigger' && index === IRQ_INDEX.intx) vector.masked = false;
    });
  }

  #disable(vectors: readonly Vector[]): void {
    for (const vector of vectors) {
      for (const fd of [vector.trigger, vector.mask, vector.unmask]) if (fd >= 0) close(fd);
      vector.trigger = -1;
      vector.mask = -1;
      vector.unmask = -1;
      vector.masked = false;
      vector.pending = false;
    }
  }

  #act(index: number, vector: Vector, action: Action): void {
    if (action === 'trigger') {
      this.#raise(index, vector);
    } else if (action === 'mask') {
      if (vector.masked) return;
      vector.masked = true;
      signal(vector.mask);
    } else {
      if (!vector.masked) return;
      vector.masked = false;
      signal(vector.unmask);
      if (vector.pending) this.#raise(index, vector);
    }
  }

  #raise(index: number, vector: Vector): void {
    if (vector.trigger < 0) return;
    vector.pending = vector.masked;
    if (vector.masked) return;
    // linux/vfio.h, VFIO_IRQ_INFO_AUTOMASKED: INTx stays quiet until the client unmasks it.
    if (index === IRQ_INDEX.intx) vector.masked = true;
    signal(vector.trigger);
  }
}
