/** The regions of a function as the protocol numbers them, and what of them a client may map. */

import { constants } from 'node:os';
import type { MappablePiece, PciFunction, Region } from '../pci/function.ts';
import { ClientConfig } from './client-config.ts';
import {
  REGION_CONFIG,
  REGION_COUNT,
  REGION_FLAG,
  REGION_INFO,
  Refusal,
  SPARSE_AREA,
  SPARSE_CAP,
  SPARSE_CAP_ID,
} from './messages.ts';

const { EINVAL } = constants.errno;

interface Served {
  readonly region: Region;
  /** Reply to DEVICE_GET_REGION_INFO, with its capabilities. */
  readonly info: Uint8Array;
  /** The same for a client that takes no descriptors. */
  readonly plainInfo: Uint8Array;
  /** Descriptor behind the mappable areas, or -1. */
  readonly fd: number;
}

/**
 * The pieces that can be offered: one reply carries one descriptor and one offset, so they must lie in one file, each
 * at the same distance from its place in the region. Those that do not are reached by messages.
 */
function offered(region: Region): readonly MappablePiece[] {
  const first = region.mappable.find((piece) => piece.memory.fd >= 0);
  if (!first) return [];
  const base = first.memoryOffset - first.offset;
  return region.mappable.filter(
    (piece) => piece.memory.fd === first.memory.fd && piece.memoryOffset - piece.offset === base,
  );
}

function describe(index: number, region: Region, pieces: readonly MappablePiece[]): Uint8Array {
  const first = pieces[0];
  const whole = pieces.length === 1 && first?.offset === 0 && first.size === region.size;
  const sparse = pieces.length > 0 && !whole;
  const argsz = REGION_INFO.size + (sparse ? SPARSE_CAP.size + pieces.length * SPARSE_AREA.size : 0);
  let flags: number = REGION_FLAG.READ | REGION_FLAG.WRITE;
  if (first) flags |= REGION_FLAG.MMAP;
  if (sparse) flags |= REGION_FLAG.CAPS;
  const bytes = new Uint8Array(argsz);
  const view = new DataView(bytes.buffer);
  REGION_INFO.put(view, 0, {
    argsz,
    flags,
    index,
    // QEMU checks this even in the reply that has no room for the capability (hw/vfio-user/device.c).
    capOffset: sparse ? REGION_INFO.size : 0,
    size: region.size,
    offset: first ? first.memoryOffset - first.offset : 0,
  });
  if (sparse) {
    SPARSE_CAP.put(view, REGION_INFO.size, { id: SPARSE_CAP_ID, version: 1, areas: pieces.length });
    const areas = REGION_INFO.size + SPARSE_CAP.size;
    pieces.forEach((piece, i) => {
      SPARSE_AREA.put(view, areas + i * SPARSE_AREA.size, { offset: piece.offset, size: piece.size });
    });
  }
  return bytes;
}

function serve(index: number, region: Region): Served {
  const pieces = offered(region);
  return {
    region,
    info: describe(index, region, pieces),
    plainInfo: describe(index, region, []),
    fd: pieces[0]?.memory.fd ?? -1,
  };
}

export class Regions {
  readonly #served: readonly (Served | undefined)[];

  constructor(pciFunction: PciFunction) {
    const served: (Served | undefined)[] = new Array(REGION_COUNT).fill(undefined);
    for (const bar of pciFunction.bars) served[bar.index] = serve(bar.index, bar.region);
    served[REGION_CONFIG] = serve(REGION_CONFIG, new ClientConfig(pciFunction.config));
    this.#served = served;
  }

  /** The region, if [offset, offset + count) lies inside it. @throws Refusal */
  access(index: number, offset: number, count: number): Region {
    const region = this.#served[index]?.region;
    if (!region) throw new Refusal(EINVAL, `region ${index}`);
    if (offset > region.size || count > region.size - offset) {
      throw new Refusal(EINVAL, `${count} bytes at 0x${offset.toString(16)} of region ${index}`);
    }
    return region;
  }

  /**
   * Reply to DEVICE_GET_REGION_INFO for a client with room for `argsz` bytes. Where that is too little for the
   * capabilities, only the fixed part, whose argsz says how much is needed.
   * @throws Refusal for an index there is not
   */
  info(index: number, argsz: number, descriptors: boolean): { info: Uint8Array; fd: number } {
    if (index >= REGION_COUNT) throw new Refusal(EINVAL, `region ${index}`);
    const served = this.#served[index];
    if (!served) return { info: REGION_INFO.encode({ argsz: REGION_INFO.size, index }), fd: -1 };
    if (!descriptors) return { info: served.plainInfo, fd: -1 };
    if (argsz >= served.info.length) return { info: served.info, fd: served.fd };
    return { info: served.info.subarray(0, REGION_INFO.size), fd: -1 };
  }
}
