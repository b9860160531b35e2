/**
 * dma-bufs: memory of a card that other devices may be given, and who is attached to it. Source: drivers/dma-buf/dma-buf.c
 * of Linux 7.3 (dma_buf_dynamic_attach, dma_buf_map_attachment), common/memory.c (hl_dmabuf_attach, hl_map_dmabuf,
 * alloc_sgt_from_device_pages, hl_release_dmabuf), drivers/pci/p2pdma.c (pci_p2pdma_distance_many).
 */

import { addressMap } from '../../../specs/gaudi/address-map.ts';
import type { PciFunction } from '../../pci/function.ts';
import type { Topology } from '../../pci/topology.ts';
import type { Card } from './card.ts';
import { refuse } from './errno.ts';
import type { FileOperations } from './files.ts';
import { PAGE } from './host-memory.ts';

/** dma_get_max_seg_size of a card (common/pci/pci.c) or NIC (efa_device_init), in whole pages: bytes that an entry of a list has at most. */
const LARGEST_SEGMENT = 0xffff_ffff - (0xffff_ffff % PAGE);

/** A device that can import. */
export interface Importer {
  /** PCI address. */
  readonly name: string;
  /** Undefined: a device of the root complex itself. */
  readonly function: PciFunction | undefined;
  log(level: 'warn', text: string): void;
}

/** A piece of mapped memory as the importing device reaches it. */
export interface Segment {
  /** Bus address. */
  readonly address: number;
  /** Bytes. */
  readonly length: number;
}

/** Its file; the descriptors and the attachments hold it. */
export class DmaBuf implements FileOperations {
  readonly name = '/dmabuf:';
  readonly size: number;
  readonly exporter: Card;
  readonly #address: number;
  readonly #topology: Topology;
  readonly #released: () => void;

  /** @param address of the DRAM in the card. @param size bytes. @param released called when nobody holds it any more */
  constructor(exporter: Card, topology: Topology, address: number, size: number, released: () => void) {
    this.exporter = exporter;
    this.size = size;
    this.#address = address;
    this.#topology = topology;
    this.#released = released;
  }

  release(): void {
    this.tell('release', this.exporter.pci.function.name);
    this.#released();
  }

  /** @param peerToPeer whether the importer takes memory of devices. */
  attach(importer: Importer, peerToPeer: boolean): Attachment {
    const { name, function: provider } = this.exporter;
    const reached = importer.function
      ? this.#topology.distance(provider, importer.function) >= 0
      : this.#topology.rootComplex.whitelisted;
    if (!reached) {
      importer.log(
        'warn',
        `cannot be used for peer-to-peer DMA as the client and provider (${name}) do not share an upstream bridge or whitelisted host bridge`,
      );
    }
    return new Attachment(this, peerToPeer && reached, importer.function?.name ?? importer.name);
  }

  /** @internal Tells in a trace what becomes of it. @param owner name of the device */
  tell(how: string, owner: string): void {
    const what = { space: 'device', address: this.#address, size: this.size, owner };
    this.exporter.kernel.memoryTrack?.instant('memory', how, what);
  }

  /** @internal The list of its memory for a device. */
  segments(): Segment[] {
    const start = this.exporter.pci.dram.start + (this.#address - addressMap.HBM_BASE);
    const segments: Segment[] = [];
    for (let at = 0; at < this.size; at += LARGEST_SEGMENT)
      segments.push({ address: start + at, length: Math.min(LARGEST_SEGMENT, this.size - at) });
    return segments;
  }
}

/** A device attached to a dma-buf. */
export class Attachment {
  readonly dmabuf: DmaBuf;
  readonly #peerToPeer: boolean;
  readonly #importer: string;

  /** @param importer name of the device */
  constructor(dmabuf: DmaBuf, peerToPeer: boolean, importer: string) {
    this.dmabuf = dmabuf;
    this.#importer = importer;
    this.#peerToPeer = peerToPeer;
  }

  /** hl_map_dmabuf. @throws SystemError EPERM */
  map(): readonly Segment[] {
    if (!this.#peerToPeer) {
      this.dmabuf.exporter.log('dbg', 'Failed to map dmabuf because p2p is disabled');
      refuse('EPERM');
    }
    const { dmabuf } = this;
    dmabuf.tell('import', this.#importer);
    return dmabuf.segments();
  }
}
