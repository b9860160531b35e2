/**
 * The free device addresses of a context: blocks in the order of their addresses, of which the smallest that fits is
 * taken. Source: common/memory.c (get_va_block, add_va_block_locked, merge_va_blocks_locked).
 */

interface Block {
  start: number;
  /** Last byte. */
  end: number;
}

export interface VaRequest {
  /** Bytes. */
  readonly size: number;
  /** Address wished for, 0 for any; it is ignored where it cannot be, unless it is forced. */
  readonly hint: number;
  readonly force: boolean;
  /** A power of two, bytes. */
  readonly align: number;
}

export class VaRange {
  readonly #blocks: Block[];
  readonly #log: (text: string) => void;

  /** @param end last address. @param page the range is cut to whole pages of so many bytes. */
  constructor(start: number, end: number, page: number, log: (text: string) => void) {
    const first = Math.ceil(start / page) * page;
    const last = Math.floor((end + 1) / page) * page - 1;
    this.#blocks = [{ start: first, end: last }];
    this.#log = log;
  }

  /** Those that are free. */
  get blocks(): readonly Readonly<Block>[] {
    return this.#blocks;
  }

  /** @returns the address, or undefined where there is no room or the hint that is forced cannot be followed */
  take({ size, hint, force, align }: VaRequest): number | undefined {
    let wished = hint;
    if (wished % align !== 0) {
      if (force) {
        this.#log(`Hint address 0x${hint.toString(16)} is not page aligned - cannot be respected`);
        return undefined;
      }
      wished = 0;
    }
    const choice = this.#choose(size, wished, align);
    if (!choice) {
      this.#log(`no available va block for size ${size}`);
      return undefined;
    }
    if (force && choice.start !== wished) {
      this.#log(`Hint address 0x${wished.toString(16)} could not be respected`);
      return undefined;
    }
    const { block, start } = choice;
    const at = this.#blocks.indexOf(block);
    const rest: Block[] = [];
    if (start > block.start) rest.push({ start: block.start, end: start - 1 });
    if (start + size <= block.end) rest.push({ start: start + size, end: block.end });
    this.#blocks.splice(at, 1, ...rest);
    return start;
  }

  give(start: number, size: number): void {
    const end = start + size - 1;
    let at = this.#blocks.findIndex((block) => block.start > end);
    if (at < 0) at = this.#blocks.length;
    const [before, after] = [this.#blocks[at - 1], this.#blocks[at]];
    if (before && before.end + 1 === start) {
      before.end = end;
      if (after && end + 1 === after.start) {
        before.end = after.end;
        this.#blocks.splice(at, 1);
      }
    } else if (after && end + 1 === after.start) after.start = start;
    else this.#blocks.splice(at, 0, { start, end });
  }

  #choose(size: number, wished: number, align: number): { block: Block; start: number } | undefined {
    let best: { block: Block; start: number; room: number } | undefined;
    for (const block of this.#blocks) {
      const start = Math.ceil(block.start / align) * align;
      const room = block.end - start + 1;
      if (start > block.end || room < size) continue;
      if (!best || room < best.room) best = { block, start, room };
      // the end of the block itself is not reached by a hint: the driver compares with its last byte
      if (wished !== 0 && wished >= start && wished + size <= block.end) return { block, start: wished };
    }
    return best;
  }
}
