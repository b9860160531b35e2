/** Numbers by which the NIC tells which work request has ended, and what the program calls each. */

export class Requests {
  readonly #free: number[];
  readonly #ids = new Map<number, number>();
  readonly #depth: number;

  /** @param depth requests at a time */
  constructor(depth: number) {
    this.#depth = depth;
    this.#free = all(depth);
  }

  /** @returns undefined when all are taken */
  take(id: number): number | undefined {
    const request = this.#free.pop();
    if (request !== undefined) this.#ids.set(request, id);
    return request;
  }

  /** @returns what the program calls it. @throws Error for a request that is not under way */
  give(request: number): number {
    const id = this.#ids.get(request);
    if (id === undefined) throw new Error(`the NIC completed request ${request}, which was not posted`);
    this.#ids.delete(request);
    this.#free.push(request);
    return id;
  }

  clear(): void {
    this.#ids.clear();
    this.#free.splice(0, this.#free.length, ...all(this.#depth));
  }
}

/** The lowest is taken first. */
function all(depth: number): number[] {
  return Array.from({ length: depth }, (_, i) => depth - 1 - i);
}
