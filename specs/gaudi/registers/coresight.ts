/**
 * Debug and trace components. Those of Arm (STM-500, TMC as ETF and ETR, CTI, funnel, PMU) have the offsets of their
 * technical reference manuals; the driver uses the subset in gaudi_coresight.c, and psoc_etr_regs.h names those of the TMC.
 */

import { active, registerBlock, storage } from '../../../src/sim/registers.ts';

/** The management registers that every component has. */
const management = {
  ITCTRL: storage(0xf00, 'integration mode'),
  CLAIMSET: storage(0xfa0),
  CLAIMCLR: storage(0xfa4),
  LAR: storage(0xfb0, '0xC5ACCE55 unlocks', { access: 'wo' }),
  LSR: storage(0xfb4, '', { access: 'ro' }),
  AUTHSTATUS: storage(0xfb8, '', { access: 'ro' }),
  DEVID: storage(0xfc8, '', { access: 'ro' }),
  DEVTYPE: storage(0xfcc, '', { access: 'ro' }),
  PERIPHID4: storage(0xfd0, '', { access: 'ro', count: 4 }),
  PERIPHID0: storage(0xfe0, '', { access: 'ro', count: 4 }),
  COMPID0: storage(0xff0, '', { access: 'ro', count: 4 }),
} as const;

/** Trace memory controller: an on-chip FIFO (ETF), or a router to system memory (PSOC_ETR). */
export const tmc = registerBlock(
  'TMC',
  { size: 0x1000, source: 'asic_reg/psoc_etr_regs.h; Arm CoreSight TMC TRM' },
  {
    RSZ: storage(0x004, 'memory size, 32-bit words'),
    STS: active(0x00c, '0 full, 1 triggered, 2 ready, 3 formatter empty, 4 memory empty', { access: 'ro' }),
    RRD: storage(0x010, '', { access: 'ro' }),
    RRP: storage(0x014),
    RWP: storage(0x018, 'write pointer 31:0'),
    TRG: storage(0x01c),
    CTL: active(0x020, 'bit 0: capture'),
    RWD: storage(0x024, '', { access: 'wo' }),
    MODE: storage(0x028, '0 circular buffer, 1 software FIFO, 2 hardware FIFO'),
    LBUFLEVEL: storage(0x02c, '', { access: 'ro' }),
    CBUFLEVEL: storage(0x030, '', { access: 'ro' }),
    BUFWM: storage(0x034),
    RRPHI: storage(0x038),
    RWPHI: storage(0x03c, 'write pointer 39:32'),
    AXICTL: storage(0x110),
    DBALO: storage(0x118, 'buffer address 31:0'),
    DBAHI: storage(0x11c, 'buffer address 39:32'),
    FFSR: storage(0x300, '0 flush in progress, 1 formatter stopped', { access: 'ro' }),
    FFCR: active(0x304, 'formatter and flush control: 6 flush (clears itself), 12 stop on flush'),
    PSCR: storage(0x308),
    ITMISCOP0: storage(0xee0),
    ITTRFLIN: storage(0xee8),
    ITATBDATA0: storage(0xeec),
    ITATBCTR2: storage(0xef0),
    ITATBCTR1: storage(0xef4),
    ITATBCTR0: storage(0xef8),
    ...management,
  },
);

/** System trace macrocell. */
export const stm = registerBlock(
  'STM',
  { size: 0x1000, source: 'gaudi_coresight.c, gaudi_config_stm; Arm STM-500 TRM' },
  {
    HEER: storage(0xd00, 'hardware event enables of the selected bank'),
    HETER: storage(0xd20),
    HEBSR: storage(0xd60, 'selects the bank'),
    HEMCR: storage(0xd64, 'hardware event control'),
    HEEXTMUXR: storage(0xd68),
    HEMASTR: storage(0xdf4),
    SPER: storage(0xe00, 'stimulus port enables'),
    SPTER: storage(0xe20),
    SPSCR: storage(0xe60),
    SPMSCR: storage(0xe64),
    SPOVERRIDER: storage(0xe68),
    SPMOVERRIDER: storage(0xe6c),
    SPTRIGCSR: storage(0xe70),
    TCSR: active(0xe80, '0 enable, 2 synchronisation, 22:16 trace id, 23 busy (read-only)'),
    TSSTIMR: storage(0xe84, '', { access: 'wo' }),
    TSFREQR: storage(0xe8c, 'timestamp frequency'),
    SYNCR: storage(0xe90),
    AUXCR: storage(0xe94),
    ITTRIGGER: storage(0xee8),
    ITATBDATA0: storage(0xeec),
    ITATBCTR2: storage(0xef0),
    ITATBID: storage(0xef4, 'trace id for integration tests'),
    ITATBCTR0: storage(0xef8),
    ...management,
  },
);

export const funnel = registerBlock(
  'FUNNEL',
  { size: 0x1000, source: 'gaudi_coresight.c, gaudi_config_funnel; Arm CoreSight SoC TRM' },
  { CTRL: storage(0x000, '7:0 port enables, 11:8 hold time'), PRIORITY: storage(0x004), ...management },
);

/** Cross trigger interface. */
export const cti = registerBlock(
  'CTI',
  { size: 0x1000, source: 'Arm CoreSight SoC TRM (the driver does not touch it)' },
  {
    CONTROL: storage(0x000),
    INTACK: storage(0x010, '', { access: 'wo' }),
    APPSET: storage(0x014),
    APPCLEAR: storage(0x018, '', { access: 'wo' }),
    APPPULSE: storage(0x01c, '', { access: 'wo' }),
    INEN: storage(0x020, '', { count: 8 }),
    OUTEN: storage(0x0a0, '', { count: 8 }),
    TRIGINSTATUS: storage(0x130, '', { access: 'ro' }),
    TRIGOUTSTATUS: storage(0x134, '', { access: 'ro' }),
    GATE: storage(0x140),
    ...management,
  },
);

/** Bus monitor of Habana's own making. */
export const bmon = registerBlock(
  'BMON',
  { size: 0x1000, source: 'gaudi_coresight.c, gaudi_config_bmon (the headers do not name them)' },
  {
    CTRL: storage(0x100, 'monitoring mode'),
    RESET: storage(0x104),
    START_ADDR0_LO: storage(0x200),
    START_ADDR0_HI: storage(0x204),
    ADDR_MASK0_LO: storage(0x208),
    ADDR_MASK0_HI: storage(0x20c),
    ATTR_MATCH: storage(0x224),
    ATTR_MASK: storage(0x234),
    START_ADDR1_LO: storage(0x240),
    START_ADDR1_HI: storage(0x244),
    ADDR_MASK1_LO: storage(0x248),
    ADDR_MASK1_HI: storage(0x24c),
    WINDOW_EN: storage(0x304),
    WINDOW_CAPTURE: storage(0x308),
    BANDWIDTH_WINDOW: storage(0x30c),
    TRACE_HEADER_0: storage(0x700),
    TRACE_HEADER_1: storage(0x708),
    TRACE_HEADER_2: storage(0x70c),
  },
);

/** System performance monitor unit, laid out as an Arm PMU. */
export const spmu = registerBlock(
  'SPMU',
  { size: 0x1000, source: 'gaudi_coresight.c, gaudi_config_spmu; Arm ARM, recommended memory-mapped PMU' },
  {
    PMEVCNTR: active(0x000, 'event counters', { count: 6, stride: 8 }),
    PMCCNTR_LO: active(0x0f8, 'cycle counter'),
    PMCCNTR_HI: active(0x0fc, 'its upper half'),
    PMTRC: storage(0x200),
    TRC_CTRL_HOST: storage(0x204),
    TRC_EN_HOST: storage(0x208),
    PMEVTYPER: storage(0x400, 'what the event counters count', { count: 6 }),
    PMCNTENSET: active(0xc00, '5:0 event counters, 31 cycle counter; ones enable'),
    PMCNTENCLR: active(0xc20, 'ones disable'),
    PMINTENSET: storage(0xc40),
    PMINTENCLR: storage(0xc60),
    PMOVSCLR: storage(0xc80),
    PMOVSSET: storage(0xcc0, 'overflows'),
    PMCR: active(0xe04, '0 enable, 1 clear event counters, 2 clear cycle counter'),
    LAR: storage(0xfb0, '0xC5ACCE55 unlocks', { access: 'wo' }),
    LSR: storage(0xfb4, '', { access: 'ro' }),
  },
);

export const romTable = registerBlock(
  'ROM_TABLE',
  { size: 0x1000, source: 'Arm CoreSight architecture; the entries are not known' },
  {
    PERIPHID4: storage(0xfd0, '', { access: 'ro', count: 4 }),
    PERIPHID0: storage(0xfe0, '', { access: 'ro', count: 4 }),
    COMPID0: storage(0xff0, '', { access: 'ro', count: 4 }),
  },
);
