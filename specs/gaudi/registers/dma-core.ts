import { active, registerBlock, storage } from '../../../src/sim/registers.ts';

/** Bits of the registers below. Source: dma0_core_masks.h. */
export const CFG_0 = { EN: 1 << 0 } as const;
export const CFG_1 = { HALT: 1 << 0, FLUSH: 1 << 1, SB_FORCE_MISS: 1 << 2 } as const;
/** COMMIT and bits 6:0 and 23:16 of LIN_DMA's control word are the same. */
export const COMMIT = {
  WR_COMP_EN: 1 << 0,
  TRANSPOSE: 1 << 1,
  DTYPE: 1 << 2,
  LIN: 1 << 3,
  MEM_SET: 1 << 4,
  COMPRESS: 1 << 5,
  DECOMPRESS: 1 << 6,
  CTX_ID: 0xff << 16,
} as const;
export const PROT = { VAL: 1 << 0, ERR_VAL: 1 << 1 } as const;
/** Of SECURE_PROPS and NON_SECURE_PROPS. */
export const PROPS = { ASID: 0x3ff, MMBP: 1 << 10 } as const;
export const ERR_CFG = { ERR_MSG_EN: 1 << 0, STOP_ON_ERR: 1 << 1 } as const;
export const ERR_CAUSE = { HBW_RD_ERR: 1 << 0, HBW_WR_ERR: 1 << 1, LBW_WR_ERR: 1 << 2, DESC_OVF: 1 << 3 } as const;
export const STS0 = { RD_REQ_CNT: 0x7fff, WR_REQ_CNT_SHIFT: 16, BUSY: 0x8000_0000 } as const;
export const STS1 = { IS_HALT: 1 << 0 } as const;
export const DBG_STS = {
  RD_CTX_FULL: 1 << 0,
  WR_CTX_FULL: 1 << 1,
  WR_COMP_FULL: 1 << 2,
  RD_CTX_EMPTY: 1 << 3,
  WR_CTX_EMPTY: 1 << 4,
  WR_COMP_EMPTY: 1 << 5,
  TE_EMPTY: 1 << 6,
  TE_BUSY: 1 << 7,
  GSKT_EMPTY: 1 << 8,
} as const;

const tensor = { count: 4, stride: 8 } as const;

export const dmaCore = registerBlock(
  'DMA_CORE',
  { size: 0x1000, source: 'habanalabs include/gaudi/asic_reg/dma0_core_regs.h, dma0_core_masks.h' },
  {
    CFG_0: active(0x000, 'EN: the engine takes descriptors.'),
    CFG_1: active(0x004, 'HALT, FLUSH, SB_FORCE_MISS.'),
    LBW_MAX_OUTSTAND: storage(0x008, 'Limit of outstanding messages.'),
    SRC_BASE_LO: storage(0x014, 'Source address 31:0; of a memset, the pattern 31:0.'),
    SRC_BASE_HI: storage(0x018, 'Source address 63:32; of a memset, the pattern 63:32.'),
    DST_BASE_LO: storage(0x01c, 'Destination address 31:0.'),
    DST_BASE_HI: storage(0x020, 'Destination address 55:32; CTX_ID_HI in 31:24.'),
    SRC_TSIZE: storage(0x02c, 'Source rows in dimension n + 1.', tensor),
    SRC_STRIDE: storage(0x030, 'Bytes from one source row to the next in dimension n + 1.', tensor),
    SRC_TSIZE_0: storage(0x04c, 'Bytes of a source row.'),
    DST_TSIZE: storage(0x054, 'Destination rows in dimension n + 1.', tensor),
    DST_STRIDE: storage(0x058, 'Bytes from one destination row to the next in dimension n + 1.', tensor),
    DST_TSIZE_0: storage(0x074, 'Bytes of a destination row; of a linear transfer, all bytes.'),
    COMMIT: active(0x078, 'Starts a transfer with what the registers hold now.'),
    WR_COMP_WDATA: storage(0x07c, 'What is written when a transfer with WR_COMP_EN has landed.'),
    WR_COMP_ADDR_LO: storage(0x080, 'Where it is written, 31:0.'),
    WR_COMP_ADDR_HI: storage(0x084, 'Where it is written, 63:32.'),
    WR_COMP_AWUSER_31_11: storage(0x088, 'AXI user bits of that write.'),
    TE_NUMROWS: storage(0x094, 'Rows of the transpose engine.'),
    PROT: storage(0x0b8, 'VAL: accesses are secure (SECURE_PROPS applies). ERR_VAL: error messages are.'),
    SECURE_PROPS: storage(0x0f0, 'ASID and MMU bypass of secure accesses.'),
    NON_SECURE_PROPS: storage(0x0f4, 'ASID and MMU bypass of other accesses.'),
    RD_MAX_OUTSTAND: storage(0x100),
    RD_MAX_SIZE: storage(0x104),
    RD_ARCACHE: storage(0x108),
    RD_ARUSER_31_11: storage(0x110),
    RD_INFLIGHTS: active(0x114, 'Reads under way.', { access: 'ro' }),
    WR_MAX_OUTSTAND: storage(0x120),
    WR_MAX_AWID: storage(0x124),
    WR_AWCACHE: storage(0x128),
    WR_AWUSER_31_11: active(0x130, 'AXI user bits of data writes; other than bit 0 they ask for reduction in memory.', {
      reset: 1,
    }),
    WR_INFLIGHTS: active(0x134, 'Writes under way.', { access: 'ro' }),
    RD_RATE_LIM_CFG_0: storage(0x150),
    RD_RATE_LIM_CFG_1: storage(0x154),
    WR_RATE_LIM_CFG_0: storage(0x158),
    WR_RATE_LIM_CFG_1: storage(0x15c),
    ERR_CFG: storage(0x160, 'ERR_MSG_EN, STOP_ON_ERR: an error ends the transfer without completion.'),
    ERR_CAUSE: active(0x164, 'What went wrong; writing ones clears them.'),
    ERRMSG_ADDR_LO: storage(0x170, 'Where an error message is written, 31:0.'),
    ERRMSG_ADDR_HI: storage(0x174, 'Where an error message is written, 63:32.'),
    ERRMSG_WDATA: storage(0x178, 'What is written there.'),
    STS0: active(0x190, 'Requests under way and BUSY.', { access: 'ro' }),
    STS1: active(0x194, 'IS_HALT.', { access: 'ro' }),
    RD_DBGMEM_ADD: active(0x200, 'Debug access to the read buffer.'),
    RD_DBGMEM_DATA_WR: active(0x204, 'Debug access to the read buffer.'),
    RD_DBGMEM_DATA_RD: active(0x208, 'Debug access to the read buffer.'),
    RD_DBGMEM_CTRL: active(0x20c, 'Debug access to the read buffer.'),
    RD_DBGMEM_RC: active(0x210, 'Debug access to the read buffer.'),
    DBG_HBW_AXI_AR_CNT: active(0x220, 'Counts read bursts.'),
    DBG_HBW_AXI_AW_CNT: active(0x224, 'Counts write bursts.'),
    DBG_LBW_AXI_AW_CNT: active(0x228, 'Counts messages sent.', { access: 'ro' }),
    DBG_DESC_CNT: active(0x22c, 'Descriptors that the engine holds.', { access: 'ro' }),
    DBG_STS: active(0x230, 'Fullness of the engine queues.', { access: 'ro' }),
    DBG_RD_DESC_ID: active(0x234, 'Identifier of the descriptor being read.'),
    DBG_WR_DESC_ID: active(0x238, 'Identifier of the descriptor being written.'),
  },
);
