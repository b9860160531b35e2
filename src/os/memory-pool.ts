import type { Memory } from '../sim/memory.ts';
import { SharedMemory } from './shared-memory.ts';

/**
 * Memories that are used again by the next device when one is closed. Each new mapping of 32 GiB makes V8 collect garbage
 * several times over, which takes longer than bringing up a card.
 */
export class MemoryPool {
  readonly #free: PooledMemory[] = [];

  /** Memory that is zero. @param size bytes, a multiple of 4096. @throws SystemError */
  make(name: string, size: number): Memory {
    const at = this.#free.findIndex((memory) => memory.size === size);
    return (
      this.#free.splice(at, at < 0 ? 0 : 1)[0] ?? new PooledMemory(name, size, (memory) => this.#free.push(memory))
    );
  }
}

class PooledMemory extends SharedMemory {
  readonly #giveBack: (memory: PooledMemory) => void;

  constructor(name: string, size: number, giveBack: (memory: PooledMemory) => void) {
    super(name, size);
    this.#giveBack = giveBack;
  }

  override close(): void {
    this.zero(0, this.size);
    this.#giveBack(this);
  }
}
