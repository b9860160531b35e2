/** Rows of random sequences for the network cards: objects of verbs by their handles, also by those that are gone or of another card. */

import { SystemError } from '../../driver/driver.ts';
import { DriverError, NoDeviceError } from '../../runtime/errors.ts';
import { RdmaContext } from '../../runtime/verbs/device.ts';
import { roomFor, type VerbsNode } from '../../runtime/verbs/node.ts';
import {
  efa_ibv_alloc_pd_resp,
  efa_ibv_create_ah_resp,
  efa_ibv_create_cq,
  efa_ibv_create_cq_resp,
  efa_ibv_create_qp,
  efa_ibv_create_qp_resp,
} from '../../uapi/rdma/efa.ts';
import { ib_uverbs_qp_cap, qpTypes } from '../../uapi/rdma/verbs.ts';
import { type Kinds, mostly, type Operation, operation, pick } from './operation-rows.ts';

const PAGE = 4096;
/** Bytes of a descriptor of a receive, and of a work request. */
const RECEIVE = 16;
const SEND = 64;

/** What runtime makes of an errno, as an errno again. @throws SystemError */
function plainly<T>(nic: Kinds['nic'], body: (verbs: VerbsNode) => T): T {
  // EBADF, as a descriptor would be that is none
  if (!nic) throw new SystemError('verbs', 9);
  try {
    return body(nic.verbs);
  } catch (error) {
    throw error instanceof DriverError && error.cause instanceof SystemError ? error.cause : error;
  }
}

const row: typeof operation = (more) => ({ ...operation(more), needs: 'nic' });

export const rdmaOperations: Readonly<Record<string, Operation>> = {
  open_nic: row({
    weight: 4,
    takes: [],
    makes: 'nic',
    draw: (random) => ({ card: mostly(random, [0, 0, 1], [7]) }),
    perform({ driver }, _, { card }) {
      try {
        return RdmaContext.open({ driver, index: card ?? 0 });
      } catch (error) {
        // ENODEV
        if (error instanceof NoDeviceError) throw new SystemError('open', 19);
        throw error instanceof DriverError && error.cause instanceof SystemError ? error.cause : error;
      }
    },
  }),
  close_nic: row({ weight: 1, takes: ['nic'], ends: 0, perform: (_, [nic]) => nic?.close() }),
  query_nic: row({
    weight: 1,
    takes: ['nic'],
    draw: (random) => ({ what: random.below(3), port: mostly(random, [1], [0, 2, 255]) }),
    perform(_, [nic], { what = 0, port = 1 }) {
      plainly(nic, () => {
        if (what === 0) nic?.query();
        else if (what === 1) nic?.queryPort(port);
        else nic?.address(port >> 1, 1);
      });
    },
  }),
  pd_alloc: row({
    weight: 4,
    takes: ['nic'],
    makes: 'pd',
    perform: (_, [nic]) =>
      plainly(
        nic,
        (verbs) => verbs.command('IB_USER_VERBS_CMD_ALLOC_PD', {}, { out: efa_ibv_alloc_pd_resp.size }).core.pd_handle,
      ),
  }),
  pd_dealloc: row({
    weight: 1,
    takes: ['nic', 'pd'],
    ends: 1,
    perform: (_, [nic, pd]) =>
      plainly(nic, (verbs) => void verbs.call('UVERBS_METHOD_PD_DESTROY', { UVERBS_ATTR_DESTROY_PD_HANDLE: pd })),
  }),
  mr_register: row({
    weight: 4,
    takes: ['nic', 'pd', 'memory'],
    makes: 'mr',
    draw: (random) => ({
      offset: mostly(random, [0], [8, PAGE]),
      length: mostly(random, [PAGE, 100, 2 * PAGE], [0, 1]),
      access: mostly(random, [0, 1, 7], [2, 0x10, 0x20, 0x400, 0x10_0000]),
    }),
    wild: ['access'],
    perform(_, [nic, pd, memory], { offset = 0, length = 0, access = 0 }) {
      const start = memory === undefined ? 0x10_0000n : memory.address + BigInt(offset);
      // what lies behind the memory is another's
      const bytes = Math.max(0, Math.min(length, (memory?.bytes.length ?? length) - offset));
      const asked = { start, length: bytes, hca_va: start, pd_handle: pd, access_flags: access };
      return plainly(nic, (verbs) => verbs.command('IB_USER_VERBS_CMD_REG_MR', asked).core.mr_handle);
    },
  }),
  mr_register_dmabuf: row({
    weight: 2,
    takes: ['nic', 'pd', 'dmabuf'],
    makes: 'mr',
    draw: (random) => ({
      offset: mostly(random, [0], [8, PAGE]),
      length: mostly(random, [PAGE, 0x20_0000], [0, 1, 0x4000_0000]),
      access: mostly(random, [1, 7], [0x20, 0x400]),
    }),
    perform: (_, [nic, pd, fd], { offset = 0, length = 0, access = 0 }) =>
      plainly(nic, (verbs) =>
        verbs
          .call('UVERBS_METHOD_REG_DMABUF_MR', {
            UVERBS_ATTR_REG_DMABUF_MR_HANDLE: 'new',
            UVERBS_ATTR_REG_DMABUF_MR_PD_HANDLE: pd,
            UVERBS_ATTR_REG_DMABUF_MR_OFFSET: BigInt(offset),
            UVERBS_ATTR_REG_DMABUF_MR_LENGTH: length,
            UVERBS_ATTR_REG_DMABUF_MR_IOVA: BigInt(offset),
            UVERBS_ATTR_REG_DMABUF_MR_FD: fd,
            UVERBS_ATTR_REG_DMABUF_MR_ACCESS_FLAGS: access,
            UVERBS_ATTR_REG_DMABUF_MR_RESP_LKEY: { room: 4 },
            UVERBS_ATTR_REG_DMABUF_MR_RESP_RKEY: { room: 4 },
          })
          .number('UVERBS_ATTR_REG_DMABUF_MR_HANDLE'),
      ),
  }),
  mr_deregister: row({
    weight: 2,
    takes: ['nic', 'mr'],
    ends: 1,
    perform: (_, [nic, mr]) =>
      plainly(nic, (verbs) => void verbs.call('UVERBS_METHOD_MR_DESTROY', { UVERBS_ATTR_DESTROY_MR_HANDLE: mr })),
  }),
  cq_create: row({
    weight: 3,
    takes: ['nic'],
    makes: 'cq',
    draw: (random) => ({
      entries: mostly(random, [1, 16, 128, 100], [0, 0x10000, 0x7fff_ffff]),
      vector: mostly(random, [0, 1], [99]),
      size: mostly(random, [32, 64], [0, 16, 33]),
      rings: mostly(random, [0], [1, 2, 64]),
      flags: mostly(random, [0, 2], [4, 0x80]),
    }),
    wild: ['vector', 'size', 'rings', 'flags'],
    perform: (_, [nic], { entries = 0, vector = 0, size = 0, rings = 0, flags = 0 }) =>
      plainly(nic, (verbs) => {
        const wanted = { cq_entry_size: size & 0xffff, num_sub_cqs: rings || (nic?.limits.sub_cqs_per_cq ?? 0) };
        return verbs
          .call('UVERBS_METHOD_CQ_CREATE', {
            UVERBS_ATTR_CREATE_CQ_HANDLE: 'new',
            UVERBS_ATTR_CREATE_CQ_CQE: entries,
            UVERBS_ATTR_CREATE_CQ_USER_HANDLE: 0,
            UVERBS_ATTR_CREATE_CQ_COMP_VECTOR: vector,
            UVERBS_ATTR_CREATE_CQ_RESP_CQE: { room: 4 },
            // events would need a channel
            UVERBS_ATTR_UHW_IN: efa_ibv_create_cq.encode({
              ...wanted,
              num_sub_cqs: wanted.num_sub_cqs & 0xffff,
              flags: flags & 0xfe,
            }),
            UVERBS_ATTR_UHW_OUT: roomFor(efa_ibv_create_cq_resp),
          })
          .number('UVERBS_ATTR_CREATE_CQ_HANDLE');
      }),
  }),
  cq_destroy: row({
    weight: 1,
    takes: ['nic', 'cq'],
    ends: 1,
    perform: (_, [nic, cq]) =>
      plainly(
        nic,
        (verbs) =>
          void verbs.call('UVERBS_METHOD_CQ_DESTROY', {
            UVERBS_ATTR_DESTROY_CQ_HANDLE: cq,
            UVERBS_ATTR_DESTROY_CQ_RESP: { room: 8 },
          }),
      ),
  }),
  qp_create: row({
    weight: 3,
    takes: ['nic', 'pd', 'cq', 'cq'],
    makes: 'qp',
    draw: (random) => ({
      type: mostly(random, [0, 1], [2, 3]),
      sends: mostly(random, [16, 64, 100], [0, 0x10000]),
      receives: mostly(random, [16, 64], [0, 0x10000]),
      pieces: mostly(random, [1, 2], [0, 99]),
      inline: mostly(random, [0, 32], [33, 1000]),
      ring: mostly(random, [0], [1, 2]),
      driver: mostly(random, [0], [1, 9]),
    }),
    perform(
      _,
      [nic, pd, sendCq, receiveCq],
      { type = 0, sends = 0, receives = 0, pieces = 1, inline = 0, ring = 0, driver = 0 },
    ) {
      const types = [
        qpTypes.IB_UVERBS_QPT_DRIVER.value,
        qpTypes.IB_UVERBS_QPT_UD.value,
        qpTypes.IB_UVERBS_QPT_RC.value,
        77,
      ];
      // rings that fit, that are too small, or that are not whole
      const size = (bytes: number) => [bytes, bytes / 2, bytes + 1][ring] ?? bytes;
      return plainly(nic, (verbs) =>
        verbs
          .call('UVERBS_METHOD_QP_CREATE', {
            UVERBS_ATTR_CREATE_QP_HANDLE: 'new',
            UVERBS_ATTR_CREATE_QP_PD_HANDLE: pd,
            UVERBS_ATTR_CREATE_QP_SEND_CQ_HANDLE: sendCq,
            UVERBS_ATTR_CREATE_QP_RECV_CQ_HANDLE: receiveCq,
            UVERBS_ATTR_CREATE_QP_USER_HANDLE: 0,
            UVERBS_ATTR_CREATE_QP_CAP: ib_uverbs_qp_cap.encode({
              max_send_wr: sends,
              max_recv_wr: receives,
              max_send_sge: pieces,
              max_recv_sge: pieces,
              max_inline_data: inline,
            }),
            UVERBS_ATTR_CREATE_QP_TYPE: types[type] ?? 0,
            UVERBS_ATTR_CREATE_QP_RESP_CAP: roomFor(ib_uverbs_qp_cap),
            UVERBS_ATTR_CREATE_QP_RESP_QP_NUM: { room: 4 },
            UVERBS_ATTR_UHW_IN: efa_ibv_create_qp.encode({
              rq_ring_size: Math.floor(size(Math.min(receives, 1024) * RECEIVE)),
              sq_ring_size: Math.floor(size(Math.min(sends, 1024) * SEND)),
              driver_qp_type: driver,
              flags: 0,
            }),
            UVERBS_ATTR_UHW_OUT: roomFor(efa_ibv_create_qp_resp),
          })
          .number('UVERBS_ATTR_CREATE_QP_HANDLE'),
      );
    },
  }),
  qp_destroy: row({
    weight: 1,
    takes: ['nic', 'qp'],
    ends: 1,
    perform: (_, [nic, qp]) =>
      plainly(
        nic,
        (verbs) =>
          void verbs.call('UVERBS_METHOD_QP_DESTROY', {
            UVERBS_ATTR_DESTROY_QP_HANDLE: qp,
            UVERBS_ATTR_DESTROY_QP_RESP: { room: 4 },
          }),
      ),
  }),
  qp_modify: row({
    weight: 5,
    takes: ['nic', 'qp'],
    draw: (random) => ({
      // state, current state, access, key's index, port, Q key, packet number, and what this card has not
      mask: pick(random, [0x71, 0x71, 1, 0x1_0001, 0x4_0001, 3, 0, 0x80, 0x10_0000, 0x200]),
      state: mostly(random, [1, 2, 3], [0, 4, 5, 6, 7, 99]),
      port: mostly(random, [1], [0, 2]),
      qkey: mostly(random, [0x11], [0, 0x8000_0000]),
      current: random.below(5),
    }),
    wild: ['qkey'],
    perform: (_, [nic, qp], { mask = 0, state = 0, port = 1, qkey = 0, current = 0 }) =>
      plainly(
        nic,
        (verbs) =>
          void verbs.command('IB_USER_VERBS_CMD_MODIFY_QP', {
            qp_handle: qp,
            attr_mask: mask,
            qkey,
            qp_state: state,
            cur_qp_state: current,
            port_num: port,
          }),
      ),
  }),
  ah_create: row({
    weight: 2,
    takes: ['nic', 'pd'],
    makes: 'ah',
    draw: (random) => ({
      port: mostly(random, [1], [0, 2]),
      global: mostly(random, [1], [0]),
      own: mostly(random, [1], [0]),
    }),
    perform(_, [nic, pd], { port = 1, global = 1, own = 1 }) {
      return plainly(nic, (verbs) => {
        const dgid = own === 1 && nic ? [...nic.address()] : new Array<number>(16).fill(0);
        const attr = { grh: { dgid }, is_global: global, port_num: port };
        const asked = { pd_handle: pd, attr };
        return verbs.command('IB_USER_VERBS_CMD_CREATE_AH', asked, { out: efa_ibv_create_ah_resp.size }).core.ah_handle;
      });
    },
  }),
  ah_destroy: row({
    weight: 1,
    takes: ['nic', 'ah'],
    ends: 1,
    perform: (_, [nic, ah]) =>
      plainly(nic, (verbs) => void verbs.call('UVERBS_METHOD_AH_DESTROY', { UVERBS_ATTR_DESTROY_AH_HANDLE: ah })),
  }),
};
