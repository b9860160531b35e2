/**
 * The vfio-user protocol as rows: commands, structures, flags. The server and its test client encode and decode from
 * these alone. Source: QEMU's docs/interop/vfio-user.rst, and <linux/vfio.h> for the structures it takes from there.
 * All values are little-endian, as on every host this runs on.
 */

/** One member of a structure. `base` is where the structure begins in the view, in bytes. */
export interface Field {
  readonly offset: number;
  readonly size: 2 | 4 | 8;
  /** 64-bit values above Number.MAX_SAFE_INTEGER come out rounded, and greater than it. */
  get(view: DataView, base: number): number;
  /** A negative 64-bit value is stored as its two's complement. */
  set(view: DataView, base: number, value: number): void;
}

type FieldSize = 2 | 4 | 8;

function field(offset: number, size: FieldSize): Field {
  if (size === 2) {
    return {
      offset,
      size,
      get: (view, base) => view.getUint16(base + offset, true),
      set: (view, base, value) => view.setUint16(base + offset, value, true),
    };
  }
  if (size === 4) {
    return {
      offset,
      size,
      get: (view, base) => view.getUint32(base + offset, true),
      set: (view, base, value) => view.setUint32(base + offset, value, true),
    };
  }
  return {
    offset,
    size,
    get: (view, base) => view.getUint32(base + offset, true) + view.getUint32(base + offset + 4, true) * 0x1_0000_0000,
    set: (view, base, value) => {
      view.setUint32(base + offset, value, true);
      view.setUint32(base + offset + 4, Math.floor(value / 0x1_0000_0000), true);
    },
  };
}

export interface Struct<K extends string> {
  /** Bytes. */
  readonly size: number;
  readonly source: string;
  readonly fields: Readonly<Record<K, Field>>;
  decode(view: DataView, base: number): Record<K, number>;
  /** Fields that are not given become 0. */
  encode(values: Partial<Record<K, number>>): Uint8Array;
  put(view: DataView, base: number, values: Partial<Record<K, number>>): void;
}

/** A structure without padding: `sizes` in the order of the members. */
function struct<K extends string>(source: string, sizes: Readonly<Record<K, FieldSize>>): Struct<K> {
  const fields = {} as Record<K, Field>;
  let size = 0;
  for (const name of Object.keys(sizes) as K[]) {
    fields[name] = field(size, sizes[name]);
    size += sizes[name];
  }
  const put = (view: DataView, base: number, values: Partial<Record<K, number>>) => {
    for (const name in fields) fields[name].set(view, base, values[name] ?? 0);
  };
  return {
    size,
    source,
    fields,
    put,
    decode(view, base) {
      const values = {} as Record<K, number>;
      for (const name in fields) values[name] = fields[name].get(view, base);
      return values;
    },
    encode(values) {
      const bytes = new Uint8Array(size);
      put(new DataView(bytes.buffer), 0, values);
      return bytes;
    },
  };
}

export const HEADER = struct('vfio-user.rst, Header', { id: 2, command: 2, size: 4, flags: 4, error: 4 });

export const FLAG = {
  TYPE_MASK: 0xf,
  COMMAND: 0,
  REPLY: 1,
  NO_REPLY: 0x10,
  ERROR: 0x20,
} as const;

interface CommandRow {
  readonly number: number;
  readonly from: 'client' | 'server';
  readonly doc: string;
}

const client = (number: number, doc: string): CommandRow & { from: 'client' } => ({ number, from: 'client', doc });
const server = (number: number, doc: string): CommandRow & { from: 'server' } => ({ number, from: 'server', doc });

/** vfio-user.rst, Commands. DIRTY_PAGES is of the 0.9 draft and still in QEMU's hw/vfio-user/protocol.h. */
export const COMMANDS = {
  VERSION: client(1, 'Propose a protocol version and capabilities: the first message.'),
  DMA_MAP: client(2, 'A range of bus addresses has become valid for DMA.'),
  DMA_UNMAP: client(3, 'A range of bus addresses is no longer valid.'),
  DEVICE_GET_INFO: client(4, 'Flags, number of regions and of interrupt kinds.'),
  DEVICE_GET_REGION_INFO: client(5, 'Size and access of a region, and what of it can be mapped.'),
  DEVICE_GET_REGION_IO_FDS: client(6, 'Descriptors that replace messages for parts of a region.'),
  DEVICE_GET_IRQ_INFO: client(7, 'Number and properties of the interrupts of one kind.'),
  DEVICE_SET_IRQS: client(8, 'Connect, mask, unmask or trigger interrupts.'),
  REGION_READ: client(9, 'Read from a region.'),
  REGION_WRITE: client(10, 'Write to a region.'),
  DMA_READ: server(11, 'Read memory of the client.'),
  DMA_WRITE: server(12, 'Write memory of the client.'),
  DEVICE_RESET: client(13, 'Reset the device.'),
  DIRTY_PAGES: client(14, 'Log written pages (draft 0.9).'),
  REGION_WRITE_MULTI: client(15, 'Several small writes in one message.'),
  DEVICE_FEATURE: client(16, 'Get, set or probe a feature; the features there are belong to migration.'),
  MIG_DATA_READ: client(17, 'Read migration data.'),
  MIG_DATA_WRITE: client(18, 'Write migration data.'),
} as const satisfies Readonly<Record<string, CommandRow>>;

export type CommandName = keyof typeof COMMANDS;

/** Commands that a client sends, and a server therefore has a body for. */
export type ClientCommand = {
  [K in CommandName]: (typeof COMMANDS)[K]['from'] extends 'client' ? K : never;
}[CommandName];

/** Version of the protocol: QEMU proposes 0.0 (hw/vfio-user/protocol.h), libvfio-user speaks 0.1. */
export const VERSION_MAJOR = 0;
export const VERSION_MINOR = 1;

export const VERSION = struct('vfio-user.rst, VFIO_USER_VERSION', { major: 2, minor: 2 });

/** `flags`: bit 0 readable, bit 1 writable. */
export const DMA_MAP = struct('vfio-user.rst, VFIO_USER_DMA_MAP', {
  argsz: 4,
  flags: 4,
  offset: 8,
  address: 8,
  size: 8,
});
export const DMA_READABLE = 1;
export const DMA_WRITABLE = 2;

export const DMA_UNMAP = struct('vfio-user.rst, VFIO_USER_DMA_UNMAP', { argsz: 4, flags: 4, address: 8, size: 8 });
/** linux/vfio.h, VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP and _ALL. */
export const UNMAP_GET_DIRTY_BITMAP = 1;
export const UNMAP_ALL = 2;

export const DEVICE_INFO = struct('linux/vfio.h, struct vfio_device_info (first 16 bytes)', {
  argsz: 4,
  flags: 4,
  regions: 4,
  irqs: 4,
});
export const DEVICE_FLAG_RESET = 1;
export const DEVICE_FLAG_PCI = 2;

export const REGION_INFO = struct('linux/vfio.h, struct vfio_region_info', {
  argsz: 4,
  flags: 4,
  index: 4,
  capOffset: 4,
  size: 8,
  offset: 8,
});
export const REGION_FLAG = { READ: 1, WRITE: 2, MMAP: 4, CAPS: 8 } as const;

/** linux/vfio.h: VFIO_PCI_CONFIG_REGION_INDEX; 0 to 5 are the BARs, 6 the ROM, 8 VGA. */
export const REGION_CONFIG = 7;
export const REGION_COUNT = 9;

/** Header and fixed part of linux/vfio.h, struct vfio_region_info_cap_sparse_mmap (id 1, version 1). */
export const SPARSE_CAP = struct('linux/vfio.h, struct vfio_region_info_cap_sparse_mmap', {
  id: 2,
  version: 2,
  next: 4,
  areas: 4,
  reserved: 4,
});
export const SPARSE_CAP_ID = 1;
export const SPARSE_AREA = struct('linux/vfio.h, struct vfio_region_sparse_mmap_area', { offset: 8, size: 8 });

export const REGION_IO_FDS = struct('vfio-user.rst, Region IO FD info', { argsz: 4, flags: 4, index: 4, count: 4 });

export const IRQ_INFO = struct('linux/vfio.h, struct vfio_irq_info', { argsz: 4, flags: 4, index: 4, count: 4 });
export const IRQ_FLAG = { EVENTFD: 1, MASKABLE: 2, AUTOMASKED: 4, NORESIZE: 8 } as const;

/** linux/vfio.h: VFIO_PCI_INTX_IRQ_INDEX and following. */
export const IRQ_INDEX = { intx: 0, msi: 1, msix: 2, error: 3, request: 4 } as const;
export const IRQ_INDEX_COUNT = 5;

export const IRQ_SET = struct('linux/vfio.h, struct vfio_irq_set', {
  argsz: 4,
  flags: 4,
  index: 4,
  start: 4,
  count: 4,
});
export const IRQ_SET_FLAG = { NONE: 1, BOOL: 2, EVENTFD: 4, MASK: 8, UNMASK: 0x10, TRIGGER: 0x20 } as const;

/** Of REGION_READ, REGION_WRITE, and of one write (with 8 bytes of data behind it) in REGION_WRITE_MULTI. */
export const REGION_ACCESS = struct('vfio-user.rst, VFIO_USER_REGION_READ', { offset: 8, region: 4, count: 4 });

export const WRITE_MULTI = struct('vfio-user.rst, VFIO_USER_REGION_WRITE_MULTI', { count: 8 });
export const WRITE_MULTI_DATA = 8;

export const DMA_ACCESS = struct('vfio-user.rst, VFIO_USER_DMA_READ', { address: 8, count: 8 });

/** A request that is answered with an error reply; `errno` goes into it. */
export class Refusal extends Error {
  override readonly name = 'Refusal';
  readonly errno: number;

  constructor(errno: number, message: string) {
    super(message);
    this.errno = errno;
  }
}
