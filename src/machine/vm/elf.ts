/** As much of ELF-64 as kernel modules need: sections, and where a symbol's data lies (System V ABI, ELF-64). */

interface Section {
  readonly name: string;
  readonly type: number;
  readonly address: bigint;
  readonly offset: number;
  readonly size: number;
  readonly link: number;
}

const SHT_SYMTAB = 2;
const SYMBOL_SIZE = 24;

export class Elf {
  readonly #bytes: Buffer;
  readonly #sections: readonly Section[];

  /** @throws RangeError where the file is none, or is cut off. */
  constructor(bytes: Buffer) {
    this.#bytes = bytes;
    if (bytes.length < 64 || bytes.readUInt32BE(0) !== 0x7f454c46 || bytes[4] !== 2 || bytes[5] !== 1) {
      throw new RangeError('not a 64-bit little-endian ELF file');
    }
    const table = Number(bytes.readBigUInt64LE(40));
    const entrySize = bytes.readUInt16LE(58);
    const count = bytes.readUInt16LE(60);
    const headers: (Omit<Section, 'name'> & { nameAt: number })[] = [];
    for (let i = 0; i < count; i++) {
      const at = table + i * entrySize;
      headers.push({
        nameAt: bytes.readUInt32LE(at),
        type: bytes.readUInt32LE(at + 4),
        address: bytes.readBigUInt64LE(at + 16),
        offset: Number(bytes.readBigUInt64LE(at + 24)),
        size: Number(bytes.readBigUInt64LE(at + 32)),
        link: bytes.readUInt32LE(at + 40),
      });
    }
    const names = headers[bytes.readUInt16LE(62)];
    this.#sections = headers.map((header) => ({
      ...header,
      name: names ? this.#string(names.offset + header.nameAt) : '',
    }));
  }

  /** Contents of a section, or undefined. */
  section(name: string): Buffer | undefined {
    const section = this.#sections.find((s) => s.name === name);
    return section && this.#bytes.subarray(section.offset, section.offset + section.size);
  }

  /** Contents of a data object, or undefined where no symbol has that name. */
  object(name: string): Buffer | undefined {
    const table = this.#sections.find((s) => s.type === SHT_SYMTAB);
    const strings = table && this.#sections[table.link];
    if (!table || !strings) return undefined;
    for (let at = table.offset; at < table.offset + table.size; at += SYMBOL_SIZE) {
      if (this.#string(strings.offset + this.#bytes.readUInt32LE(at)) !== name) continue;
      const home = this.#sections[this.#bytes.readUInt16LE(at + 6)];
      if (!home) continue;
      // In a relocatable file values count from the section, whose address is 0 then.
      const start = home.offset + Number(this.#bytes.readBigUInt64LE(at + 8) - home.address);
      return this.#bytes.subarray(start, start + Number(this.#bytes.readBigUInt64LE(at + 16)));
    }
    return undefined;
  }

  #string(at: number): string {
    const end = this.#bytes.indexOf(0, at);
    return this.#bytes.toString('latin1', at, end < 0 ? at : end);
  }
}
