/** What a NIC has, and how much of it: what the feature commands tell, and what the model holds the host to. */

import { DEVICE_CAP } from '../../specs/efa/admin.ts';

export interface Limits {
  readonly maxPd: number;
  readonly maxUar: number;
  readonly maxAh: number;
  readonly maxQp: number;
  readonly maxCq: number;
  readonly maxEq: number;
  readonly maxMr: number;
  /** Of one region. */
  readonly maxMrPages: number;
  /** Runs of pages that the device holds, of all regions together. */
  readonly maxRuns: number;
  readonly maxSqDepth: number;
  readonly maxRqDepth: number;
  readonly maxCqDepth: number;
  readonly maxEqDepth: number;
  readonly subCqs: number;
  /** Bytes of one send queue. */
  readonly maxLlqSize: number;
  readonly maxRdmaSize: number;
  /** One bit per page size that regions may have. */
  readonly pageSizes: number;
  /** DEVICE_CAP bits. */
  readonly caps: number;
}

export const defaultLimits: Limits = {
  maxPd: 1024,
  maxUar: 1024,
  maxAh: 4095,
  maxQp: 256,
  maxCq: 512,
  maxEq: 8,
  maxMr: 0xffff,
  maxMrPages: 0x40_0000,
  maxRuns: 0x80_0000,
  maxSqDepth: 4096,
  maxRqDepth: 0x8000,
  maxCqDepth: 0x8000,
  maxEqDepth: 0x1000,
  subCqs: 1,
  maxLlqSize: 0x8_0000,
  maxRdmaSize: 0x4000_0000,
  pageSizes: 0xffff_f000,
  caps:
    DEVICE_CAP.RDMA_READ |
    DEVICE_CAP.RNR_RETRY |
    DEVICE_CAP.DATA_POLLING_128 |
    DEVICE_CAP.RDMA_WRITE |
    DEVICE_CAP.UNSOLICITED_WRITE_RECV,
};

/** Speed of the port. */
export const LINK_GBPS = 100;

/** Nanoseconds that so many bytes take through the port. */
export function wireTime(bytes: number): number {
  return (8 * bytes) / LINK_GBPS;
}

/** The low-latency queues, BAR 2. */
export const LLQ_SIZE = 0x100_0000;
export const PAGE = 4096;
/** Which BAR has the doorbells: a page for each queue pair, then one for each completion queue. */
export const DOORBELL_BAR = 4;
export const SQ_DOORBELL = 0;
export const RQ_DOORBELL = 8;
/** Vectors: the admin queues' own, and one per event queue. */
export const ADMIN_VECTOR = 0;
