/**
 * Registers of a queue manager (QMAN): one block that DMA0-7, TPC0-7, MME0, MME2 and the ten NIC ports all have.
 *
 * Sources: [R] Linux, drivers/accel/habanalabs/include/gaudi/asic_reg/dma0_qm_regs.h (offsets), dma0_qm_masks.h
 * (fields); [S] SynapseAI_Core, the register structures of block_qman (short descriptions, reset values). Registers that the
 * sources number are one row with indices: CP_FENCE_RDATA[n, cp] is CP_FENCE<n>_RDATA_<cp> there. Streams are 0 to 3;
 * where an index runs to 4, that is the lower command processor.
 */

import { active, registerBlock, storage } from '../../../src/sim/registers.ts';

/** One instance per stream. */
const perStream = { count: 4 };
/** One instance per command processor. */
const perCp = { count: 5 };

export const qmanRegisters = registerBlock(
  'QMAN',
  { size: 0x1000, source: 'dma0_qm_regs.h, dma0_qm_masks.h' },
  {
    GLBL_CFG0: active(0x0, 'Enable: PQF [3:0], CQF [8:4], CP [13:9], one bit each.'),
    GLBL_CFG1: active(0x4, 'Stop PQF [3:0], CQF [8:4], CP [13:9]; flush PQF [19:16], CQF [24:20], CP [29:25].'),
    GLBL_PROT: active(0x8, 'Secure accesses: PQF [3:0], CQF [8:4], CP [13:9], error messages 14, arbiter messages 15.'),
    GLBL_ERR_CFG: active(
      0xc,
      'Send a message on errors of PQF [3:0], CQF [8:4], CP [13:9]; stop on errors of PQF [19:16], CQF [24:20], ' +
        'CP [29:25], arbiter 31.',
    ),
    GLBL_SECURE_PROPS: active(0x10, 'Secure accesses: ASID [9:0], MMU bypass 10.', { ...perCp, reset: 0x400 }),
    GLBL_NON_SECURE_PROPS: active(0x24, 'Other accesses: ASID [9:0], MMU bypass 10.', { ...perCp, reset: 0x400 }),
    GLBL_STS0: active(
      0x38,
      'Idle: PQF [3:0], CQF [8:4], CP [13:9]; stopped: PQF [19:16], CQF [24:20], CP [29:25], arbiter 31.',
      { access: 'ro', reset: 0x3fff },
    ),
    GLBL_STS1: active(
      0x40,
      'Errors; write 1 to clear: PQF read 0, CQF read 1, CP read 2, undefined opcode 3, STOP packet 4, message ' +
        'write 5, register write 6, fence counter overflow [11:8], underflow [15:12]. Index 4 has no bit 0.',
      perCp,
    ),
    GLBL_MSG_EN: active(0x54, 'Which errors of GLBL_STS1 send a message.', { ...perStream, reset: 0xff7f }),
    GLBL_MSG_EN_4: active(0x68, 'GLBL_MSG_EN of the lower command processor.', { reset: 0xff7e }),

    PQ_BASE_LO: active(0x70, 'Device address of the queue, low half.', perStream),
    PQ_BASE_HI: active(0x80, 'Device address of the queue, high half.', perStream),
    PQ_SIZE: active(0x90, 'Base-2 logarithm of the number of entries.', perStream),
    PQ_PI: active(0xa0, 'Producer index, counted modulo twice the size; writing it is the doorbell.', perStream),
    PQ_CI: active(0xb0, 'Consumer index, counted modulo twice the size: entries fetched.', perStream),
    PQ_CFG0: storage(0xc0, 'Reserved.', perStream),
    PQ_CFG1: active(0xd0, 'Entries that may be buffered [15:0], reads that may be in flight [31:16].', {
      ...perStream,
      reset: 0x1_0001,
    }),
    PQ_ARUSER_31_11: storage(0xe0, 'Bus user bits of reads.', perStream),
    PQ_STS0: active(0xf0, 'Counters: credits [15:0], free [31:16].', { ...perStream, access: 'ro' }),
    PQ_STS1: active(0x100, 'Reads in flight [15:0], buffer empty 30, busy 31.', {
      ...perStream,
      access: 'ro',
      reset: 0x4000_0000,
    }),

    CQ_CFG0: storage(0x110, 'Reserved.', perCp),
    CQ_CFG1: storage(0x124, 'Buffer limit [15:0], reads that may be in flight [31:16].', {
      ...perCp,
      reset: 0x14_0014,
    }),
    CQ_ARUSER_31_11: storage(0x138, 'Bus user bits of reads.', perCp),
    CQ_STS0: active(0x14c, 'Counters: credits [15:0], free [31:16].', { ...perCp, access: 'ro' }),
    CQ_STS1: active(0x160, 'Reads in flight [15:0], buffer empty 30, busy 31.', {
      ...perCp,
      access: 'ro',
      reset: 0x4000_0000,
    }),
    CQ_PTR_LO: active(0x174, 'Port for command buffers: device address, low half.', { count: 5, stride: 16 }),
    CQ_PTR_HI: active(0x178, 'Port for command buffers: device address, high half.', { count: 5, stride: 16 }),
    CQ_TSIZE: active(0x17c, 'Port for command buffers: bytes.', { count: 5, stride: 16 }),
    CQ_CTL: active(0x180, 'Port for command buffers: repeat [15:0], control [31:16]; writing it queues the buffer.', {
      count: 5,
      stride: 16,
    }),
    CQ_PTR_LO_STS: active(0x1c4, 'Buffer being read: device address, low half.', { ...perCp, access: 'ro' }),
    CQ_PTR_HI_STS: active(0x1d8, 'Buffer being read: device address, high half.', { ...perCp, access: 'ro' }),
    CQ_TSIZE_STS: active(0x1ec, 'Buffer being read: bytes.', { ...perCp, access: 'ro' }),
    CQ_CTL_STS: active(0x200, 'Buffer being read: control word.', { ...perCp, access: 'ro' }),
    CQ_IFIFO_CNT: active(0x214, 'Buffers queued [1:0].', { ...perCp, access: 'ro' }),

    CP_MSG_BASE_ADDR_LO: active(0x228, 'MSG_SHORT base n of command processor cp, low half.', {
      count: [4, 5],
      stride: [0x28, 4],
    }),
    CP_MSG_BASE_ADDR_HI: active(0x23c, 'MSG_SHORT base n of command processor cp, high half.', {
      count: [4, 5],
      stride: [0x28, 4],
    }),
    CP_LDMA_TSIZE_OFFSET: active(
      0x2c8,
      'Where DMA packets write the size; the control word goes to the next register.',
      {
        ...perCp,
        reset: 0x103c,
      },
    ),
    CP_LDMA_SRC_BASE_LO_OFFSET: active(0x2e0, 'Where DMA packets write the source address, low half first.', {
      ...perCp,
      reset: 0x102c,
    }),
    CP_LDMA_DST_BASE_LO_OFFSET: active(0x2f4, 'Where LIN_DMA writes the destination address, low half first.', {
      ...perCp,
      reset: 0x1034,
    }),
    CP_FENCE_RDATA: active(0x308, 'Adds bits [3:0] to fence counter n of command processor cp.', {
      count: [4, 5],
      stride: [0x14, 4],
      access: 'wo',
    }),
    CP_FENCE_CNT: active(0x358, 'Fence counter n of command processor cp, 14 bits.', {
      count: [4, 5],
      stride: [0x14, 4],
      access: 'ro',
    }),
    CP_STS: active(
      0x3a8,
      'Messages in flight [15:0]; ready: engine 16, registers 17, messages 18; stopped 19; waiting in fence [21:20] if 22.',
      { ...perCp, access: 'ro' },
    ),
    CP_CURRENT_INST_LO: active(0x3bc, 'First word of the current packet.', { ...perCp, access: 'ro' }),
    CP_CURRENT_INST_HI: active(0x3d0, 'Second word of the current packet.', { ...perCp, access: 'ro' }),
    CP_BARRIER_CFG: active(0x3f4, 'Cycles before a barrier looks: at the engine [11:0], at registers [19:16].', {
      ...perCp,
      reset: 0x28,
    }),
    CP_DBG_0: active(0x408, 'State machine [3:0], barrier count 4, bulk count 5, stalls 6 and 7.', {
      ...perCp,
      access: 'ro',
      reset: 0x10,
    }),
    CP_ARUSER_31_11: storage(0x41c, 'Bus user bits of reads.', perCp),
    CP_AWUSER_31_11: storage(0x430, 'Bus user bits of writes.', perCp),

    ARB_CFG_0: active(
      0xa00,
      'Type 0 (0 = priority, 1 = weighted round robin), master 4, enable 8, mask [15:12], no stall 16.',
    ),
    ARB_CHOISE_Q_PUSH: active(0xa04, 'Slave: the master queues the next stream to be granted [1:0].', { access: 'wo' }),
    ARB_WRR_WEIGHT: active(0xa08, 'Grants in a row per stream, in weighted round robin.', perStream),
    ARB_CFG_1: active(0xa18, 'Bit 0 clears the arbiter.', { access: 'wo' }),
    ARB_MST_AVAIL_CRED: active(0xa20, 'Master: most choices queued at a slave [6:0].', { count: 32, reset: 0x40 }),
    ARB_MST_CRED_INC: active(0xaa0, 'Master: a slave returns a credit.', { access: 'wo' }),
    ARB_MST_CHOISE_PUSH_OFST: active(0xaa4, "Master: offset of a slave's ARB_CHOISE_Q_PUSH from ARB_BASE.", {
      count: 32,
    }),
    ARB_SLV_MASTER_INC_CRED_OFST: active(0xb28, "Slave: offset of the master's ARB_MST_CRED_INC from ARB_BASE."),
    ARB_MST_SLAVE_EN: active(0xb2c, 'Master: which slaves follow, one bit each.'),
    ARB_MST_QUIET_PER: active(0xb34, 'Cycles from one grant to the next at least.', { reset: 0x10 }),
    ARB_SLV_CHOISE_WDT: active(0xb38, 'Slave: cycles that a choice may wait for its stream.', { reset: 0x4000 }),
    ARB_SLV_ID: active(0xb3c, 'Slave: its number at the master [4:0].'),
    ARB_MSG_MAX_INFLIGHT: storage(0xb44, 'Messages in flight at most [5:0].', { reset: 0x20 }),
    ARB_MSG_AWUSER_31_11: storage(0xb48, 'Bus user bits of messages.'),
    ARB_MSG_AWUSER_SEC_PROP: active(0xb4c, 'Secure messages: ASID [9:0], MMU bypass 10.'),
    ARB_MSG_AWUSER_NON_SEC_PROP: active(0xb50, 'Other messages: ASID [9:0], MMU bypass 10.'),
    ARB_BASE_LO: active(0xb54, 'Base address of messages, low half.'),
    ARB_BASE_HI: active(0xb58, 'Base address of messages, high half.'),
    ARB_STATE_STS: active(0xb80, 'State of requests and grants.', { access: 'ro', reset: 0xffff_ffff }),
    ARB_CHOISE_FULLNESS_STS: active(0xb84, 'Slave: choices queued [6:0].', { access: 'ro' }),
    ARB_MSG_STS: active(0xb88, 'Message queue full 0, nothing in flight 1.', { access: 'ro', reset: 2 }),
    ARB_SLV_CHOISE_Q_HEAD: active(0xb8c, 'Slave: stream to be granted next [1:0].', { access: 'ro' }),
    ARB_ERR_CAUSE: active(0xb9c, 'Errors; write 1 to clear: choice while full 0, watchdog 1, message 2.'),
    ARB_ERR_MSG_EN: active(0xba0, 'Which errors of ARB_ERR_CAUSE send a message.'),
    ARB_ERR_STS_DRP: active(0xba8, 'Stream of the choice that was dropped [1:0].', { access: 'ro' }),
    ARB_MST_CRED_STS: active(0xbb0, 'Master: credits left per slave [6:0].', { count: 32, access: 'ro', reset: 0x40 }),

    CGM_CFG: storage(
      0xc70,
      'Clock gating: idle threshold [11:0], ramp [23:16], ignored command processors [28:24], on 31.',
      {
        reset: 0xf10_0400,
      },
    ),
    CGM_STS: active(0xc74, 'Clock gating: state [1:0], gated 4; idle: engine 8, bus 9, command processors 10.', {
      access: 'ro',
      reset: 0x700,
    }),
    CGM_CFG1: storage(0xc78, 'Clock gating: threshold [7:0].', { reset: 0x10 }),
    LOCAL_RANGE_BASE: active(0xc80, "Offset of this block in the engine's 64 KiB of registers.", { reset: 0x8000 }),
    LOCAL_RANGE_SIZE: active(0xc84, 'Bytes from there that are this block.', { reset: 0x2000 }),
    CSMR_STRICT_PRIO_CFG: storage(
      0xc90,
      'Share of the bus among upper command processors: 0 = round robin, 1 = strict.',
    ),
    HBW_RD_RATE_LIM_CFG_1: storage(0xc94, 'Rate limit of reads: timeout [7:0], on 31.'),
    LBW_WR_RATE_LIM_CFG_0: storage(0xc98, 'Rate limit of messages: tokens [7:0], saturation [23:16].'),
    LBW_WR_RATE_LIM_CFG_1: storage(0xc9c, 'Rate limit of messages: timeout [7:0], on 31.'),
    HBW_RD_RATE_LIM_CFG_0: storage(0xca0, 'Rate limit of reads: tokens [7:0], saturation [23:16].'),
    GLBL_AXCACHE: storage(0xca4, 'Cache bits of reads [3:0] and writes [19:16].'),
    IND_GW_APB_CFG: active(0xcb0, 'Gateway to internal memories: address [30:0], command 31.'),
    IND_GW_APB_WDATA: storage(0xcb4, 'Gateway: data to write.'),
    IND_GW_APB_RDATA: storage(0xcb8, 'Gateway: data read.', { access: 'ro' }),
    IND_GW_APB_STATUS: storage(0xcbc, 'Gateway: ready 0, error 1.', { access: 'ro' }),
    GLBL_ERR_ADDR_LO: active(0xcd0, 'Where error messages are written, low half.'),
    GLBL_ERR_ADDR_HI: active(0xcd4, 'Where error messages are written, high half.'),
    GLBL_ERR_WDATA: active(0xcd8, 'What error messages hold.'),
    GLBL_MEM_INIT_BUSY: storage(0xd00, 'Internal memories being initialised [3:0].', { access: 'ro' }),
  },
);

/** Bits of GLBL_STS1 and GLBL_MSG_EN (dma0_qm_masks.h; gaudi.c, gaudi_qman_error_cause). */
export const qmanError = {
  pqfRead: 1 << 0,
  cqfRead: 1 << 1,
  cpRead: 1 << 2,
  undefinedOpcode: 1 << 3,
  stopPacket: 1 << 4,
  messageWrite: 1 << 5,
  registerWrite: 1 << 6,
  /** Shift left by the number of the fence counter. */
  fenceOverflow: 1 << 8,
  fenceUnderflow: 1 << 12,
} as const;

/** Bits of ARB_ERR_CAUSE (dma0_qm_masks.h; gaudi.c, gaudi_qman_arb_error_cause). */
export const arbiterError = { choiceOverflow: 1 << 0, choiceWatchdog: 1 << 1, message: 1 << 2 } as const;
