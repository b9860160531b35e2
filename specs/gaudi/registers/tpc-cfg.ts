/** Configuration of a tensor processor core. */

import { active, registerBlock, storage } from '../../../src/sim/registers.ts';

/** Bits of STATUS; 0 and 4 are not documented. */
export const STATUS = {
  SCALAR_PIPE_EMPTY: 0x02,
  VECTOR_PIPE_EMPTY: 0x04,
  IQ_EMPTY: 0x08,
  SB_EMPTY: 0x20,
  QM_IDLE: 0x40,
  QM_RDY: 0x80,
} as const;

/** Bits of TPC_CMD. */
export const CMD = { CACHES: 0x0f, PREFETCH: 0x30, QMAN_STOP: 0x40 } as const;

/** Fields of KERNEL_CONFIG: how many scalars the kernel is given, and whether lookup tables take part of the vector memory. */
export const KERNEL_CONFIG = { SMALL_VLM: 1, VALID_SRFS_SHIFT: 2, VALID_SRFS: 0x3f } as const;

/** Fields of ARUSER_LO and AWUSER_LO (gaudi.c, gaudi_mmu_prepare_reg writes the address space there). */
export const USER = { ASID: 0x3ff, MMBP: 0x400 } as const;

/** Fields of PROT: three bits each, as AXI has them (AMBA AXI, AxPROT). */
export const PROT = { AW_SHIFT: 0, AR_SHIFT: 3, NON_SECURE: 2 } as const;

/** Bits of TPC_INTR_CAUSE that the memory ports set (gaudi.c, gaudi_tpc_interrupts_cause). */
export const CAUSE = { HBW_RRESP_ERR: 16, HBW_BRESP_ERR: 17, LBW_RRESP_ERR: 18, LBW_BRESP_ERR: 19 } as const;

/** Bits of a descriptor's TENSOR_CONFIG. */
export const TENSOR_CONFIG = {
  TYPE_SHIFT: 0,
  VALID_DIMS_SHIFT: 8,
  LAST_DIM_SHIFT: 16,
  RMW_SET: 1 << 19,
  RMW_OP_SHIFT: 21,
} as const;

export const tpcCfg = registerBlock(
  'TPC_CFG',
  { size: 0x1000, source: 'asic_reg/tpc0_cfg_regs.h, tpc0_cfg_masks.h' },
  {
    KERNEL_TENSOR_BASE_ADDR_LOW: storage(0x400, 'KERNEL_*: the descriptor of the running kernel; tensor descriptors', {
      count: 16,
      stride: 0x38,
    }),
    KERNEL_TENSOR_BASE_ADDR_HIGH: storage(0x404, '', { count: 16, stride: 0x38 }),
    KERNEL_TENSOR_PADDING_VALUE: storage(0x408, '', { count: 16, stride: 0x38 }),
    KERNEL_TENSOR_TENSOR_CONFIG: storage(
      0x40c,
      'data_type 2:0, valid_dim_mask 12:8, last_dim 18:16, rmw_set 19, rmw_op 22:21',
      {
        count: 16,
        stride: 0x38,
        reset: 0x50000,
      },
    ),
    KERNEL_TENSOR_DIM_SIZE: storage(0x410, '', { count: [16, 5], stride: [0x38, 8] }),
    KERNEL_TENSOR_DIM_STRIDE: storage(0x414, '', { count: [16, 5], stride: [0x38, 8] }),
    KERNEL_SYNC_OBJECT_MESSAGE: storage(0x780),
    KERNEL_SYNC_OBJECT_ADDR: storage(0x784),
    KERNEL_KERNEL_BASE_ADDRESS_LOW: storage(0x788),
    KERNEL_KERNEL_BASE_ADDRESS_HIGH: storage(0x78c),
    KERNEL_TID_BASE_DIM: storage(0x790, '', { count: 5, stride: 0x8 }),
    KERNEL_TID_SIZE_DIM: storage(0x794, '', { count: 5, stride: 0x8 }),
    KERNEL_KERNEL_CONFIG: storage(0x7b8),
    KERNEL_KERNEL_ID: storage(0x7bc),
    KERNEL_SRF: storage(0x7c0, '', { count: 32 }),
    ROUND_CSR: storage(0x8fc),
    PROT: storage(
      0x900,
      'AxPROT of writes 2:0 and reads 5:3. The driver never writes it, and relies on programs being kept out of what is its own: not secure after reset',
      { reset: 0x12 },
    ),
    SEMAPHORE: storage(0x908),
    VFLAGS: storage(0x90c),
    SFLAGS: storage(0x910),
    LFSR_POLYNOM: storage(0x918, 'of the random numbers; reset value: SynapseAI_Core, asic_reg_structs', {
      reset: 0x800002cc,
    }),
    STATUS: active(
      0x91c,
      '1 scalar pipe empty, 2 vector pipe empty, 3 instruction queue empty, 5 store buffer empty, 6 QM idle, 7 QM ready',
      { access: 'ro' },
    ),
    CFG_BASE_ADDRESS_HIGH: storage(0x920),
    CFG_SUBTRACT_VALUE: storage(0x924),
    SM_BASE_ADDRESS_HIGH: storage(0x92c),
    TPC_CMD: active(
      0x930,
      'cache commands: 0 I$ invalidate, 1 D$, 2 L$, 3 T$, 4 I$ prefetch 64 KiB, 5 prefetch 32 KiB, 6 stop QM',
      { access: 'wo' },
    ),
    TPC_EXECUTE: active(0x938, 'bit 0: run the kernel that the QM_* registers describe now', { access: 'wo' }),
    TPC_STALL: active(0x93c, 'bit 0: stand still'),
    ICACHE_BASE_ADDERESS_LOW: storage(0x940, '(spelled so in the header)'),
    ICACHE_BASE_ADDERESS_HIGH: storage(0x944),
    RD_RATE_LIMIT: storage(0x948),
    WR_RATE_LIMIT: storage(0x950),
    MSS_CONFIG: storage(0x954),
    TPC_INTR_CAUSE: storage(0x958, 'interrupt causes, 20 bits; writing stores'),
    TPC_INTR_MASK: storage(0x95c),
    WQ_CREDITS: storage(0x960),
    ARUSER_LO: storage(0x964),
    ARUSER_HI: storage(0x968),
    AWUSER_LO: storage(0x96c),
    AWUSER_HI: storage(0x970),
    OPCODE_EXEC: storage(0x974),
    LUT_FUNC32_BASE_ADDR_LO: storage(0x978),
    LUT_FUNC32_BASE_ADDR_HI: storage(0x97c),
    LUT_FUNC64_BASE_ADDR_LO: storage(0x980),
    LUT_FUNC64_BASE_ADDR_HI: storage(0x984),
    LUT_FUNC128_BASE_ADDR_LO: storage(0x988),
    LUT_FUNC128_BASE_ADDR_HI: storage(0x98c),
    LUT_FUNC256_BASE_ADDR_LO: storage(0x990),
    LUT_FUNC256_BASE_ADDR_HI: storage(0x994),
    TSB_CFG_MAX_SIZE: storage(0x998),
    TSB_CFG: storage(0x99c),
    DBGMEM_ADD: storage(0x9a0),
    DBGMEM_DATA_WR: storage(0x9a4),
    DBGMEM_DATA_RD: storage(0x9a8),
    DBGMEM_CTRL: storage(0x9ac),
    DBGMEM_RC: storage(0x9b0),
    TSB_INFLIGHT_CNTR: storage(0x9b4, '', { access: 'ro' }),
    WQ_INFLIGHT_CNTR: active(0x9b8, 'writes on their way: 15:0 high bandwidth, 19:16 low bandwidth', { access: 'ro' }),
    WQ_LBW_TOTAL_CNTR: storage(0x9bc),
    WQ_HBW_TOTAL_CNTR: storage(0x9c0),
    IRQ_OCCOUPY_CNTR: storage(0x9c4),
    FUNC_MBIST_CNTRL: storage(0x9d0),
    FUNC_MBIST_PAT: storage(0x9d4),
    FUNC_MBIST_MEM: storage(0x9d8, '', { count: 10 }),
    QM_TENSOR_BASE_ADDR_LOW: storage(0xa00, 'QM_*: the descriptor of the next kernel, written by the queue manager', {
      count: 16,
      stride: 0x38,
    }),
    QM_TENSOR_BASE_ADDR_HIGH: storage(0xa04, '', { count: 16, stride: 0x38 }),
    QM_TENSOR_PADDING_VALUE: storage(0xa08, '', { count: 16, stride: 0x38 }),
    QM_TENSOR_TENSOR_CONFIG: storage(
      0xa0c,
      'data_type 2:0, valid_dim_mask 12:8, last_dim 18:16, rmw_set 19, rmw_op 22:21',
      {
        count: 16,
        stride: 0x38,
        reset: 0x50000,
      },
    ),
    QM_TENSOR_DIM_SIZE: storage(0xa10, '', { count: [16, 5], stride: [0x38, 8] }),
    QM_TENSOR_DIM_STRIDE: storage(0xa14, '', { count: [16, 5], stride: [0x38, 8] }),
    QM_SYNC_OBJECT_MESSAGE: storage(0xd80),
    QM_SYNC_OBJECT_ADDR: storage(0xd84),
    QM_KERNEL_BASE_ADDRESS_LOW: storage(0xd88, 'first instruction of the kernel'),
    QM_KERNEL_BASE_ADDRESS_HIGH: storage(0xd8c),
    QM_TID_BASE_DIM: storage(0xd90, '', { count: 5, stride: 0x8 }),
    QM_TID_SIZE_DIM: storage(0xd94, '', { count: 5, stride: 0x8 }),
    QM_KERNEL_CONFIG: storage(0xdb8),
    QM_KERNEL_ID: storage(0xdbc),
    QM_SRF: storage(0xdc0, '', { count: 32 }),
  },
);
