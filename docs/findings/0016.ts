// Finding 0016: memory for a completion queue, of which the length is not given, is not used.
//
//   npx sagrada run --on vm --machine gaudi-efa docs/findings/0016.ts

import { connect, DriverError, RdmaContext } from 'sagrada';
import { completion } from '../../specs/efa/io.ts';
import { efa_ibv_create_cq, efa_ibv_create_cq_resp } from '../../src/uapi/rdma/efa.ts';

const nic = RdmaContext.open({ driver: connect({ machine: 'gaudi-efa' }) });
using memory = nic.allocatePd().allocate(4096);

function create(length: bigint | undefined): string {
  try {
    const answer = nic.verbs.call('UVERBS_METHOD_CQ_CREATE', {
      UVERBS_ATTR_CREATE_CQ_HANDLE: 'new',
      UVERBS_ATTR_CREATE_CQ_CQE: 128,
      UVERBS_ATTR_CREATE_CQ_USER_HANDLE: 0,
      UVERBS_ATTR_CREATE_CQ_COMP_VECTOR: 0,
      UVERBS_ATTR_CREATE_CQ_RESP_CQE: { room: 4 },
      UVERBS_ATTR_CREATE_CQ_BUFFER_VA: memory.address,
      UVERBS_ATTR_CREATE_CQ_BUFFER_LENGTH: length,
      UVERBS_ATTR_UHW_IN: efa_ibv_create_cq.encode({
        cq_entry_size: completion.size,
        num_sub_cqs: nic.limits.sub_cqs_per_cq,
      }),
      UVERBS_ATTR_UHW_OUT: { room: efa_ibv_create_cq_resp.size },
    });
    const { q_mmap_size } = efa_ibv_create_cq_resp.decode(answer.bytes('UVERBS_ATTR_UHW_OUT'));
    return q_mmap_size > 0n ? `made, in ${q_mmap_size} bytes of the kernel` : 'made';
  } catch (error) {
    if (!(error instanceof DriverError)) throw error;
    return error.code;
  }
}

console.log(`memory of 4096 bytes: ${create(4096n)}`);
console.log(`memory without a length: ${create(undefined)}`);
