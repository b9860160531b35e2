/** What the device tells about itself, and what the host may set. */

import { DEVICE_CAP, FEATURE, features, hostInfo } from '../../specs/efa/admin.ts';
import { INLINE_MAX, TX_WQE } from '../../specs/efa/io.ts';
import type { Steps } from '../sim/process.ts';
import { AdminError } from './admin-error.ts';
import { AENQ_GROUPS, type AsyncEvents } from './aenq.ts';
import { ADDRESS_WIDTH, read } from './dma.ts';
import { DOORBELL_BAR, LINK_GBPS } from './limits.ts';
import type { Nic } from './nic.ts';

export interface FeatureInput {
  readonly enabledGroups: number;
  /** In host memory. */
  readonly buffer: { readonly address: number; readonly length: number } | undefined;
}

/** What the driver says about its host. */
export interface HostInfo {
  readonly distribution: string;
  readonly kernel: string;
  readonly flags: number;
}

/** Any will do: the driver shows them (efa_verbs.c, fw_ver). */
const VERSIONS = { fw_version: 1, admin_api_version: 1, device_version: 0xefa1 } as const;

export class Features {
  readonly #nic: Nic;
  readonly #events: AsyncEvents;
  host: HostInfo | undefined;

  constructor(nic: Nic, events: AsyncEvents) {
    this.#nic = nic;
    this.#events = events;
  }

  reset(): void {
    this.host = undefined;
  }

  /** @throws AdminError for a feature that there is not, or that cannot be told */
  get(id: number, target: Uint8Array): void {
    const { limits, network, address } = this.#nic.ports;
    if (id === FEATURE.DEVICE_ATTR) {
      const view = new DataView(address.buffer, address.byteOffset);
      features.DEVICE_ATTR.encode(target, {
        supported_features: Object.values(FEATURE).reduce((all, feature) => all | (1 << feature), 0),
        page_size_cap: limits.pageSizes,
        ...VERSIONS,
        db_bar: DOORBELL_BAR,
        phys_addr_width: ADDRESS_WIDTH,
        virt_addr_width: ADDRESS_WIDTH,
        device_caps: limits.caps,
        max_rdma_size: limits.caps & (DEVICE_CAP.RDMA_READ | DEVICE_CAP.RDMA_WRITE) ? limits.maxRdmaSize : 0,
        guid_lo: view.getUint32(8, true),
        guid_hi: view.getUint32(12, true),
        max_link_speed_gbps: LINK_GBPS,
      });
    } else if (id === FEATURE.QUEUE_ATTR_1) {
      features.QUEUE_ATTR_1.encode(target, {
        max_qp: limits.maxQp,
        max_sq_depth: limits.maxSqDepth,
        inline_buf_size: INLINE_MAX[TX_WQE.SIZE],
        max_rq_depth: limits.maxRqDepth,
        max_cq: limits.maxCq,
        max_cq_depth: limits.maxCqDepth,
        sub_cqs_per_cq: limits.subCqs,
        max_wr_send_sges: TX_WQE.SEND_BUFFERS,
        max_wr_recv_sges: 2,
        max_mr: limits.maxMr,
        max_mr_pages: limits.maxMrPages,
        max_pd: limits.maxPd,
        max_ah: limits.maxAh,
        max_llq_size: limits.maxLlqSize,
        max_wr_rdma_sges: TX_WQE.RDMA_BUFFERS,
      });
    } else if (id === FEATURE.NETWORK_ATTR) {
      target.set(address);
      features.NETWORK_ATTR.encode(target, { mtu: network.mtu });
    } else if (id === FEATURE.EVENT_QUEUE_ATTR) {
      features.EVENT_QUEUE_ATTR.encode(target, {
        max_eq: limits.maxEq,
        max_eq_depth: limits.maxEqDepth,
        event_bitmask: 1,
      });
    } else if (id === FEATURE.AENQ_CONFIG) {
      features.AENQ_CONFIG.encode(target, { supported_groups: AENQ_GROUPS, enabled_groups: this.#events.enabled });
    } else if (id === FEATURE.HW_HINTS) {
      // Nothing to hint at: the driver's own timeouts are good.
      features.HW_HINTS.encode(target, {});
    } else throw new AdminError('ILLEGAL_PARAMETER', `feature ${id}`);
  }

  /** @throws AdminError, BusFault */
  *set(id: number, input: FeatureInput): Steps {
    if (id === FEATURE.AENQ_CONFIG) {
      if ((input.enabledGroups & ~AENQ_GROUPS) !== 0) throw new AdminError('ILLEGAL_PARAMETER', 'groups');
      this.#events.enabled = input.enabledGroups;
    } else if (id === FEATURE.HOST_INFO) {
      const { buffer } = input;
      if (!buffer || buffer.length < hostInfo.size) throw new AdminError('ILLEGAL_PARAMETER', 'host information');
      const bytes = yield* read(this.#nic.ports.dma, buffer.address, hostInfo.size);
      const { flags } = hostInfo.decode(bytes);
      this.host = { distribution: text(bytes.subarray(0, 128)), kernel: text(bytes.subarray(132, 164)), flags };
    } else throw new AdminError('ILLEGAL_PARAMETER', `feature ${id}`);
  }
}

function text(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  return new TextDecoder().decode(end < 0 ? bytes : bytes.subarray(0, end));
}
