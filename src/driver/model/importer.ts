/**
 * /dev/sagrada_importer: imports dma-bufs on behalf of a device and hands the result to a program (docs/importer.md).
 * Source: guest/importer of this repository.
 */

import type { Fabric } from '../../pci/fabric.ts';
import { values } from '../../uapi/rows.ts';
import {
  attachFlags,
  IMPORTER_PATH,
  importDirections,
  importerConstants,
  importerFeatures,
  importerIoctls,
  mapFlags,
  sagrada_importer_entry,
} from '../../uapi/sagrada/importer.ts';
import type { Mapping } from '../driver.ts';
import { type Attachment, DmaBuf, type Importer, type Segment } from './dmabuf.ts';
import { refuse } from './errno.ts';
import type { Descriptors, FileOperations, OpenFile } from './files.ts';
import { HUGE_PAGE, PAGE } from './host-memory.ts';
import type { Kernel } from './kernel.ts';

const { INFO, ATTACH, MAP, UNMAP, DETACH } = importerIoctls;
const FEATURE = values(importerFeatures);
const { SAGRADA_IMPORTER_DYNAMIC, SAGRADA_IMPORTER_PEER2PEER } = values(attachFlags);
const { SAGRADA_IMPORTER_PAGES } = values(mapFlags);
const { SAGRADA_IMPORTER_FROM_DEVICE } = values(importDirections);
const OFFSET_SHIFT = BigInt(importerConstants.SAGRADA_IMPORTER_OFFSET_SHIFT.value);
/** Handles that can be given (XA_LIMIT in attach_ioctl). */
const LAST_HANDLE = 2 ** 20 - 1;
/** Not less than this can be given pages (LEAST_CHUNK). */
const LEAST_BAR = HUGE_PAGE;

/** What importers have of the kernel, one for all of them. */
export interface ImporterHost {
  readonly kernel: Kernel;
  readonly fabric: Fabric;
  readonly descriptors: Descriptors;
  /** The device with a PCI address, e.g. `0000:01:00.0`. */
  client(address: string): Importer | undefined;
  /** Pieces of device memory that a program maps or a driver has pinned. */
  readonly used: Set<Segment>;
  /** Imports whose memory has pages. */
  readonly paged: Set<Import>;
  /** Imports whose file is closed while their memory is pinned. */
  readonly lingering: Set<Import>;
}

interface Import {
  readonly file: OpenFile<DmaBuf>;
  readonly attachment: Attachment;
  /** While it is mapped. */
  segments: readonly Segment[] | undefined;
  pages: boolean;
  /** Of the program. */
  mappings: number;
}

/** The node, open. */
export class ImporterFile implements FileOperations {
  readonly name = IMPORTER_PATH;
  readonly #host: ImporterHost;
  readonly #imports = new Map<number, Import>();

  constructor(host: ImporterHost) {
    this.#host = host;
  }

  ioctl(request: number, argument: Uint8Array): undefined {
    const row = [INFO, ATTACH, MAP, UNMAP, DETACH].find((candidate) => candidate.request === request >>> 0);
    if (!row) refuse('ENOTTY');
    if (argument.length < row.argument.size) refuse('EFAULT');
    if (row === INFO) {
      const features = FEATURE.SAGRADA_IMPORTER_P2PDMA | FEATURE.SAGRADA_IMPORTER_MMAP;
      INFO.argument.encodeInto(argument, 0, { features });
    } else if (row === ATTACH) this.#attach(argument);
    else if (row === MAP) this.#map(argument);
    else if (row === UNMAP) this.#unmap(argument);
    else this.#detach(argument);
  }

  mmap(length: number, offset: bigint): Mapping {
    const { kernel, used } = this.#host;
    const found = this.#imports.get(Number(offset >> OFFSET_SHIFT));
    const skip = Number(offset & ((1n << OFFSET_SHIFT) - 1n));
    const whole = Math.ceil(length / PAGE) * PAGE;
    const first = found?.segments?.[0];
    if (!found?.pages || !first || skip + whole > found.file.operations.size) refuse('EINVAL', 'mmap');
    const start = first.address + skip;
    const pages = Array.from({ length: whole / PAGE }, (_, i) => start + i * PAGE);
    const piece = { address: start, length: whole };
    found.mappings++;
    used.add(piece);
    return kernel.program.mapPages(this.#memory(start, whole), length, pages, {
      closed: () => {
        found.mappings--;
      },
      freed: () => {
        used.delete(piece);
        this.#lookAgain();
      },
    });
  }

  /** The last descriptor and mapping have gone. */
  release(): void {
    for (const one of this.#imports.values()) {
      if (!this.#putPages(one)) this.#host.lingering.add(one);
      else this.#end(one);
    }
    this.#imports.clear();
  }

  #attach(argument: Uint8Array): void {
    const { client, descriptors } = this.#host;
    const input = ATTACH.argument.decode(argument);
    const dynamic = (input.flags & SAGRADA_IMPORTER_DYNAMIC) !== 0;
    const peerToPeer = (input.flags & SAGRADA_IMPORTER_PEER2PEER) !== 0;
    const unknown = (input.flags & ~(SAGRADA_IMPORTER_DYNAMIC | SAGRADA_IMPORTER_PEER2PEER)) !== 0;
    if (unknown || input.reserved !== 0 || input.reserved2 !== 0) refuse('EINVAL');
    if ((peerToPeer && !dynamic) || input.device > 31 || input.function > 7) refuse('EINVAL');
    const file = descriptors.find(input.fd);
    if (!file) refuse('EBADF');
    if (!isDmaBuf(file)) refuse('EINVAL');
    const hex = (value: number, digits: number) => value.toString(16).padStart(digits, '0');
    const place = `${hex(input.domain, 4)}:${hex(input.bus, 2)}:${hex(input.device, 2)}.${input.function}`;
    const device = client(place);
    if (!device) refuse('ENODEV');
    let handle = 1;
    while (this.#imports.has(handle)) handle++;
    if (handle > LAST_HANDLE) refuse('EBUSY');
    const attachment = file.operations.attach(device, peerToPeer);
    file.get();
    this.#imports.set(handle, { file, attachment, segments: undefined, pages: false, mappings: 0 });
    ATTACH.argument.encodeInto(argument, 0, { ...input, handle, size: file.operations.size });
  }

  #map(argument: Uint8Array): void {
    const input = MAP.argument.decode(argument);
    if ((input.flags & ~SAGRADA_IMPORTER_PAGES) !== 0) refuse('EINVAL');
    if (input.direction > SAGRADA_IMPORTER_FROM_DEVICE) refuse('EINVAL');
    const one = this.#find(input.handle);
    if (one.segments) refuse('EBUSY');
    const segments = one.attachment.map();
    const wanted = (input.flags & SAGRADA_IMPORTER_PAGES) !== 0;
    if (wanted && !segments.every(({ address }) => this.#canHavePages(address))) refuse('EOPNOTSUPP');
    one.segments = segments;
    one.pages = wanted;
    if (wanted) this.#host.paged.add(one);
    const { size } = sagrada_importer_entry;
    const room = Math.min(input.count, segments.length);
    const target = this.#host.kernel.program.bytes(input.entries, room * size);
    if (!target) refuse('EFAULT');
    segments.slice(0, room).forEach((segment, i) => {
      sagrada_importer_entry.encodeInto(target, i * size, segment);
    });
    MAP.argument.encodeInto(argument, 0, { ...input, count: segments.length });
  }

  #unmap(argument: Uint8Array): void {
    const one = this.#find(UNMAP.argument.decode(argument).handle);
    if (!one.segments) refuse('EINVAL');
    if (one.mappings > 0 || !this.#putPages(one)) refuse('EBUSY');
    one.segments = undefined;
  }

  #detach(argument: Uint8Array): void {
    const { handle } = DETACH.argument.decode(argument);
    const one = this.#find(handle);
    if (one.segments) refuse('EBUSY');
    this.#imports.delete(handle);
    this.#end(one);
  }

  #find(handle: number): Import {
    return this.#imports.get(handle) ?? refuse('EINVAL');
  }

  #end(one: Import): void {
    one.segments = undefined;
    one.file.put();
  }

  #lookAgain(): void {
    const { lingering } = this.#host;
    for (const one of [...lingering]) {
      if (!this.#putPages(one)) continue;
      lingering.delete(one);
      this.#end(one);
    }
  }

  /** pages_put. @returns false, and changes nothing, where somebody uses a page that no other import keeps */
  #putPages(one: Import): boolean {
    const { used, paged } = this.#host;
    if (!one.pages) return true;
    const others = [...paged].filter((other) => other !== one).flatMap(({ segments = [] }) => segments);
    const own = (one.segments ?? []).flatMap((segment) => [...used].flatMap((piece) => common(segment, piece)));
    const alone = others.reduce((rest, other) => rest.flatMap((piece) => without(piece, other)), own);
    if (alone.length > 0) return false;
    paged.delete(one);
    one.pages = false;
    return true;
  }

  #canHavePages(address: number): boolean {
    return (this.#host.fabric.decode(address)?.bar.region.size ?? 0) >= LEAST_BAR;
  }

  /** Memory behind a BAR, as the processor reaches it. */
  #memory(address: number, length: number): Uint8Array {
    const place = this.#host.fabric.decode(address);
    for (const piece of place?.bar.region.mappable ?? []) {
      const at = (place?.offset ?? 0) - piece.offset;
      if (at < 0 || at + length > piece.size) continue;
      return piece.memory.bytes.subarray(piece.memoryOffset + at, piece.memoryOffset + at + length);
    }
    throw new Error(`the BAR at 0x${address.toString(16)} is no memory that can be mapped`);
  }
}

export function isDmaBuf(file: OpenFile): file is OpenFile<DmaBuf> {
  return file.operations instanceof DmaBuf;
}

/** What two pieces have in common. */
function common(a: Segment, b: Segment): Segment[] {
  const address = Math.max(a.address, b.address);
  const end = Math.min(a.address + a.length, b.address + b.length);
  return address < end ? [{ address, length: end - address }] : [];
}

/** What is left of `a` without `b`. */
function without(a: Segment, b: Segment): Segment[] {
  const before = common(a, { address: 0, length: b.address });
  const behind = common(a, { address: b.address + b.length, length: Number.MAX_SAFE_INTEGER - b.address - b.length });
  return [...before, ...behind];
}
