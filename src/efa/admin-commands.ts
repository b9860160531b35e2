/** What the commands of the admin queue do: a body for each row of specs/efa/admin.ts, or it does not compile. */

import {
  type CommandName,
  type CommandRow,
  commands,
  DEVICE_CAP,
  PAGE_LIST,
  QP_STATE,
  QP_TYPE,
  type QpState,
  type requestHead,
} from '../../specs/efa/admin.ts';
import { rxDescriptor, TX_WQE } from '../../specs/efa/io.ts';
import type { Values } from '../sim/layout.ts';
import type { Steps } from '../sim/process.ts';
import { AdminError } from './admin-error.ts';
import { CompletionQueue } from './completion-queue.ts';
import { ADDRESS_WIDTH, address64 } from './dma.ts';
import { EventQueue } from './event-queue.ts';
import type { Features } from './features.ts';
import { ADMIN_VECTOR, PAGE, RQ_DOORBELL, SQ_DOORBELL } from './limits.ts';
import { MemoryRegion, PageRuns } from './memory-region.ts';
import type { Nic, Owner } from './nic.ts';
import { type PageList, readPageList } from './page-list.ts';
import { QueuePair } from './queue-pair.ts';
import type { Requester } from './requester.ts';
import type { RingPlace } from './ring.ts';
import { encodeStatistics } from './statistics.ts';
import type { Table } from './table.ts';

type Fields<R> = R extends CommandRow<infer Req, infer _> ? Values<Req> : never;
type Answer<R> = R extends CommandRow<infer _, infer Resp> ? Values<Resp> : never;
type Row<N extends CommandName> = (typeof commands)[N];

/** A command as it came. */
export interface Command {
  readonly head: ReturnType<typeof requestHead.decode>;
  readonly payload: Uint8Array;
  /** What follows the head of the response. */
  readonly data: Uint8Array;
}

type Result<N extends CommandName> = Partial<Answer<Row<N>>>;
/** Those that wait for something are generators. */
type Body<N extends CommandName> = (request: Fields<Row<N>>, command: Command) => Result<N> | Steps<Result<N>>;
type Bodies = { readonly [N in CommandName]: Body<N> };

const byOpcode = new Map(Object.entries(commands).map(([name, row]) => [row.opcode, name as CommandName]));

export function commandNamed(opcode: number): CommandName | undefined {
  return byOpcode.get(opcode);
}

export interface CommandPorts {
  readonly nic: Nic;
  readonly requester: Requester;
  readonly features: Features;
  /** Vectors that the function has. */
  readonly vectors: number;
}

const illegal = (what: string): AdminError => new AdminError('ILLEGAL_PARAMETER', what);
const exhausted = (what: string): AdminError => new AdminError('RESOURCE_ALLOCATION_FAILURE', what);
const busy = (what: string): AdminError => new AdminError('RESOURCE_BUSY', what);

function powerOfTwo(value: number): boolean {
  return value > 0 && Number.isInteger(Math.log2(value));
}

function taken(id: number | undefined, what: string): number {
  if (id === undefined) throw exhausted(what);
  return id;
}

export class AdminCommands {
  readonly #ports: CommandPorts;
  readonly #bodies: Bodies;
  /** Commands done so far, by name. */
  readonly counts: Partial<Record<CommandName, number>> = {};

  constructor(ports: CommandPorts) {
    this.#ports = ports;
    this.#bodies = this.#makeBodies();
  }

  /** @throws AdminError, BusFault */
  *run(name: CommandName, command: Command): Steps {
    const row = commands[name];
    this.counts[name] = (this.counts[name] ?? 0) + 1;
    if (row.request.reservedBits(command.payload))
      throw new AdminError('MALFORMED_REQUEST', `reserved bits of ${name}`);
    const body = this.#bodies[name] as Body<CommandName>;
    const begun = body(row.request.decode(command.payload) as never, command);
    const answer = Symbol.iterator in begun ? yield* begun : begun;
    (row.response.encode as (target: Uint8Array, values: object) => void)(command.data, answer);
  }

  #makeBodies(): Bodies {
    const { nic, features } = this.#ports;
    return {
      CREATE_QP: (request) => this.#createQp(request),
      MODIFY_QP: (request) => this.#modifyQp(request),
      QUERY_QP({ qp_handle }) {
        const qp = found(nic.qps, qp_handle, 'QP');
        const { state, qkey, sqPsn: sq_psn, rnrRetry: rnr_retry } = qp;
        const draining = state === QP_STATE.SQD && qp.outstanding > 0;
        return { qp_state: state, qkey, sq_psn, rnr_retry, sq_draining: draining ? 1 : 0 };
      },
      DESTROY_QP: (request) => this.#destroyQp(request.qp_handle),
      CREATE_AH({ pd }, { payload }) {
        found(nic.pds, pd, 'PD');
        const handle = nic.ahs.create(pd, payload.slice(0, 16));
        if (!handle) throw exhausted('address handles');
        owner(nic.pds, pd).users++;
        return { ah: handle.id };
      },
      DESTROY_AH({ ah, pd }) {
        const handle = found(nic.ahs.table, ah, 'AH');
        if (handle.pd !== pd) throw illegal(`AH ${ah} of another PD`);
        nic.ahs.destroy(handle);
        owner(nic.pds, pd).users--;
        return {};
      },
      REG_MR: (request, command) => this.#registerMr(request, command),
      DEREG_MR: (request) => this.#deregisterMr(request.l_key),
      CREATE_CQ: (request) => this.#createCq(request),
      DESTROY_CQ({ cq_idx }) {
        const cq = found(nic.cqs, cq_idx, 'CQ');
        if (cq.users > 0) throw busy('a QP completes there');
        cq.destroyed = true;
        nic.cqs.delete(cq_idx);
        if (cq.options.events) cq.options.events.users--;
        if (cq.options.place.region) cq.options.place.region.rings--;
        owner(nic.uars, cq.options.uar).users--;
        return {};
      },
      GET_FEATURE({ feature_id }, { head, data }) {
        if (head.ctrl_data) throw illegal('a feature in a buffer');
        features.get(feature_id, data);
        return {};
      },
      *SET_FEATURE(request, { head }) {
        yield* features.set(request.feature_id, {
          enabledGroups: request.aenq_enabled_groups,
          buffer: head.ctrl_data
            ? { address: address64(request.buffer_lo, request.buffer_hi), length: request.buffer_length }
            : undefined,
        });
        return {};
      },
      GET_STATS({ type, scope }, { head, data }) {
        if (head.ctrl_data || scope !== 0) throw illegal('counters of all in the answer, and nothing else');
        if (!encodeStatistics(nic.stats, type, data)) throw illegal(`counters of type ${type}`);
        return {};
      },
      ALLOC_PD() {
        return { pd: allocate(nic.pds, 'PDs') };
      },
      DEALLOC_PD({ pd }) {
        deallocate(nic.pds, pd, 'PD');
        return {};
      },
      ALLOC_UAR() {
        return { uar: allocate(nic.uars, 'UARs') };
      },
      DEALLOC_UAR({ uar }) {
        deallocate(nic.uars, uar, 'UAR');
        return {};
      },
      CREATE_EQ: (request) => this.#createEq(request),
      DESTROY_EQ({ eqn }) {
        const eq = found(nic.eqs, eqn, 'EQ');
        if (eq.users > 0) throw busy('a CQ sends events there');
        nic.eqs.delete(eqn);
        return {};
      },
    };
  }

  #createEq(request: Fields<Row<'CREATE_EQ'>>): { eqn: number } {
    const { nic, vectors } = this.#ports;
    const { depth, msix_vec: vector, entry_size_words, ba_lo, ba_hi } = request;
    const base = address64(ba_lo, ba_hi);
    if (!powerOfTwo(depth) || depth > nic.ports.limits.maxEqDepth) throw illegal(`EQ of ${depth} entries`);
    if (entry_size_words !== 4 || base % 16 !== 0 || base >= 2 ** ADDRESS_WIDTH) throw illegal('EQ');
    if (vector === ADMIN_VECTOR || vector >= vectors) throw illegal(`vector ${vector}`);
    if (!request.completion_events) throw illegal('an EQ without events');
    const id = taken(nic.eqs.free(), 'EQs');
    const { dma, interrupt } = nic.ports;
    nic.eqs.set(id, new EventQueue({ id, base, depth, vector, dma, interrupt }));
    return { eqn: id };
  }

  #createCq(request: Fields<Row<'CREATE_CQ'>>): Answer<Row<'CREATE_CQ'>> {
    const { nic } = this.#ports;
    const { limits } = nic.ports;
    const { sub_cq_depth: depth, entry_size_words, num_sub_cqs: subQueues, uar } = request;
    const user = found(nic.uars, uar, 'UAR');
    if (!powerOfTwo(depth) || depth > limits.maxCqDepth) throw illegal(`CQ of ${depth} entries`);
    if (entry_size_words !== 4 && entry_size_words !== 8) throw illegal(`entries of ${entry_size_words} words`);
    if (request.set_src_addr && entry_size_words !== 8) throw illegal('no room for the source address');
    if (request.sq_comp_64_bit_req_id) throw illegal('request ids of 64 bits are not offered');
    if (subQueues !== limits.subCqs) throw illegal(`${subQueues} sub-CQs`);
    const events = request.interrupt_mode_enabled ? found(nic.eqs, request.eqn, 'EQ') : undefined;
    const entrySize = 4 * entry_size_words;
    const bytes = depth * subQueues * entrySize;
    const base = address64(request.ba_lo, request.ba_hi);
    const place = this.#ring(base, bytes, entrySize, request.virt ? request.l_key : undefined, undefined);
    const id = taken(nic.cqs.free(), 'CQs');
    const sourceAddress = request.set_src_addr === 1;
    nic.cqs.set(id, new CompletionQueue({ id, uar, place, subQueues, depth, entrySize, sourceAddress, events }));
    if (events) events.users++;
    if (place.region) place.region.rings++;
    user.users++;
    const page = limits.maxQp + nic.cqs.slotOf(id);
    return { cq_idx: id, actual_depth: depth, db_offset: page * PAGE, db_valid: 1 };
  }

  /** A ring that the host names. @param key of registered memory, where the address is virtual @param pd of that memory */
  #ring(base: number, bytes: number, align: number, key: number | undefined, pd: number | undefined): RingPlace {
    const { nic } = this.#ports;
    const { dma } = nic.ports;
    if (base % align !== 0) throw illegal(`ring at 0x${base.toString(16)}`);
    if (key === undefined) {
      if (base + bytes > 2 ** ADDRESS_WIDTH) throw illegal(`ring at 0x${base.toString(16)}`);
      return { bus: base, dma };
    }
    const region = nic.mrs.get(key);
    if (!region?.covers(base, bytes) || !region.options.localWrite)
      throw illegal(`ring in region 0x${key.toString(16)}`);
    if (pd !== undefined && region.pd !== pd) throw illegal('ring in a region of another PD');
    // Pages are aligned like the addresses that stand for them, so no entry crosses one.
    return { region, address: base, dma };
  }

  #createQp(request: Fields<Row<'CREATE_QP'>>): Answer<Row<'CREATE_QP'>> {
    const { nic, requester } = this.#ports;
    const { limits, llq } = nic.ports;
    const { pd, uar, sq_depth, sq_ring_size, rq_ring_size } = request;
    const domain = found(nic.pds, pd, 'PD');
    const user = found(nic.uars, uar, 'UAR');
    const types = Object.entries(QP_TYPE) as [keyof typeof QP_TYPE, number][];
    const type = types.find(([, number]) => number === request.qp_type)?.[0];
    if (!type) throw illegal(`QP of type ${request.qp_type}`);
    const sendCq = found(nic.cqs, request.send_cq_idx, 'send CQ');
    const receiveCq = found(nic.cqs, request.recv_cq_idx, 'receive CQ');
    if (sendCq.options.uar !== uar || receiveCq.options.uar !== uar) throw illegal('CQ of another UAR');
    if (request.sq_virt || request.sq_64_bit_req_id) throw illegal('a send queue in host memory, or with long ids');
    if (request.sl !== 0) throw illegal(`service level ${request.sl}`);
    if (request.unsolicited_write_recv && !(limits.caps & DEVICE_CAP.UNSOLICITED_WRITE_RECV)) throw illegal('flags');
    const entrySize = sq_depth === 0 ? 0 : sq_ring_size / sq_depth;
    if (sq_depth > 0 && (!powerOfTwo(sq_depth) || sq_depth > limits.maxSqDepth)) throw illegal(`SQ of ${sq_depth}`);
    if (sq_depth > 0 && entrySize !== TX_WQE.SIZE && entrySize !== TX_WQE.LARGE_SIZE) throw illegal('SQ entry size');
    if (sq_ring_size > limits.maxLlqSize || (sq_depth === 0 && sq_ring_size > 0)) throw illegal('SQ ring size');
    const rqDepth = rq_ring_size / rxDescriptor.size;
    if (rqDepth > 0 && (!powerOfTwo(rqDepth) || rqDepth > limits.maxRqDepth)) throw illegal(`RQ of ${rqDepth}`);
    const key = request.rq_virt ? request.rq_l_key : undefined;
    const place = rqDepth > 0 ? this.#ring(request.rq_base_addr, rq_ring_size, rxDescriptor.size, key, pd) : undefined;
    const id = taken(nic.qps.free(), 'QPs');
    const offset = sq_depth > 0 ? llq.take(sq_ring_size) : 0;
    if (offset === undefined) throw exhausted('memory for send queues');
    const qp = new QueuePair({
      id,
      type,
      pd,
      uar,
      send: { cq: sendCq, subQueue: sendCq.takeSubQueue() },
      receive: { cq: receiveCq, subQueue: receiveCq.takeSubQueue() },
      sq: { offset, depth: sq_depth, entrySize },
      rq: { place, depth: rqDepth },
      unsolicitedWrites: request.unsolicited_write_recv === 1,
    });
    nic.qps.set(id, qp);
    domain.users++;
    user.users++;
    sendCq.users++;
    receiveCq.users++;
    if (place?.region) place.region.rings++;
    nic.start(`QP ${id}`, requester.serve(qp));
    const page = nic.qps.slotOf(id) * PAGE;
    return {
      qp_handle: id,
      qp_num: id,
      send_sub_cq_idx: qp.options.send.subQueue,
      recv_sub_cq_idx: qp.options.receive.subQueue,
      sq_db_offset: page + SQ_DOORBELL,
      rq_db_offset: page + RQ_DOORBELL,
      llq_descriptors_offset: offset,
    };
  }

  #modifyQp(request: Fields<Row<'MODIFY_QP'>>): Record<never, never> {
    const { nic, requester } = this.#ports;
    const qp = found(nic.qps, request.qp_handle, 'QP');
    if (request.mask_cur_qp_state && request.cur_qp_state !== qp.state) throw illegal('current state');
    if (request.mask_qp_state && request.qp_state > QP_STATE.ERR) throw illegal(`state ${request.qp_state}`);
    if (request.mask_rnr_retry && (qp.options.type !== 'SRD' || request.rnr_retry > 7)) throw illegal('RNR retries');
    if (request.mask_rnr_retry && !(nic.ports.limits.caps & DEVICE_CAP.RNR_RETRY)) throw illegal('RNR retries');
    if (request.mask_qkey) qp.qkey = request.qkey;
    if (request.mask_sq_psn) qp.sqPsn = request.sq_psn;
    if (request.mask_rnr_retry) qp.rnrRetry = request.rnr_retry;
    if (request.mask_qp_state) {
      if (request.qp_state === QP_STATE.RESET) requester.dropAll(qp);
      qp.setState(request.qp_state as QpState);
    }
    return {};
  }

  #destroyQp(handle: number): Record<never, never> {
    const { nic, requester } = this.#ports;
    const qp = found(nic.qps, handle, 'QP');
    const { pd, uar, send, receive, sq, rq } = qp.options;
    requester.dropAll(qp);
    qp.end();
    nic.qps.delete(handle);
    if (sq.depth > 0) nic.ports.llq.free(sq.offset, sq.depth * sq.entrySize);
    owner(nic.pds, pd).users--;
    owner(nic.uars, uar).users--;
    send.cq.users--;
    receive.cq.users--;
    if (rq.place?.region) rq.place.region.rings--;
    return {};
  }

  *#registerMr(request: Fields<Row<'REG_MR'>>, { head, payload }: Command): Steps<Partial<Answer<Row<'REG_MR'>>>> {
    const { nic } = this.#ports;
    const { limits, dma, random } = nic.ports;
    const { pd, mr_length: length, phys_page_size_shift: shift, iova } = request;
    found(nic.pds, pd, 'PD');
    if (length === 0 || iova + length > 2 ** ADDRESS_WIDTH) throw illegal(`${length} bytes at ${iova}`);
    let pages = new PageRuns();
    let skip = 0;
    if (request.mem_addr_phy_mode_en) pages.add(iova, length);
    else {
      if (shift < 12 || shift > 31 || Math.floor(limits.pageSizes / 2 ** shift) % 2 === 0) throw illegal(`2^${shift}`);
      const pageSize = 2 ** shift;
      skip = iova % pageSize;
      const count = Math.ceil((skip + length) / pageSize);
      if (count > limits.maxMrPages) throw exhausted(`${count} pages`);
      const form: PageList['form'] = !head.ctrl_data ? 'inline' : head.ctrl_data_indirect ? 'indirect' : 'direct';
      const bytes = payload.slice(4, 4 + 8 * PAGE_LIST.INLINE);
      pages = yield* readPageList(dma, { form, bytes, pageSize, count, room: limits.maxRuns - nic.runs });
    }
    const id = taken(nic.mrs.free(), 'MRs');
    // A remote key can not be guessed from a local one.
    const rkey = (random.next() & 0xff) * 2 ** 24 + id;
    const { local_write, remote_write, remote_read } = request;
    nic.mrs.set(
      id,
      new MemoryRegion({
        lkey: id,
        rkey,
        pd,
        iova,
        length,
        localWrite: local_write === 1,
        remoteWrite: remote_write === 1,
        remoteRead: remote_read === 1,
        pages,
        skip,
        dma,
      }),
    );
    nic.runs += pages.count;
    owner(nic.pds, pd).users++;
    const told = { space: 'host', address: iova, size: length, handle: BigInt(id), owner: nic.ports.name };
    nic.ports.trace?.track('admin').instant('memory', 'register', told);
    return { l_key: id, r_key: rkey };
  }

  /** Answered when nothing that the device has begun can touch the memory any more. */
  *#deregisterMr(key: number): Steps<Record<never, never>> {
    const { nic } = this.#ports;
    const region = found(nic.mrs, key, 'MR');
    if (region.rings > 0) throw busy('a ring is there');
    region.valid = false;
    nic.mrs.delete(key);
    while (region.requests > 0) yield region.idle;
    nic.runs -= region.options.pages.count;
    owner(nic.pds, region.pd).users--;
    return {};
  }
}

function found<T>(table: Table<T>, id: number, what: string): T {
  const value = table.get(id);
  if (value === undefined) throw illegal(`no ${what} ${id}`);
  return value;
}

/** The owner of something that exists. */
function owner(table: Table<Owner>, id: number): Owner {
  return table.get(id) as Owner;
}

function allocate(table: Table<Owner>, what: string): number {
  const id = taken(table.free(), what);
  table.set(id, { id, users: 0 });
  return id;
}

function deallocate(table: Table<Owner>, id: number, what: string): void {
  if (found(table, id, what).users > 0) throw busy(`${what} ${id} is in use`);
  table.delete(id);
}
