/** Registers of EFA's BAR 0. Source: drivers/infiniband/hw/efa/efa_regs_defs.h. */

import { active, registerBlock, storage } from '../../src/sim/registers.ts';

export const CAPS = {
  CONTIGUOUS_QUEUE_REQUIRED: 0x1,
  /** Units of 100 ms. */
  RESET_TIMEOUT_SHIFT: 1,
  DMA_ADDR_WIDTH_SHIFT: 8,
  /** Units of 100 ms; 0: the driver's own default. */
  ADMIN_CMD_TO_SHIFT: 16,
} as const;
/** Of AQ_CAPS, ACQ_CAPS and AENQ_CAPS; the entry size of AQ_CAPS has 16 bits, the others have 8 and a vector. */
export const QUEUE_CAPS = { DEPTH: 0xffff, ENTRY_SIZE_SHIFT: 16, MSIX_VECTOR_SHIFT: 24 } as const;
export const INTR_MASK = { EN: 0x1 } as const;
export const DEV_CTL = { DEV_RESET: 0x1, AQ_RESTART: 0x2, RESET_REASON_SHIFT: 28 } as const;
export const DEV_STS = {
  READY: 0x01,
  AQ_RESTART_IN_PROGRESS: 0x02,
  AQ_RESTART_FINISHED: 0x04,
  RESET_IN_PROGRESS: 0x08,
  RESET_FINISHED: 0x10,
  FATAL_ERROR: 0x20,
} as const;
export const MMIO_REG_READ = { REQ_ID: 0xffff, REG_OFF_SHIFT: 16 } as const;
export const EQ_DB = { EQN: 0xffff, ARM: 0x8000_0000 } as const;

const readOnly = { access: 'ro' } as const;
const writeOnly = { access: 'wo' } as const;

export const efaRegisters = registerBlock(
  'EFA',
  { size: 0x1000, source: 'efa_regs_defs.h, EFA_REGS_*_OFF' },
  {
    VERSION: storage(0x00, 'version of the admin protocol: minor 7:0, major 15:8', readOnly),
    CONTROLLER_VERSION: storage(0x04, 'subminor 7:0, minor 15:8, major 23:16, implementation 31:24', readOnly),
    CAPS: storage(0x08, 'contiguous queue, reset timeout, DMA address width, admin command timeout', readOnly),
    AQ_BASE_LO: storage(0x10, 'bus address of the admin queue, 31:0'),
    AQ_BASE_HI: storage(0x14, 'bus address of the admin queue, 63:32'),
    AQ_CAPS: active(0x18, 'depth 15:0, entry size 31:16'),
    ACQ_BASE_LO: storage(0x20, 'bus address of the admin completion queue, 31:0'),
    ACQ_BASE_HI: storage(0x24, 'bus address of the admin completion queue, 63:32'),
    ACQ_CAPS: active(0x28, 'depth 15:0, entry size 23:16, MSI-X vector 31:24'),
    AQ_PROD_DB: active(0x2c, 'number of commands posted so far, 16 bits', writeOnly),
    AENQ_CAPS: active(0x34, 'depth 15:0, entry size 23:16, MSI-X vector 31:24'),
    AENQ_BASE_LO: storage(0x38, 'bus address of the asynchronous event notification queue, 31:0'),
    AENQ_BASE_HI: storage(0x3c, 'bus address of the asynchronous event notification queue, 63:32'),
    AENQ_CONS_DB: active(0x40, 'number of notifications taken so far', writeOnly),
    INTR_MASK: active(0x4c, 'bit 0: no interrupts of the admin queues'),
    DEV_CTL: active(0x54, 'bit 0: reset, bit 1: restart of the admin queue, 31:28: reason of the reset'),
    DEV_STS: active(0x58, 'ready, restart, reset and fatal error', readOnly),
    MMIO_REG_READ: active(0x5c, 'asks for a register: request id 15:0, offset 31:16', writeOnly),
    MMIO_RESP_LO: storage(0x60, 'bus address that such a request is answered to, 31:0'),
    MMIO_RESP_HI: storage(0x64, 'bus address that such a request is answered to, 63:32'),
    EQ_DB: active(0x68, 'number of an event queue 15:0, arm 31', writeOnly),
  },
);
