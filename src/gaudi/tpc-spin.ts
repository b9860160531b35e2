/**
 * Tells whether a program only repeats itself. A core that waits for memory to change, or for nothing at all, would keep the
 * computer busy for as long as the driver lets it; once its whole state has come back to what it was, it can be looked at
 * less often, or not at all where it has not looked at anything outside either.
 */

export class Spin {
  #saved: Uint8Array | undefined;
  #pc = -1;
  #accesses = 0;
  #slices = 0;
  #refreshAt = 1;
  #repeats = 0;

  /**
   * Looks at the core, after each slice.
   * @param state all that the program can see of the core but the configuration space
   * @param accesses a number that grows with each access of the program to anything outside of that state
   * @returns `closed`: nothing but a reset can end it. `polling`: it repeats itself, but looks at what may change
   */
  look(state: Uint8Array, pc: number, accesses: number): 'moving' | 'polling' | 'closed' {
    this.#slices++;
    if (this.#saved && pc === this.#pc && Buffer.compare(state, this.#saved) === 0) {
      // Once could be a result that is still on its way.
      if (++this.#repeats > 1) return accesses === this.#accesses ? 'closed' : 'polling';
      return 'moving';
    }
    if (this.#slices >= this.#refreshAt) {
      this.#refreshAt *= 2;
      this.#saved ??= new Uint8Array(state.length);
      this.#saved.set(state);
      this.#pc = pc;
      this.#accesses = accesses;
      this.#repeats = 0;
    }
    return 'moving';
  }
}
