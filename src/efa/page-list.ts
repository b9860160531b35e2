/** Reads the list of pages that REG_MR refers to: inline, in one piece, or in chained chunks. */

import { controlBuffer, PAGE_LIST } from '../../specs/efa/admin.ts';
import type { DmaPort } from '../pci/ports.ts';
import type { Steps } from '../sim/process.ts';
import { AdminError } from './admin-error.ts';
import { ADDRESS_WIDTH, address64, readInto } from './dma.ts';
import { PageRuns } from './memory-region.ts';

export interface PageList {
  readonly form: 'inline' | 'direct' | 'indirect';
  /** The 32 bytes of the command that hold or describe it. */
  readonly bytes: Uint8Array;
  readonly pageSize: number;
  /** Number of pages. */
  readonly count: number;
  /** Most runs of pages that there is room for. */
  readonly room: number;
}

const ADDRESS = 8;
/** Bytes of a direct list that are read at a time. */
const BATCH = 0x1_0000;

/** @throws AdminError for a list that does not hold what it should; BusFault where it cannot be read */
export function* readPageList(dma: DmaPort, list: PageList): Steps<PageRuns> {
  const runs = new PageRuns();
  const take = (source: Uint8Array, count: number) => {
    const view = new DataView(source.buffer, source.byteOffset, source.length);
    for (let i = 0; i < count; i++) {
      const page = address64(view.getUint32(ADDRESS * i, true), view.getUint32(ADDRESS * i + 4, true));
      if (page % list.pageSize !== 0 || page + list.pageSize > 2 ** ADDRESS_WIDTH) {
        throw new AdminError('ILLEGAL_PARAMETER', `page at 0x${page.toString(16)}`);
      }
      runs.add(page, list.pageSize);
      if (runs.count > list.room) throw new AdminError('RESOURCE_ALLOCATION_FAILURE', 'pages');
    }
  };
  if (list.form === 'inline') {
    if (list.count > PAGE_LIST.INLINE) throw new AdminError('ILLEGAL_PARAMETER', `${list.count} inline pages`);
    take(list.bytes, list.count);
  } else if (list.form === 'direct') yield* readDirect(dma, list, take);
  else yield* readChunks(dma, list, take);
  return runs;
}

type Take = (source: Uint8Array, count: number) => void;

function* readDirect(dma: DmaPort, list: PageList, take: Take): Steps {
  const { length, lo, hi } = controlBuffer.decode(list.bytes);
  if (length < ADDRESS * list.count) throw new AdminError('ILLEGAL_PARAMETER', `list of ${length} bytes`);
  yield* readAddresses(dma, address64(lo, hi), list.count, take);
}

function* readAddresses(dma: DmaPort, address: number, count: number, take: Take): Steps {
  const buffer = new Uint8Array(Math.min(BATCH, ADDRESS * count));
  for (let done = 0; done < count; ) {
    const n = Math.min(count - done, BATCH / ADDRESS);
    const part = buffer.subarray(0, ADDRESS * n);
    yield* readInto(dma, address + ADDRESS * done, part);
    take(part, n);
    done += n;
    if (done < count) yield 0;
  }
}

/** Ends when all pages are known, so that a chain without end is no matter; what follows them is not looked at. */
function* readChunks(dma: DmaPort, list: PageList, take: Take): Steps {
  const chunk = new Uint8Array(PAGE_LIST.CONTROL + PAGE_LIST.CONTROL_SIZE);
  const view = new DataView(chunk.buffer);
  let { length, lo, hi } = controlBuffer.decode(list.bytes);
  for (let left = list.count; ; ) {
    const lists = Math.min(PAGE_LIST.POINTERS, Math.ceil(left / PAGE_LIST.ADDRESSES));
    // The length counts the control buffer, too. The driver of 6.12 counts nothing else in a last chunk that is full
    // (efa_verbs.c, pbl_chunk_list_create).
    const enough = length >= ADDRESS * lists + PAGE_LIST.CONTROL_SIZE;
    const full = lists === PAGE_LIST.POINTERS && length === PAGE_LIST.CONTROL_SIZE;
    if (length > PAGE_LIST.CHUNK || !(enough || full)) {
      throw new AdminError('ILLEGAL_PARAMETER', `chunk of ${length} bytes`);
    }
    const last = left <= lists * PAGE_LIST.ADDRESSES;
    yield* readInto(dma, address64(lo, hi), last ? chunk.subarray(0, ADDRESS * lists) : chunk);
    for (let i = 0; i < lists; i++) {
      const page = address64(view.getUint32(ADDRESS * i, true), view.getUint32(ADDRESS * i + 4, true));
      const count = Math.min(left, PAGE_LIST.ADDRESSES);
      yield* readAddresses(dma, page, count, take);
      left -= count;
    }
    if (last) return;
    ({ length, lo, hi } = controlBuffer.decode(chunk, PAGE_LIST.CONTROL));
    yield 0;
  }
}
