"""Exports memory of a Gaudi, registers it with the NIC, and moves bytes there and back; says what came of it.

Arguments: the request number and the encoded argument (hexadecimal) of the export, and the bytes exported.
"""
import fcntl
import os
import random
import struct
import sys

import pyverbs.device
import pyverbs.enums as e
import pyverbs.providers.efa.efa_enums as efa_e
import pyverbs.providers.efa.efadv as efa
from pyverbs.addr import AH, AHAttr, GlobalRoute
from pyverbs.cq import CQ
from pyverbs.mr import MR, DmaBufMR
from pyverbs.pd import PD
from pyverbs.pyverbs_error import PyverbsRDMAError
from pyverbs.qp import QPAttr, QPCap, QPInitAttrEx
from pyverbs.wr import SGE

request, argument, size = int(sys.argv[1]), bytearray.fromhex(sys.argv[2]), int(sys.argv[3])
accel = os.open('/dev/accel/accel0', os.O_RDWR | os.O_CLOEXEC)
fcntl.ioctl(accel, request, argument, True)
descriptor = struct.unpack_from('<i', argument)[0]

context = pyverbs.device.Context(name='efa_0')
domain = PD(context)
cq = CQ(context, 64)
access = e.IBV_ACCESS_LOCAL_WRITE | e.IBV_ACCESS_REMOTE_READ | e.IBV_ACCESS_REMOTE_WRITE
try:
    card = DmaBufMR(domain, size, access, dmabuf=descriptor, offset=0)
except PyverbsRDMAError as error:
    print('refused', error.error_code)
    sys.exit(0)
host = MR(domain, 2 * size, access)
operations = e.IBV_QP_EX_WITH_RDMA_READ | e.IBV_QP_EX_WITH_RDMA_WRITE
attributes = QPInitAttrEx(cap=QPCap(64, 64, 1, 1), qp_type=e.IBV_QPT_DRIVER, scq=cq, rcq=cq, pd=domain,
                          send_ops_flags=operations,
                          comp_mask=e.IBV_QP_INIT_ATTR_PD | e.IBV_QP_INIT_ATTR_SEND_OPS_FLAGS)
reliable = efa.EfaQPInitAttr()
reliable.driver_qp_type = efa_e.EFADV_QP_DRIVER_TYPE_SRD
qp = efa.SRDQPEx(context, attributes, reliable)
state = QPAttr(port_num=1)
state.qkey, state.pkey_index, state.sq_psn = 0x11, 0, 1
qp.to_rts(state)
route = GlobalRoute(dgid=context.query_gid(1, 0), sgid_index=0)
handle = AH(domain, attr=AHAttr(gr=route, is_global=1, port_num=1))


def move(start, local, at, length, remote, to):
    qp.wr_start()
    qp.wr_flags = e.IBV_SEND_SIGNALED
    start(remote.rkey, to)
    qp.wr_set_ud_addr(handle, qp.qp_num, 0x11)
    qp.wr_set_sge(SGE(at, length, local.lkey))
    qp.wr_complete()
    while True:
        count, completions = cq.poll()
        if count:
            return completions[0].status


data = random.Random(5).randbytes(size)
host.write(data, size)
print('write', move(qp.wr_rdma_write, host, host.buf, size, card, 0))
print('read', move(qp.wr_rdma_read, host, host.buf + size, size, card, 0))
print('equal', host.read(size, size) == data)
print('beyond', move(qp.wr_rdma_write, host, host.buf, 64, card, size - 8))
os.close(descriptor)
os.close(accel)
print('closed', move(qp.wr_rdma_read, host, host.buf + size, 4096, card, 4096))
