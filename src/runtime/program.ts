import { CommandStream } from './command-stream.ts';
import { HostMemory, type HostMemoryOptions } from './memory.ts';
import type { OpenNode } from './node.ts';

/**
 * Packets in host memory, and a CP_DMA that has a lower command processor execute them. `place` and `size` are those of the
 * CP_DMA, which is what an internal queue is given: the upper command processor of an internal queue has its transfer
 * registers at those of CP_DMA (gaudi.c, gaudi_init_hbm_dma_qman), so a LIN_DMA there would not be one.
 */
export class Program implements Disposable {
  readonly place: bigint;
  /** Bytes. */
  readonly size: number;
  readonly #memory: HostMemory;

  constructor(node: OpenNode, stream: CommandStream, options: HostMemoryOptions = {}) {
    const { bytes } = stream;
    const launcher = new CommandStream().execute(0n, bytes.length).size;
    this.#memory = new HostMemory(node, bytes.length + launcher, options);
    this.#memory.bytes.set(bytes);
    this.#memory.bytes.set(new CommandStream().execute(this.#memory, bytes.length).bytes, bytes.length);
    this.place = this.#memory.deviceAddress + BigInt(bytes.length);
    this.size = launcher;
  }

  /** Frees it; work in flight that uses it faults. */
  [Symbol.dispose](): void {
    this.#memory[Symbol.dispose]();
  }
}
