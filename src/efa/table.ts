/** Objects by number. A number holds a slot and how often the slot was used, so that a stale one names nothing. */

export class Table<T> {
  readonly limit: number;
  /** Slots that numbers can name, a power of two. */
  readonly #span: number;
  readonly #generations: number;
  readonly #reserved: readonly number[];
  readonly #slots: ({ readonly id: number; readonly value: T } | undefined)[];
  readonly #uses: number[];
  #next = 0;
  #count = 0;

  /**
   * @param limit objects at a time
   * @param idBits bits of a number
   * @param reserved numbers that are never given
   */
  constructor(limit: number, idBits: number, reserved: readonly number[] = []) {
    this.limit = limit;
    this.#span = 2 ** Math.ceil(Math.log2(limit));
    this.#generations = 2 ** idBits / this.#span;
    this.#reserved = reserved;
    this.#slots = new Array(limit).fill(undefined);
    this.#uses = new Array(limit).fill(0);
  }

  get count(): number {
    return this.#count;
  }

  slotOf(id: number): number {
    return id % this.#span;
  }

  /** A number that is free, or undefined where all are taken. */
  free(): number | undefined {
    if (this.#count === this.limit) return undefined;
    for (let tried = 0; tried < this.limit; tried++) {
      const slot = (this.#next + tried) % this.limit;
      if (this.#slots[slot]) continue;
      let id: number;
      do {
        id = slot + ((this.#uses[slot] as number) % this.#generations) * this.#span;
        if (this.#reserved.includes(id)) (this.#uses[slot] as number)++;
      } while (this.#reserved.includes(id));
      this.#next = slot + 1;
      return id;
    }
    return undefined;
  }

  /** @param id of `free()` */
  set(id: number, value: T): void {
    this.#slots[this.slotOf(id)] = { id, value };
    this.#count++;
  }

  get(id: number): T | undefined {
    const entry = this.#slots[this.slotOf(id)];
    return entry?.id === id ? entry.value : undefined;
  }

  /** What is in a slot, whatever its number. */
  inSlot(slot: number): T | undefined {
    return this.#slots[slot]?.value;
  }

  delete(id: number): boolean {
    if (this.get(id) === undefined) return false;
    const slot = this.slotOf(id);
    this.#slots[slot] = undefined;
    (this.#uses[slot] as number)++;
    this.#count--;
    return true;
  }

  *values(): Iterable<T> {
    for (const entry of this.#slots) if (entry) yield entry.value;
  }

  /** Forgets all; numbers given before stay stale. */
  clear(): void {
    for (let slot = 0; slot < this.limit; slot++) {
      if (!this.#slots[slot]) continue;
      this.#slots[slot] = undefined;
      (this.#uses[slot] as number)++;
    }
    this.#count = 0;
  }
}
