/** What a NIC's port is, as the core asks the driver. Source: efa_verbs.c (efa_query_port, efa_query_device). */

import { efaConstants } from '../../../uapi/rdma/efa.ts';
import { portStates } from '../../../uapi/rdma/ib.ts';
import { values } from '../../../uapi/rows.ts';
import type { Nic } from './nic.ts';

const EFA = values(efaConstants);
const { IB_PORT_ACTIVE } = values(portStates);
/** IB_PORT_PHYS_STATE_LINK_UP. */
const LINK_UP = 5;
const PAGE = 4096n;

/** enum ib_port_speed, enum ib_port_width (rdma/ib_verbs.h). */
const SPEED = { SDR: 1, DDR: 2, FDR10: 8, EDR: 32, HDR: 64, NDR: 128, XDR: 256 } as const;
const WIDTH = { X1: 1, X4: 2, X8: 4, X12: 8 } as const;
/** From so many Gb/s on (efa_link_gbps_to_speed_and_width). */
const SPEEDS = [
  { from: 1600, speed: SPEED.XDR, width: WIDTH.X8 },
  { from: 800, speed: SPEED.NDR, width: WIDTH.X8 },
  { from: 400, speed: SPEED.HDR, width: WIDTH.X8 },
  { from: 200, speed: SPEED.HDR, width: WIDTH.X4 },
  { from: 120, speed: SPEED.FDR10, width: WIDTH.X12 },
  { from: 100, speed: SPEED.EDR, width: WIDTH.X4 },
  { from: 60, speed: SPEED.DDR, width: WIDTH.X12 },
  { from: 50, speed: SPEED.HDR, width: WIDTH.X1 },
  { from: 40, speed: SPEED.FDR10, width: WIDTH.X4 },
  { from: 30, speed: SPEED.SDR, width: WIDTH.X12 },
] as const;
const SLOWEST = { speed: SPEED.EDR, width: WIDTH.X1 } as const;
/** enum ib_mtu: 1 is 256 bytes, 5 is 4096. */
const MTU = { SMALLEST: 256, CODES: 5 } as const;

export function speedOf(nic: Nic): { readonly speed: number; readonly width: number } {
  return SPEEDS.find(({ from }) => nic.attributes.linkSpeed >= from) ?? SLOWEST;
}

/** ib_mtu_int_to_enum */
function mtuCode(mtu: number): number {
  return Math.max(1, Math.min(MTU.CODES, Math.floor(Math.log2(mtu / MTU.SMALLEST)) + 1));
}

/** Members of struct ib_uverbs_query_port_resp that are not 0. */
export function portOf(nic: Nic) {
  const { speed, width } = speedOf(nic);
  const { mtu } = nic.attributes;
  return {
    state: IB_PORT_ACTIVE,
    phys_state: LINK_UP,
    max_mtu: mtuCode(mtu),
    active_mtu: mtuCode(mtu),
    max_msg_sz: mtu,
    gid_tbl_len: 1,
    pkey_tbl_len: 1,
    lmc: 1,
    max_vl_num: 1,
    active_width: width,
    active_speed: Math.min(speed, SPEED.NDR),
  };
}

/** Members of struct ib_uverbs_query_device_resp that are not 0. */
export function deviceOf(nic: Nic) {
  const { queues, device, guid } = nic.attributes;
  return {
    node_guid: new DataView(guid.buffer, guid.byteOffset).getBigUint64(0, true),
    max_mr_size: BigInt(queues.max_mr_pages) * PAGE,
    page_size_cap: BigInt(device.page_size_cap),
    vendor_id: nic.pci.vendor,
    vendor_part_id: nic.pci.deviceId,
    hw_ver: nic.pci.subsystem,
    max_qp: queues.max_qp,
    max_qp_wr: Math.min(queues.max_sq_depth, queues.max_rq_depth),
    max_sge: Math.min(queues.max_wr_send_sges, queues.max_wr_recv_sges),
    max_sge_rd: queues.max_wr_rdma_sges,
    max_cq: queues.max_cq,
    max_cqe: queues.max_cq_depth,
    max_mr: queues.max_mr,
    max_pd: queues.max_pd,
    max_ah: queues.max_ah,
    max_pkeys: 1,
    phys_port_cnt: 1,
  };
}

/** Members of struct efa_ibv_ex_query_device_resp. */
export function capabilitiesOf(nic: Nic) {
  const { queues, device } = nic.attributes;
  const offers = (has: boolean, flag: number) => (has ? flag : 0);
  return {
    max_sq_wr: queues.max_sq_depth,
    max_rq_wr: queues.max_rq_depth,
    max_sq_sge: queues.max_wr_send_sges,
    max_rq_sge: queues.max_wr_recv_sges,
    max_rdma_size: device.max_rdma_size,
    device_caps:
      EFA.EFA_QUERY_DEVICE_CAPS_CQ_WITH_SGID |
      EFA.EFA_QUERY_DEVICE_CAPS_CQ_WITH_EXT_MEM |
      offers(nic.can('RDMA_READ'), EFA.EFA_QUERY_DEVICE_CAPS_RDMA_READ) |
      offers(nic.can('RNR_RETRY'), EFA.EFA_QUERY_DEVICE_CAPS_RNR_RETRY) |
      offers(nic.can('DATA_POLLING_128'), EFA.EFA_QUERY_DEVICE_CAPS_DATA_POLLING_128) |
      offers(nic.can('RDMA_WRITE'), EFA.EFA_QUERY_DEVICE_CAPS_RDMA_WRITE) |
      offers(nic.can('UNSOLICITED_WRITE_RECV'), EFA.EFA_QUERY_DEVICE_CAPS_UNSOLICITED_WRITE_RECV) |
      offers(nic.events.length > 0, EFA.EFA_QUERY_DEVICE_CAPS_CQ_NOTIFICATIONS),
  };
}
