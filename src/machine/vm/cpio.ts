/** Writes the archive that a kernel unpacks as its first root: cpio, "newc" (Documentation/driver-api/early-userspace/buffer-format.rst). */

interface Entry {
  readonly path: string;
  readonly mode: number;
  readonly data: Uint8Array;
  readonly device: readonly [major: number, minor: number];
}

const S_IFDIR = 0o040000;
const S_IFREG = 0o100000;
const S_IFCHR = 0o020000;

export class Cpio {
  readonly #entries: Entry[] = [];
  readonly #folders = new Set<string>();

  /** Adds a file, and the folders above it. @param path absolute, e.g. `/lib/firmware/a.bin`. */
  file(path: string, data: Uint8Array | string, mode = 0o644): void {
    this.folder(path.slice(0, path.lastIndexOf('/')));
    this.#add(path, S_IFREG | mode, typeof data === 'string' ? Buffer.from(data) : data);
  }

  folder(path: string): void {
    if (path === '' || this.#folders.has(path)) return;
    this.folder(path.slice(0, path.lastIndexOf('/')));
    this.#folders.add(path);
    this.#add(path, S_IFDIR | 0o755);
  }

  characterDevice(path: string, major: number, minor: number, mode = 0o600): void {
    this.folder(path.slice(0, path.lastIndexOf('/')));
    this.#add(path, S_IFCHR | mode, undefined, [major, minor]);
  }

  #add(path: string, mode: number, data: Uint8Array = new Uint8Array(0), device: Entry['device'] = [0, 0]): void {
    this.#entries.push({ path: path.slice(1), mode, data, device });
  }

  /** The archive, padded to a multiple of 512 bytes. */
  bytes(): Buffer {
    const pieces: Uint8Array[] = [];
    let length = 0;
    const push = (bytes: Uint8Array, alignment: number) => {
      pieces.push(bytes);
      length += bytes.length;
      const padding = -length & (alignment - 1);
      if (padding > 0) pieces.push(new Uint8Array(padding));
      length += padding;
    };
    const trailer: Entry = { path: 'TRAILER!!!', mode: 0, data: new Uint8Array(0), device: [0, 0] };
    [...this.#entries, trailer].forEach((entry, index) => {
      const name = Buffer.from(`${entry.path}\0`);
      const fields = [
        index + 1, // inode
        entry.mode,
        0, // user
        0, // group
        1, // links
        0, // time of modification
        entry.data.length,
        0, // device the file is on
        0,
        ...entry.device,
        name.length,
        0, // check sum: only in the "crc" variant
      ];
      const header = `070701${fields.map((field) => field.toString(16).padStart(8, '0')).join('')}`;
      push(Buffer.concat([Buffer.from(header), name]), 4);
      push(entry.data, 4);
    });
    push(new Uint8Array(0), 512);
    return Buffer.concat(pieces);
  }
}
