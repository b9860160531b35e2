/**
 * What the driver makes on behalf of programs: contexts, protection domains, address handles, registered memory; queues are in
 * queues.ts. Each is a command of the NIC's and what the host has of it. Source: efa_verbs.c, efa_ah_cache.c.
 */

import { UNADVERTISED } from '../../../../specs/efa/admin.ts';
import { ModelError } from '../../../sim/errors.ts';
import type { Steps } from '../../../sim/process.ts';
import {
  efa_ibv_alloc_pd_resp,
  efa_ibv_alloc_ucontext_cmd,
  efa_ibv_alloc_ucontext_resp,
  efa_ibv_create_ah_resp,
  efaConstants,
} from '../../../uapi/rdma/efa.ts';
import { accessFlags } from '../../../uapi/rdma/verbs.ts';
import { values } from '../../../uapi/rows.ts';
import { errnoOf, negative, refuse } from '../errno.ts';
import { Mutex } from '../kernel.ts';
import { cleaning, counting, type DriverData, refuseWith, type UserContext, undoing } from './making.ts';
import { MapTable } from './mmap-table.ts';
import type { Nic } from './nic.ts';
import { makePageList } from './page-list.ts';
import { Queues } from './queues.ts';
import { bestPageSize, blocks, startOf, type UserMemory } from './umem.ts';

const EFA = values(efaConstants);
const ACCESS = values(accessFlags);

export interface ProtectionDomain {
  readonly number: number;
  /** Objects that belong to it (usecnt). */
  users: number;
}

export interface MemoryRegion {
  readonly lkey: number;
  readonly rkey: number;
  readonly length: bigint;
  /** 0 where the core does not tell it (REG_MR and REG_DMABUF_MR in Linux 7.3). */
  iova: bigint;
  /** By which of its parts the device reaches it, and which of these it tells (struct efa_mr_interconnect_info). */
  readonly interconnect: {
    readonly recv: number;
    readonly read: number;
    readonly received: number;
    readonly valid: number;
  };
  destroy(): Steps;
}

export interface AddressHandle {
  destroy(): Steps;
}

/** struct efa_ah_cache_entry */
interface SharedHandle {
  ah: number;
  /** Address handles of programs that it is behind, and those that are being made of it too. */
  users: number;
  holders: number;
  readonly lock: Mutex;
}

export class Verbs {
  readonly nic: Nic;
  readonly queues: Queues;
  /** Address handles of the device, by protection domain and address: it has one of each. */
  readonly #handles = new Map<string, SharedHandle>();

  constructor(nic: Nic) {
    this.nic = nic;
    this.queues = new Queues(nic);
  }

  /** efa_alloc_ucontext. @throws SystemError */
  *context(data: DriverData): Steps<UserContext> {
    return yield* counting(this.nic, 'alloc_ucontext', this.#context(data));
  }

  *#context(data: DriverData): Steps<UserContext> {
    const { nic } = this;
    const { supported_caps } = efa_ibv_alloc_ucontext_cmd.decode(data.peek(efa_ibv_alloc_ucontext_cmd.size));
    const { queues } = nic.attributes;
    const keeps = (attribute: number, flag: number, name: string) => {
      if (attribute === 0 || (supported_caps & flag) !== 0) return;
      refuseWith(this.nic, 'EOPNOTSUPP', `Userspace handshake failed for ${name} attribute`);
    };
    keeps(queues.max_tx_batch, EFA.EFA_ALLOC_UCONTEXT_CMD_SUPP_CAPS_TX_BATCH, 'max_tx_batch');
    keeps(queues.min_sq_depth, EFA.EFA_ALLOC_UCONTEXT_CMD_SUPP_CAPS_MIN_SQ_WR, 'min_sq_depth');
    const { uar } = yield* nic.command('ALLOC_UAR', {});
    const answer = efa_ibv_alloc_ucontext_resp.encode({
      cmds_supp_udata_mask: EFA.EFA_USER_CMDS_SUPP_UDATA_QUERY_DEVICE | EFA.EFA_USER_CMDS_SUPP_UDATA_CREATE_AH,
      sub_cqs_per_cq: queues.sub_cqs_per_cq,
      inline_buf_size: queues.inline_buf_size,
      inline_buf_size_ex: queues.inline_buf_size,
      max_llq_size: queues.max_llq_size,
      max_tx_batch: queues.max_tx_batch,
      min_sq_wr: queues.min_sq_depth,
    });
    yield* undoing(() => data.answer(answer), nic.attempt('DEALLOC_UAR', { uar }));
    return { uar, maps: new MapTable(nic.kernel) };
  }

  /** efa_dealloc_ucontext. */
  *endContext({ uar }: UserContext): Steps {
    yield* this.nic.attempt('DEALLOC_UAR', { uar });
  }

  /** efa_alloc_pd. @throws SystemError */
  *protectionDomain(data: DriverData): Steps<ProtectionDomain> {
    return yield* counting(this.nic, 'alloc_pd', this.#protectionDomain(data));
  }

  *#protectionDomain(data: DriverData): Steps<ProtectionDomain> {
    const { nic } = this;
    data.takeNothing();
    const { pd } = yield* nic.command('ALLOC_PD', {});
    const answer = () => data.answer(efa_ibv_alloc_pd_resp.encode({ pdn: pd }));
    yield* undoing(answer, nic.attempt('DEALLOC_PD', { pd }));
    return { number: pd, users: 0 };
  }

  /** uverbs_free_pd. @throws SystemError EBUSY */
  *endProtectionDomain(pd: ProtectionDomain): Steps {
    if (pd.users > 0) refuse('EBUSY');
    yield* this.nic.attempt('DEALLOC_PD', { pd: pd.number });
  }

  /** efa_create_ah. @param address 16 bytes @throws SystemError */
  *addressHandle(pd: ProtectionDomain, address: Uint8Array, data: DriverData): Steps<AddressHandle> {
    return yield* counting(this.nic, 'create_ah', this.#addressHandle(pd, address, data));
  }

  *#addressHandle(pd: ProtectionDomain, address: Uint8Array, data: DriverData): Steps<AddressHandle> {
    data.takeNothing();
    const key = `${pd.number} ${address.join(' ')}`;
    const { nic } = this;
    const handles = this.#handles;
    const shared = handles.get(key) ?? { ah: 0, users: 0, holders: 0, lock: new Mutex() };
    handles.set(key, shared);
    const leave = () => {
      if (--shared.holders === 0) handles.delete(key);
    };
    const make = function* (): Steps {
      if (shared.users === 0) {
        const fill = (payload: Uint8Array) => payload.set(address);
        shared.ah = (yield* nic.command('CREATE_AH', { pd: pd.number }, { fill, target: groups(address) })).ah;
      }
      shared.users++;
    };
    const end = function* (): Steps {
      if (shared.users === 1 && !(yield* nic.attempt('DESTROY_AH', { ah: shared.ah, pd: pd.number }))) return;
      shared.users--;
      leave();
    };
    shared.holders++;
    yield* cleaning(shared.lock.hold(make()), leave);
    const put = () => shared.lock.hold(end());
    yield* undoing(() => data.answer(efa_ibv_create_ah_resp.encode({ efa_address_handle: shared.ah })), put());
    pd.users++;
    return {
      *destroy() {
        yield* put();
        pd.users--;
      },
    };
  }

  /**
   * efa_reg_mr, efa_reg_user_mr_dmabuf.
   * @param pin the memory @param virtual address by which it is known (IOVA) @throws SystemError
   */
  *memoryRegion(
    pd: ProtectionDomain,
    pin: () => UserMemory,
    virtual: bigint,
    access: number,
    data: DriverData,
  ): Steps<MemoryRegion> {
    return yield* counting(this.nic, 'reg_mr', this.#memoryRegion(pd, pin, virtual, access, data));
  }

  *#memoryRegion(
    pd: ProtectionDomain,
    pin: () => UserMemory,
    virtual: bigint,
    access: number,
    data: DriverData,
  ): Steps<MemoryRegion> {
    const { nic } = this;
    data.takeNothing();
    const supported =
      ACCESS.IB_UVERBS_ACCESS_LOCAL_WRITE |
      (nic.can('RDMA_READ') ? ACCESS.IB_UVERBS_ACCESS_REMOTE_READ : 0) |
      (nic.can('RDMA_WRITE') ? ACCESS.IB_UVERBS_ACCESS_REMOTE_WRITE : 0);
    const wanted = access & ~ACCESS.IB_UVERBS_ACCESS_OPTIONAL_RANGE;
    if ((wanted & ~supported) !== 0) {
      const [flags, most] = [wanted.toString(16), supported.toString(16)];
      refuseWith(this.nic, 'EOPNOTSUPP', `Unsupported access flags[0x${flags}], supported[0x${most}]`);
    }
    const memory = pin();
    const keys = yield* cleaning(this.#register(pd, memory, virtual, access), () => memory.release());
    pd.users++;
    return {
      lkey: keys.l_key,
      rkey: keys.r_key,
      length: memory.length,
      iova: 0n,
      interconnect: {
        recv: keys.recv_ic_id,
        read: keys.rdma_read_ic_id,
        received: keys.rdma_recv_ic_id,
        valid: keys.validity,
      },
      *destroy() {
        yield* nic.command('DEREG_MR', { l_key: keys.l_key });
        memory.release();
        pd.users--;
      },
    };
  }

  /** efa_register_mr. */
  *#register(pd: ProtectionDomain, memory: UserMemory, virtual: bigint, access: number) {
    const { nic } = this;
    const sizes = BigInt(nic.attributes.device.page_size_cap);
    const size = bestPageSize(memory, sizes, virtual);
    if (size === undefined) {
      const text = sizes.toString(16);
      refuseWith(this.nic, 'EOPNOTSUPP', `Failed to find a suitable page size in page_size_cap 0x${text}`);
    }
    const list = makePageList(nic.kernel, blocks(memory, size, virtual));
    const flag = (name: keyof typeof ACCESS) => ((access & ACCESS[name]) !== 0 ? 1 : 0);
    const fill = (payload: Uint8Array) => {
      const view = new DataView(payload.buffer, payload.byteOffset);
      view.setBigUint64(REG_MR.LENGTH, memory.length, true);
      view.setBigUint64(REG_MR.IOVA, virtual, true);
      list.fill?.(payload);
    };
    const values = {
      pd: pd.number,
      phys_page_size_shift: Math.log2(size),
      local_write: flag('IB_UVERBS_ACCESS_LOCAL_WRITE'),
      remote_write: flag('IB_UVERBS_ACCESS_REMOTE_WRITE'),
      remote_read: flag('IB_UVERBS_ACCESS_REMOTE_READ'),
    };
    const { flags = 0 } = list;
    try {
      return yield* nic.command('REG_MR', values, { flags, fill });
    } finally {
      list.free();
    }
  }

  /** efa_create_event_counter: a command that the device does not offer. @throws SystemError EOPNOTSUPP */
  *eventCounter(context: UserContext, memory: UserMemory): Steps {
    const payload = new Uint8Array(COUNTER.SIZE);
    const view = new DataView(payload.buffer);
    view.setUint16(0, context.uar, true);
    view.setBigUint64(COUNTER.ADDRESS, BigInt(startOf(memory)), true);
    try {
      yield* this.nic.admin.execute('unknown command opcode', UNADVERTISED.CREATE_EVENT_COUNTER, payload);
    } catch (error) {
      this.nic.say('err', `Failed to create event counter [${negative(errnoOf(error))}]`);
      throw error;
    }
    throw new ModelError('unimplemented', 'CREATE_EVENT_COUNTER', 'the device has event counters');
  }
}

/** Where numbers of 64 bits are in the command REG_MR, which its row has as doubles. */
const REG_MR = { LENGTH: 36, IOVA: 52 } as const;
/** struct efa_admin_create_event_counter_cmd. */
const COUNTER = { SIZE: 12, ADDRESS: 4 } as const;
/** An address as the kernel prints it (%pI6). */
function groups(address: Uint8Array): string {
  const hex = Array.from(address, (byte) => byte.toString(16).padStart(2, '0')).join('');
  return (hex.match(/.{4}/g) ?? []).join(':');
}
