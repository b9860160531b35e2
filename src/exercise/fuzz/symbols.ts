/** Addresses of a kernel's module as names that stay the same when the kernel is started again. */

export interface Symbol {
  readonly address: bigint;
  readonly name: string;
}

const LINE = /^([0-9a-f]+) [tTwW] (\S+)(?:\t\[(\w+)\])?$/;

export class Symbols {
  readonly #inside: readonly Symbol[];
  readonly #outside: ReadonlyMap<bigint, string>;
  readonly #end: bigint;
  readonly #begin: bigint;
  readonly #names = new Map<bigint, string | undefined>();

  /** @param kallsyms text of /proc/kallsyms @param module whose code is named @param others functions elsewhere that are named */
  constructor(kallsyms: string, module: string, others: ReadonlySet<string> = new Set()) {
    const inside: Symbol[] = [];
    const outside = new Map<bigint, string>();
    let highest = 0n;
    let above: bigint | undefined;
    const rest: bigint[] = [];
    for (const line of kallsyms.split('\n')) {
      const [, digits = '', name = '', owner] = LINE.exec(line) ?? [];
      if (digits === '') continue;
      const address = BigInt(`0x${digits}`);
      if (owner === module) {
        inside.push({ address, name });
        if (address > highest) highest = address;
      } else {
        if (others.has(name)) outside.set(address, name);
        rest.push(address);
      }
    }
    inside.sort((a, b) => (a.address < b.address ? -1 : a.address > b.address ? 1 : 0));
    for (const address of rest) if (address > highest && (above === undefined || address < above)) above = address;
    this.#inside = inside;
    this.#outside = outside;
    this.#begin = inside[0]?.address ?? 0n;
    // the length of the last function is not told: what lies beyond it is another's, or a page or two at most
    const most = highest + 0x2000n;
    this.#end = inside.length === 0 ? 0n : above !== undefined && above < most ? above : most;
  }

  get isEmpty(): boolean {
    return this.#inside.length === 0;
  }

  /** @returns `name+0x1c` for code of the module, the name for the entry of another function, undefined for all else */
  nameOf(address: bigint): string | undefined {
    if (this.#names.has(address)) return this.#names.get(address);
    const name = this.#find(address);
    this.#names.set(address, name);
    return name;
  }

  #find(address: bigint): string | undefined {
    if (address < this.#begin || address >= this.#end) return this.#outside.get(address) ?? this.#entry(address);
    let [low, high] = [0, this.#inside.length - 1];
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if ((this.#inside[middle] as Symbol).address <= address) low = middle;
      else high = middle - 1;
    }
    const { address: start, name } = this.#inside[low] as Symbol;
    return `${name}+0x${(address - start).toString(16)}`;
  }

  /** The tracer's hook may lie behind an instruction that marks the entry. */
  #entry(address: bigint): string | undefined {
    return this.#outside.get(address - 4n);
  }
}
