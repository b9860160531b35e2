// Finding 0014: the size of a receive queue's ring is the size of an allocation.
//
//   npx sagrada run --on vm --machine gaudi-efa docs/findings/0014.ts

import { connect, DriverError, RdmaContext } from 'sagrada';
import { efa_ibv_create_qp, efa_ibv_create_qp_resp, efaConstants } from '../../src/uapi/rdma/efa.ts';
import { ib_uverbs_qp_cap, qpTypes } from '../../src/uapi/rdma/verbs.ts';

const nic = RdmaContext.open({ driver: connect({ machine: 'gaudi-efa' }) });
const pd = nic.allocatePd();
const cq = nic.createCq();
for (const bytes of [4 * 2 ** 20, 8 * 2 ** 20, 0xffff_f001]) {
  const what = `a ring of ${bytes} bytes for 16 receives`;
  try {
    nic.verbs.call('UVERBS_METHOD_QP_CREATE', {
      UVERBS_ATTR_CREATE_QP_HANDLE: 'new',
      UVERBS_ATTR_CREATE_QP_PD_HANDLE: pd.handle,
      UVERBS_ATTR_CREATE_QP_SEND_CQ_HANDLE: cq.handle,
      UVERBS_ATTR_CREATE_QP_RECV_CQ_HANDLE: cq.handle,
      UVERBS_ATTR_CREATE_QP_USER_HANDLE: 0,
      UVERBS_ATTR_CREATE_QP_CAP: ib_uverbs_qp_cap.encode({
        max_send_wr: 16,
        max_recv_wr: 16,
        max_send_sge: 1,
        max_recv_sge: 1,
      }),
      UVERBS_ATTR_CREATE_QP_TYPE: qpTypes.IB_UVERBS_QPT_DRIVER.value,
      UVERBS_ATTR_CREATE_QP_RESP_CAP: { room: ib_uverbs_qp_cap.size },
      UVERBS_ATTR_CREATE_QP_RESP_QP_NUM: { room: 4 },
      UVERBS_ATTR_UHW_IN: efa_ibv_create_qp.encode({
        rq_ring_size: bytes,
        sq_ring_size: 16 * 64,
        driver_qp_type: efaConstants.EFA_QP_DRIVER_TYPE_SRD.value,
      }),
      UVERBS_ATTR_UHW_OUT: { room: efa_ibv_create_qp_resp.size },
    });
    console.log(`${what}: made`);
  } catch (error) {
    if (!(error instanceof DriverError)) throw error;
    console.log(`${what}: ${error.code}`);
  }
}
