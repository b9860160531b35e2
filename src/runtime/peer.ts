/**
 * Device memory of another card, imported from a dma-buf through /dev/sagrada_importer (docs/importer.md): attached and
 * mapped for a PCI device, and brought into the program's address space, where the driver of the importing card can pin it.
 *
 *   using shared = first.exportDmaBuf(memory.address, memory.size);
 *   using peer = second.importDmaBuf(shared.fd);
 *   await second.wait(second.submit({ queue: 'DMA_1_0', stream: new CommandStream().dma(peer, sram, memory.size) }));
 */

import { type Driver, type Mapping, O_CLOEXEC, O_RDWR, PROT_READ, PROT_WRITE, SystemError } from '../driver/driver.ts';
import { type Errors, type Ioctl, values } from '../uapi/rows.ts';
import {
  attachFlags,
  IMPORTER_PATH,
  importDirections,
  importerConstants,
  importerFeatures,
  importerIoctls,
  mapFlags,
  sagrada_importer_entry,
} from '../uapi/sagrada/importer.ts';
import type { Struct } from '../uapi/struct.ts';
import { DisposedError, DriverError } from './errors.ts';
import { HostMapping } from './memory.ts';
import type { OpenNode } from './node.ts';

const FEATURE = values(importerFeatures);
const DIRECTION = values(importDirections);
const { SAGRADA_IMPORTER_OFFSET_SHIFT } = values(importerConstants);
/** Entries that are asked for at first; a gigabyte in the largest pieces takes one. */
const ENTRIES = 64;

export interface ImporterFeatures {
  /** The kernel has CONFIG_PCI_P2PDMA: without, nothing of this works. */
  readonly peerToPeer: boolean;
  /** Memory of devices can be mapped by programs. */
  readonly mmap: boolean;
  /** The kernel lets devices of different root ports reach each other on this processor. */
  readonly hostRoutes: boolean;
}

export interface AttachOptions {
  /** Whether the importer says that it takes memory of devices. Default true. */
  readonly peerToPeer?: boolean;
  /** Whether the importer has operations (a dynamic attachment). Default true; a peer-to-peer one must be. */
  readonly dynamic?: boolean;
}

export interface MapImportOptions {
  /** Default both. */
  readonly direction?: 'both' | 'to-device' | 'from-device';
  /** Gives the memory pages, so that `mmap` works. Default false. */
  readonly pages?: boolean;
}

/** A piece of mapped memory as the importing device reaches it. */
export interface ImportedEntry {
  readonly address: bigint;
  /** Bytes. */
  readonly length: number;
}

const directions = {
  both: DIRECTION.SAGRADA_IMPORTER_BIDIRECTIONAL,
  'to-device': DIRECTION.SAGRADA_IMPORTER_TO_DEVICE,
  'from-device': DIRECTION.SAGRADA_IMPORTER_FROM_DEVICE,
} as const;

/** The importer's node, open. */
export class Importer implements Disposable {
  readonly driver: Driver;
  #fd: number | undefined;

  /** @throws SystemError ENOENT where the kernel has no such node */
  constructor(driver: Driver) {
    this.driver = driver;
    this.#fd = driver.open(IMPORTER_PATH, O_RDWR | O_CLOEXEC);
  }

  /** The descriptor. @throws DisposedError */
  get fd(): number {
    if (this.#fd === undefined) throw new DisposedError(IMPORTER_PATH);
    return this.#fd;
  }

  features(): ImporterFeatures {
    const { features } = this.call(importerIoctls.INFO, {}, {});
    return {
      peerToPeer: (features & FEATURE.SAGRADA_IMPORTER_P2PDMA) !== 0,
      mmap: (features & FEATURE.SAGRADA_IMPORTER_MMAP) !== 0,
      hostRoutes: (features & FEATURE.SAGRADA_IMPORTER_HOST_ROUTES) !== 0,
    };
  }

  /**
   * Attaches a device to a dma-buf.
   * @param fd of the dma-buf. @param client PCI address of the device that imports, e.g. `0000:03:00.0`
   * @throws DriverError EBADF, EINVAL, ENODEV, EPERM, or what the exporter says
   */
  attach(fd: number, client: string, options: AttachOptions = {}): Import {
    const { peerToPeer = true, dynamic = true } = options;
    const [domain = 0, bus = 0, device = 0, fn = 0] = client.split(/[:.]/).map((part) => Number.parseInt(part, 16));
    const flags =
      (dynamic ? attachFlags.SAGRADA_IMPORTER_DYNAMIC.value : 0) |
      (peerToPeer ? attachFlags.SAGRADA_IMPORTER_PEER2PEER.value : 0);
    const input = { fd, flags, domain, bus, device, function: fn };
    const { handle, size } = this.call(importerIoctls.ATTACH, input, { fd, client, flags });
    return new Import(this, handle, Number(size));
  }

  /** Makes an ioctl. @param shown arguments that an error message shows. @throws DriverError */
  call<Out, In>(
    ioctl: Ioctl<Struct<Out, In>> & { readonly errors: Errors },
    value: In,
    shown: Readonly<Record<string, unknown>>,
  ): Out {
    const argument = ioctl.argument.encode(value);
    try {
      this.driver.ioctl(this.fd, ioctl.request, argument);
      return ioctl.argument.decode(argument);
    } catch (error) {
      if (!(error instanceof SystemError)) throw error;
      const reason = ioctl.errors[error.code];
      const { errno, code } = error;
      const failure = { errno, code, call: ioctl.name, arguments: shown, ...(reason === undefined ? {} : { reason }) };
      throw new DriverError(failure, { cause: error });
    }
  }

  /** Gives up everything imported through it; memory that a driver has pinned stays imported until it is not. */
  [Symbol.dispose](): void {
    if (this.#fd === undefined) return;
    const fd = this.#fd;
    this.#fd = undefined;
    this.driver.close(fd);
  }
}

/** A device attached to a dma-buf. */
export class Import implements Disposable {
  readonly handle: number;
  /** Bytes. */
  readonly size: number;
  readonly #importer: Importer;
  #attached = true;
  #mapped = false;

  constructor(importer: Importer, handle: number, size: number) {
    this.#importer = importer;
    this.handle = handle;
    this.size = size;
  }

  /** Has the exporter map the memory. @returns where the device reaches it. @throws DriverError EPERM, EBUSY, EOPNOTSUPP */
  map(options: MapImportOptions = {}): readonly ImportedEntry[] {
    for (let room = ENTRIES; ; ) {
      const { entries, count } = this.#map(options, room);
      if (count <= room) return entries;
      room = count;
      this.unmap();
    }
  }

  /** @throws DriverError EINVAL when it is not mapped, EBUSY while it is mmapped or pinned */
  unmap(): void {
    this.#importer.call(importerIoctls.UNMAP, { handle: this.handle }, { handle: this.handle });
    this.#mapped = false;
  }

  /** Maps memory that has pages into the program. @param offset bytes, a multiple of the page size. @throws SystemError */
  mmap(length = this.size, offset = 0): Mapping {
    const at = (BigInt(this.handle) << BigInt(SAGRADA_IMPORTER_OFFSET_SHIFT)) + BigInt(offset);
    return this.#importer.driver.mmap(this.#importer.fd, length, PROT_READ | PROT_WRITE, at);
  }

  /** @throws DriverError EBUSY while it is mapped, EINVAL when it is detached already */
  detach(): void {
    this.#importer.call(importerIoctls.DETACH, { handle: this.handle }, { handle: this.handle });
    this.#attached = false;
  }

  /** Unmaps and detaches. Harmless when done twice. @throws DriverError EBUSY while it is mmapped or pinned */
  [Symbol.dispose](): void {
    if (!this.#attached) return;
    if (this.#mapped) this.unmap();
    this.detach();
  }

  #map({ direction = 'both', pages = false }: MapImportOptions, room: number) {
    const { driver } = this.#importer;
    const memory = driver.allocate(room * sagrada_importer_entry.size);
    try {
      const { count } = this.#importer.call(
        importerIoctls.MAP,
        {
          handle: this.handle,
          direction: directions[direction],
          flags: pages ? mapFlags.SAGRADA_IMPORTER_PAGES.value : 0,
          count: room,
          entries: memory.address,
        },
        { handle: this.handle, direction, pages },
      );
      this.#mapped = true;
      const entries = Array.from({ length: Math.min(count, room) }, (_, i) => {
        const { address, length } = sagrada_importer_entry.decode(memory.bytes, i * sagrada_importer_entry.size);
        return { address, length: Number(length) };
      });
      return { entries, count };
    } finally {
      memory.unmap();
    }
  }
}

/** Memory of another card that this one reaches at `deviceAddress`. */
export class PeerMemory implements Disposable {
  readonly deviceAddress: bigint;
  /** Bytes. */
  readonly size: number;
  /** Where the card reaches it on the bus. */
  readonly entries: readonly ImportedEntry[];
  readonly #node: OpenNode;
  readonly #memory: Mapping;
  readonly #resources: DisposableStack;

  /**
   * When something fails nothing is left.
   * @param node the importing card. @param client its PCI address. @param fd of the dma-buf
   */
  constructor(node: OpenNode, client: string, fd: number) {
    this.#node = node;
    using resources = new DisposableStack();
    const importer = resources.use(new Importer(node.driver));
    const attached = resources.use(importer.attach(fd, client));
    this.entries = attached.map({ pages: true });
    this.#memory = resources.adopt(attached.mmap(), (memory) => memory.unmap());
    const mapping = resources.use(new HostMapping(node, this.#memory.address, attached.size));
    node.disown(mapping);
    this.size = attached.size;
    this.deviceAddress = mapping.deviceAddress;
    this.#resources = resources.move();
    node.own(this);
  }

  /** The memory as the program reaches it, through the other card's BAR: slow. @throws DisposedError */
  get bytes(): Uint8Array {
    const { bytes } = this.#memory;
    if (bytes.length === 0) throw new DisposedError('peer memory');
    return bytes;
  }

  /** Gives it back to the other card. Harmless when done twice. */
  [Symbol.dispose](): void {
    this.#node.disown(this);
    this.#resources.dispose();
  }
}
