/**
 * Which changes of a queue pair the driver lets through, and with which attributes. Source: efa_verbs.c (srd_qp_state_table,
 * efa_modify_srd_qp_is_ok), core/verbs.c (qp_state_table, ib_modify_qp_is_ok) for UD, which differ in RNR retries alone.
 */

import { qpAttributeMask, qpStates } from '../../../uapi/rdma/ib.ts';
import { values } from '../../../uapi/rows.ts';

const MASK = values(qpAttributeMask);
const { IB_QPS_RESET, IB_QPS_INIT, IB_QPS_RTR, IB_QPS_RTS, IB_QPS_SQD, IB_QPS_SQE, IB_QPS_ERR } = values(qpStates);

const { IB_QP_PKEY_INDEX, IB_QP_PORT, IB_QP_QKEY, IB_QP_SQ_PSN, IB_QP_CUR_STATE, IB_QP_EN_SQD_ASYNC_NOTIFY } = MASK;
const PLACE = IB_QP_PKEY_INDEX | IB_QP_PORT | IB_QP_QKEY;
const AGAIN = IB_QP_CUR_STATE | IB_QP_QKEY;

interface Change {
  readonly from: number;
  readonly to: number;
  readonly required: number;
  readonly optional: number;
}

function change(from: number, to: number, required = 0, optional = 0): Change {
  return { from, to, required, optional };
}

const CHANGES: readonly Change[] = [
  change(IB_QPS_RESET, IB_QPS_INIT, PLACE),
  change(IB_QPS_INIT, IB_QPS_INIT, 0, PLACE),
  change(IB_QPS_INIT, IB_QPS_RTR, 0, IB_QP_PKEY_INDEX | IB_QP_QKEY),
  change(IB_QPS_RTR, IB_QPS_RTS, IB_QP_SQ_PSN, AGAIN),
  change(IB_QPS_RTS, IB_QPS_RTS, 0, AGAIN),
  change(IB_QPS_RTS, IB_QPS_SQD, 0, IB_QP_EN_SQD_ASYNC_NOTIFY),
  change(IB_QPS_SQD, IB_QPS_RTS, 0, AGAIN),
  change(IB_QPS_SQD, IB_QPS_SQD, 0, IB_QP_PKEY_INDEX | IB_QP_QKEY),
  change(IB_QPS_SQE, IB_QPS_RTS, 0, AGAIN),
];

const ALL = Object.values(values(qpStates));
/** To RESET from everywhere, to ERR from everywhere but RESET. */
const ENDS: readonly Change[] = [
  ...ALL.map((from) => change(from, IB_QPS_RESET)),
  ...ALL.filter((from) => from !== IB_QPS_RESET).map((from) => change(from, IB_QPS_ERR)),
];

const TABLE = [...CHANGES, ...ENDS];
/** States that a caller may say a queue pair is in. */
const TOLD: readonly number[] = [IB_QPS_RTR, IB_QPS_RTS, IB_QPS_SQD, IB_QPS_SQE];

/** @param mask attributes given, IB_QP_* @param reliable SRD, not UD */
export function mayChange(from: number, to: number, mask: number, reliable: boolean): boolean {
  if ((mask & IB_QP_CUR_STATE) !== 0 && !TOLD.includes(from)) return false;
  const found = TABLE.find((one) => one.from === from && one.to === to);
  if (!found || (mask & found.required) !== found.required) return false;
  const retries = reliable && from === IB_QPS_RTR && to === IB_QPS_RTS ? MASK.IB_QP_RNR_RETRY : 0;
  return (mask & ~(found.required | found.optional | retries | MASK.IB_QP_STATE)) === 0;
}
