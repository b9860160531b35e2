/** A growing array of numbers. */

type Numbers = Float64Array<ArrayBuffer> | Uint32Array<ArrayBuffer>;

export class Column<T extends Numbers> {
  #data: T;
  #length = 0;
  readonly #make: (size: number) => T;

  constructor(make: (size: number) => T) {
    this.#make = make;
    this.#data = make(1024);
  }

  get length(): number {
    return this.#length;
  }

  get(index: number): number {
    return this.#data[index] as number;
  }

  set(index: number, value: number): void {
    this.#data[index] = value;
  }

  push(value: number): void {
    if (this.#length === this.#data.length) {
      const larger = this.#make(this.#length * 2);
      larger.set(this.#data);
      this.#data = larger;
    }
    this.#data[this.#length++] = value;
  }

  /** What is there now. */
  view(): T {
    return this.#data.subarray(0, this.#length) as T;
  }
}
