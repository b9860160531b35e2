/** Programs as they were submitted: the packets of each chunk, found in the memory that the submission points to. */

import { gaudiQman } from '../../../specs/gaudi-qman.ts';
import { gaudiSymbols } from '../../../specs/gaudi-symbols.ts';
import type { Mapping } from '../../driver/driver.ts';
import { disassemblePackets } from '../../isa/disassembler.ts';
import type { SymbolTable } from '../../isa/symbols.ts';
import { csFlags, csOperations, DRM_IOCTL_HL_CS, hl_cs_chunk } from '../../uapi/habanalabs/cs.ts';
import { queueNames, queueRow } from '../../uapi/habanalabs/gaudi.ts';

/** Bytes of one command buffer, and chunks of one submission, that are kept. */
const KEPT_BYTES = 512;
const KEPT_CHUNKS = 8;
/** Lines of one program that are shown. */
const LONGEST = 24;

/** Flags of submissions whose chunks are no packets. */
const OTHER_KINDS = Object.values(csOperations).reduce((flags, row) => flags | row.value, 0);

interface CapturedChunk {
  readonly queue: string;
  readonly size: number;
  /** The first bytes of the packets; undefined: not in memory of the program. */
  readonly bytes: Uint8Array | undefined;
}

export class CapturedProgram {
  readonly #chunks: readonly CapturedChunk[];
  readonly #count: number;

  constructor(chunks: readonly CapturedChunk[], count: number) {
    this.#chunks = chunks;
    this.#count = count;
  }

  /** Disassembled, chunk by chunk. */
  text(): string[] {
    const lines = this.#chunks.flatMap(({ queue, size, bytes }) => {
      if (bytes === undefined) return [`${queue}: ${size} bytes of packets in memory of the device`];
      const packets = disassemblePackets(gaudiQman, symbols(), bytes, { data: true }).trimEnd().split('\n');
      // what was cut off in the middle of a packet would be shown as data
      const cut = bytes.length < size;
      const shown = packets.slice(0, Math.min(LONGEST, packets.length - (cut ? 1 : 0)));
      const rest = cut || shown.length < packets.length ? [`  ... ${size} bytes in all`] : [];
      return [`${queue}:`, ...shown.map((line) => `  ${line}`), ...rest];
    });
    const more = this.#count - this.#chunks.length;
    return more > 0 ? [...lines, `and ${more} more`] : lines;
  }
}

let table: SymbolTable | undefined;
function symbols(): SymbolTable {
  table ??= gaudiSymbols();
  return table;
}

/** Memory of the program that was got through a driver, and how the device reaches it. */
export class ProgramMemory {
  readonly #mappings = new Map<bigint, Mapping>();
  /** Mappings of command buffers, by handle. */
  readonly #buffers = new Map<bigint, Mapping>();
  /** Device addresses of host memory. */
  readonly #reached = new Map<bigint, { readonly address: bigint; readonly size: number }>();

  /** @param handle of the command buffer, when it is one. @returns the mapping, which forgets itself when it goes */
  add(mapping: Mapping, handle?: bigint): Mapping {
    const { address } = mapping;
    const known: Mapping = {
      address,
      get bytes() {
        return mapping.bytes;
      },
      unmap: () => {
        mapping.unmap();
        if (this.#mappings.get(address) === known) this.#mappings.delete(address);
        if (handle !== undefined && this.#buffers.get(handle) === known) this.#buffers.delete(handle);
      },
      shrink: (kept) => mapping.shrink?.(kept),
    };
    this.#mappings.set(address, known);
    if (handle !== undefined) this.#buffers.set(handle, known);
    return known;
  }

  reach(deviceAddress: bigint, address: bigint, size: number): void {
    this.#reached.set(deviceAddress, { address, size });
  }

  /** A copy of memory, or undefined where there is none that is known. */
  read(address: bigint, length: number): Uint8Array | undefined {
    for (const mapping of this.#mappings.values()) {
      if (address < mapping.address) continue;
      const at = Number(address - mapping.address);
      const { bytes } = mapping;
      if (at + length <= bytes.length) return bytes.slice(at, at + length);
    }
    return undefined;
  }

  /** The program that an argument of CS points to; undefined when it has none. */
  capture(argument: Uint8Array): CapturedProgram | undefined {
    if (argument.length < DRM_IOCTL_HL_CS.argument.size) return undefined;
    const { in: asked } = DRM_IOCTL_HL_CS.argument.decode(argument);
    if (asked.cs_flags & OTHER_KINDS) return undefined;
    const restores = (asked.cs_flags & csFlags.HL_CS_FLAGS_FORCE_RESTORE.value) !== 0;
    const lists = [
      ...(restores ? [[asked.chunks_restore, asked.num_chunks_restore] as const] : []),
      [asked.chunks_execute, asked.num_chunks_execute] as const,
    ];
    const chunks = lists.flatMap(([address, count]) => {
      const rows = this.read(address, Math.min(count, KEPT_CHUNKS) * hl_cs_chunk.size);
      if (!rows) return [];
      return Array.from({ length: rows.length / hl_cs_chunk.size }, (_, i) => this.#chunk(rows, i * hl_cs_chunk.size));
    });
    return chunks.length === 0
      ? undefined
      : new CapturedProgram(
          chunks,
          lists.reduce((sum, [, n]) => sum + n, 0),
        );
  }

  #chunk(rows: Uint8Array, at: number): CapturedChunk {
    const { cb_handle: place, queue_index, cb_size: size } = hl_cs_chunk.decode(rows, at);
    const queue = queueNames[queue_index];
    const length = Math.min(size, KEPT_BYTES);
    const name = queue ?? `queue ${queue_index}`;
    if (queue !== undefined && queueRow(queue).kind === 'external')
      return { queue: name, size, bytes: this.#buffers.get(place)?.bytes.slice(0, length) };
    for (const [start, range] of this.#reached) {
      const offset = Number(place - start);
      if (offset >= 0 && offset < range.size)
        return { queue: name, size, bytes: this.read(range.address + BigInt(offset), length) };
    }
    return { queue: name, size, bytes: undefined };
  }
}
