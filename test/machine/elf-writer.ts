/** Writes small ELF-64 relocatable files for tests. */

export interface Contents {
  readonly sections: Readonly<Record<string, Buffer>>;
  readonly symbols?: readonly { name: string; section: string; value: number; size: number }[];
}

export function elf({ sections, symbols = [] }: Contents): Buffer {
  const names = Object.keys(sections);
  const strings = (texts: readonly string[]) => Buffer.from(`\0${texts.map((text) => `${text}\0`).join('')}`);
  const at = (table: Buffer, text: string) => table.indexOf(Buffer.from(`\0${text}\0`)) + 1;

  const symbolNames = strings(symbols.map(({ name }) => name));
  const table = Buffer.alloc(24 * (symbols.length + 1));
  symbols.forEach(({ name, section, value, size }, i) => {
    const entry = table.subarray(24 * (i + 1));
    entry.writeUInt32LE(at(symbolNames, name), 0);
    entry.writeUInt16LE(names.indexOf(section) + 1, 6);
    entry.writeBigUInt64LE(BigInt(value), 8);
    entry.writeBigUInt64LE(BigInt(size), 16);
  });

  const all = [...names, '.symtab', '.strtab', '.shstrtab'];
  const sectionNames = strings(all);
  const bodies = [...Object.values(sections), table, symbolNames, sectionNames];
  const headers = Buffer.alloc(64 * (all.length + 1));
  let offset = 64;
  bodies.forEach((body, i) => {
    const header = headers.subarray(64 * (i + 1));
    header.writeUInt32LE(at(sectionNames, all[i] ?? ''), 0);
    header.writeUInt32LE(all[i] === '.symtab' ? 2 : 1, 4);
    header.writeBigUInt64LE(BigInt(offset), 24);
    header.writeBigUInt64LE(BigInt(body.length), 32);
    if (all[i] === '.symtab') header.writeUInt32LE(names.length + 2, 40);
    offset += body.length;
  });
  const head = Buffer.alloc(64);
  head.writeUInt32BE(0x7f454c46, 0);
  head[4] = 2;
  head[5] = 1;
  head.writeBigUInt64LE(BigInt(offset), 40);
  head.writeUInt16LE(64, 58);
  head.writeUInt16LE(all.length + 1, 60);
  head.writeUInt16LE(all.length, 62);
  return Buffer.concat([head, ...bodies, headers]);
}
