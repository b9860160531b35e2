import { active, registerBlock, storage } from '../../../src/sim/registers.ts';

/** Source: gaudi_regs.h (SOB_OBJ_0 to _2047, MON_STATUS_0 to _511). */
export const SYNC_OBJECTS = 2048;
export const MONITORS = 512;
/** Sync objects that one monitor can watch (gaudiP.h, MONITOR_MAX_SOBS). */
export const GROUP_SIZE = 8;

/**
 * The four instances. `offset` is within the configuration space (gaudi_blocks.h, mmSYNC_MNGR_OBJS_*_BASE), `event` the
 * asynchronous event of their errors (gaudi_async_events.h, GAUDI_EVENT_DMA_IF_SEI_n, in the order in which
 * gaudi_print_sm_sei_info names them).
 */
export const syncManagers = {
  E_N: { offset: 0x4f_1000, event: 280 },
  E_S: { offset: 0x4b_1000, event: 278 },
  W_N: { offset: 0x4d_1000, event: 279 },
  W_S: { offset: 0x49_1000, event: 277 },
} as const;

/** Source: gaudi_packets.h, GAUDI_PKT_SHORT_VAL_SOB_*. */
export const SOB = { VALUE: 0x7fff, SIGN: 0x4000, ADD: 0x8000_0000 } as const;
/** Source: gaudi_masks.h, MON_ARM. A 0 in MASK makes the sync object take part; SOP 0 is >=, 1 is ==. */
export const ARM = { SID: 0xff, MASK_SHIFT: 8, MASK: 0xff00, SOP: 0x1_0000, SOD_SHIFT: 17 } as const;
/** Source: gaudi_masks.h, MON_STATUS. */
export const STATUS = { VALID: 1 << 0, PENDING_SHIFT: 1, PENDING: 0x1fe } as const;
/** Source: cpucp_if.h, enum hl_sm_sei_cause. */
export const SEI_CAUSE = { SO_OVERFLOW: 0, LBW_4B_UNALIGNED: 1, AXI_RESPONSE_ERR: 2 } as const;

export const syncManager = registerBlock(
  'SYNC_MNGR_OBJS',
  { size: 0x5c00, source: 'habanalabs include/gaudi/asic_reg/gaudi_regs.h, gaudi_masks.h' },
  {
    SOB_OBJ: active(0x1000, 'Sync object: a 15-bit counter. Bit 31 of what is written: add, else set.', {
      count: SYNC_OBJECTS,
    }),
    MON_PAY_ADDRL: storage(0x3000, 'Where the monitor writes, 31:0.', { count: MONITORS }),
    MON_PAY_ADDRH: storage(0x3800, 'Where the monitor writes, 63:32.', { count: MONITORS }),
    MON_PAY_DATA: storage(0x4000, 'What it writes there.', { count: MONITORS }),
    MON_ARM: active(0x4800, 'Arms the monitor: group, mask, comparison and value.', { count: MONITORS }),
    MON_STATUS: active(0x5000, 'VALID: armed. PENDING: objects whose condition has not been met. Writing 0 disarms.', {
      count: MONITORS,
    }),
  },
);
