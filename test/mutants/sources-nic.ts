/** Mistakes in the RDMA card and in the executable specification of its driver: permissions, lengths, queues, handles. */

import type { Mutant } from './mutant.ts';
import { within } from './sources.ts';

export const nicMutants: readonly Mutant[] = [
  ...within('nic', 'src/efa/llq.ts', [
    ['two send queues are in one memory', 'this.#taken.fill(1, first, first + pages);', ''],
  ]),
  ...within('nic', 'src/efa/address-handles.ts', [
    ['everybody is known', 'return this.#byKey.has(key);', 'return true;'],
    ['handles that were taken back are known', 'if (same?.size === 0) this.#byKey.delete(handle.key);', ''],
    ['one handle of two that are taken back is left', 'same?.delete(handle);', ''],
  ]),
  ...within('nic', 'src/efa/queue-pair.ts', [
    [
      'a queue pair sends before it is ready to',
      'this.alive && this.state === QP_STATE.RTS',
      'this.alive && this.state >= QP_STATE.INIT && this.state <= QP_STATE.RTS',
    ],
    ['a queue pair receives before it is ready to', 'this.state >= QP_STATE.RTR', 'true'],
    ['a queue pair in error receives', 'this.state <= QP_STATE.SQE', 'true'],
    ['what was posted outlives a reset', 'this.sq.clear();\n      this.rq.clear();', ''],
  ]),
  ...within('nic', 'src/efa/memory-region.ts', [
    [
      'the first byte of a run is in the run before',
      '(this.#from[middle] as number) <= offset',
      '(this.#from[middle] as number) < offset',
    ],
    [
      'pages are one run that do not follow each other',
      '(this.#bus[last] as number) + this.#end - (this.#from[last] as number) === bus',
      'true',
    ],
    [
      'runs go on to the end of the region',
      'low + 1 < this.#length ? (this.#from[low + 1] as number) : this.#end',
      'this.#end',
    ],
  ]),
  ...within('nic', 'src/efa/event-queue.ts', [
    ['an interrupt comes without news', '!this.#armed || !this.#news', '!this.#armed'],
  ]),
  ...within('nic', 'src/efa/requester.ts', [
    ['messages may have any length', "local.length > (op === 'send' ? network.mtu : limits.maxRdmaSize)", 'false'],
    ['address handles of other domains are good', '!handle || handle.pd !== qp.options.pd', '!handle'],
    [
      'memory of other domains is sent',
      '!region || region.pd !== qp.options.pd || !region.covers(address, length)',
      '!region || !region.covers(address, length)',
    ],
    [
      'memory beyond a region is sent',
      '!region || region.pd !== qp.options.pd || !region.covers(address, length)',
      '!region || region.pd !== qp.options.pd',
    ],
    [
      'a read writes where it may not',
      'if (written && !region.options.localWrite) throw new Refused(COMP.INVALID_LKEY);',
      '',
    ],
    ['retries have no end', 'rnrRetry !== RNR_FOREVER && operation.rnrTries >= rnrRetry', 'false'],
    [
      'what is posted to a queue in error is not flushed',
      'yield* this.#complete(qp, qp.generation, meta.req_id, meta.op_type & 7, COMP.FLUSHED);',
      '',
    ],
    ['bytes that are read are not counted', 'stats.read_bytes += request.length;', ''],
    ['bytes that are written are not counted', 'stats.write_bytes += request.length;', ''],
    ['pieces of a message are its beginning', 'const from = index * pieceSize;', 'const from = 0;'],
    ['pieces of a read are put at its beginning', 'index * operation.pieceSize', '0'],
  ]),
  ...within('nic', 'src/efa/responder.ts', [
    ['strangers may write', "packet.kind !== 'send' && !this.#nic.ahs.knows(packet.from)", 'false'],
    [
      'what may be written may be read',
      "this.#remote(qp, packet, 'remoteRead')",
      "this.#remote(qp, packet, 'remoteWrite')",
    ],
    [
      'writes with immediate data take a receive from who wants none taken',
      'packet.immediate !== undefined && !qp.options.unsolicitedWrites && status === COMP.OK',
      'packet.immediate !== undefined && status === COMP.OK',
    ],
    [
      'the length of a datagram is without its header',
      'const values = {\n      req_id: receive.requestId,\n      op_type: OP.SEND,\n      has_imm: imm === undefined ? 0 : 1,\n      imm: imm ?? 0,\n      length: GRH.SIZE + length,\n    };',
      'const values = { req_id: receive.requestId, op_type: OP.SEND, has_imm: imm === undefined ? 0 : 1, imm: imm ?? 0, length };',
    ],
    ['a datagram does not say who sent it', "header.set(Buffer.from(from, 'hex'), GRH.SOURCE);", ''],
    [
      'a buffer is received into beyond its region',
      'region.covers(address, length) ? { region, address, length } : undefined',
      '{ region, address, length }',
    ],
    [
      'a remote access goes beyond its region',
      'allowed && region.covers(packet.address, packet.length) ? region : undefined',
      'allowed ? region : undefined',
    ],
    ['nothing is unsolicited', 'receive ? 0 : 1', '0'],
    ['bytes that others write are not counted', 'stats.write_recv_bytes += length', 'Number()'],
    ['a receive queue that is empty takes a message', '!place || rq.waiting === 0', '!place'],
    ['pieces are written at the beginning', 'index * request.pieceSize', '0'],
    ['a piece that is read is the first', 'address + index * pieceSize', 'address'],
  ]),
  ...within('nic', 'src/efa/admin-commands.ts', [
    [
      'completion queues of other users are good',
      'sendCq.options.uar !== uar || receiveCq.options.uar !== uar',
      'false',
    ],
    ['a completion queue goes while it is used', 'cq.users > 0', 'false'],
    ['an event queue goes while it is used', 'eq.users > 0', 'false'],
    ['a domain goes while it is used', 'found(table, id, what).users > 0', 'false'],
    ['handles of other domains are taken back', 'handle.pd !== pd', 'false'],
    ['a queue pair is in any state', 'request.mask_cur_qp_state && request.cur_qp_state !== qp.state', 'false'],
    ['every queue pair has retries', "qp.options.type !== 'SRD' || request.rnr_retry > 7", 'false'],
    ['keys are the same on both sides', '(random.next() & 0xff) * 2 ** 24 + id', 'id'],
    ['regions may be of no bytes', 'length === 0 || iova + length > 2 ** ADDRESS_WIDTH', 'false'],
    [
      'pages are of any size',
      'shift < 12 || shift > 31 || Math.floor(limits.pageSizes / 2 ** shift) % 2 === 0',
      'false',
    ],
    ['reserved bits may be set', 'row.request.reservedBits(command.payload)', 'false'],
  ]),
  ...within('nic', 'src/driver/model/rdma/qp-states.ts', []),
  ...within('nic', 'src/driver/model/rdma/umem.ts', [
    ['a region is longer than its dma-buf', 'BigInt(file.operations.size) < end', 'false'],
    ['every dma-buf begins at its first page', 'segment.address + from - at', 'segment.address'],
    ['blocks are larger than what lies together', 'if (expected !== undefined) mask |= va;', ''],
    ['memory may wrap', 'end >= WORD || ((end + PAGE_BITS - 1n) / PAGE_BITS) * PAGE_BITS >= WORD', 'false'],
    [
      'regions of dma-bufs do not hold them',
      'file.get();\n  const first = Math.floor(Number(offset) / PAGE) * PAGE;',
      'const first = Math.floor(Number(offset) / PAGE) * PAGE;',
    ],
  ]),
  ...within('nic', 'src/driver/model/rdma/mmap-table.ts', []),
  ...within('nic', 'src/driver/model/rdma/queues.ts', [
    ['queues go while they are used', 'for (const one of [pd, send, receive]) one.users++;', ''],
  ]),
];
