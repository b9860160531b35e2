/** Numbers of the InfiniBand architecture that the interface uses and its headers do not have. Source: rdma/ib_verbs.h of the kernel. */

import { constant } from '../rows.ts';

/** enum ib_qp_state */
export const qpStates = {
  IB_QPS_RESET: constant(0, ''),
  IB_QPS_INIT: constant(1, ''),
  IB_QPS_RTR: constant(2, 'ready to receive'),
  IB_QPS_RTS: constant(3, 'ready to send'),
  IB_QPS_SQD: constant(4, 'the send queue is drained'),
  IB_QPS_SQE: constant(5, 'the send queue has failed'),
  IB_QPS_ERR: constant(6, 'failed: work is flushed'),
} as const;

/** enum ib_qp_attr_mask */
export const qpAttributeMask = {
  IB_QP_STATE: constant(0x1, ''),
  IB_QP_CUR_STATE: constant(0x2, ''),
  IB_QP_EN_SQD_ASYNC_NOTIFY: constant(0x4, ''),
  IB_QP_ACCESS_FLAGS: constant(0x8, ''),
  IB_QP_PKEY_INDEX: constant(0x10, ''),
  IB_QP_PORT: constant(0x20, ''),
  IB_QP_QKEY: constant(0x40, ''),
  IB_QP_RNR_RETRY: constant(0x800, ''),
  IB_QP_SQ_PSN: constant(0x1_0000, ''),
} as const;

/** enum ib_port_state */
export const portStates = {
  IB_PORT_DOWN: constant(1, ''),
  IB_PORT_INIT: constant(2, ''),
  IB_PORT_ARMED: constant(3, ''),
  IB_PORT_ACTIVE: constant(4, ''),
} as const;
