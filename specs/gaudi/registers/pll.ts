/** Phase-locked loop with four outputs; the reference is 50 MHz. */

import { registerBlock, storage } from '../../../src/sim/registers.ts';

export const pll = registerBlock(
  'PLL',
  { size: 0x1000, source: 'asic_reg/psoc_cpu_pll_regs.h; DIV_SEL: common/habanalabs.h enum div_select_defs' },
  {
    NR: storage(0x100, 'reference divider - 1'),
    NF: storage(0x104, 'multiplier - 1'),
    OD: storage(0x108, 'output divider - 1'),
    NB: storage(0x10c),
    CFG: storage(0x110),
    LOSE_MASK: storage(0x120),
    LOCK_INTR: storage(0x128),
    LOCK_BYPASS: storage(0x12c),
    DATA_CHNG: storage(0x130),
    RST: storage(0x134),
    SLIP_WD_CNTR: storage(0x150),
    DIV_FACTOR: storage(0x200, 'divider of an output - 1', { count: 4 }),
    DIV_FACTOR_CMD: storage(0x220, '', { count: 4 }),
    DIV_SEL: storage(0x280, 'source of an output: 0 reference, 1 PLL, 2 divided reference, 3 divided PLL', {
      count: 4,
    }),
    DIV_EN: storage(0x2a0, '', { count: 4 }),
    DIV_FACTOR_BUSY: storage(0x2c0, '', { count: 4 }),
    CLK_GATER: storage(0x300),
    CLK_RLX: storage(0x310, '', { count: 4 }),
    REF_CNTR_PERIOD: storage(0x400),
    REF_LOW_THRESHOLD: storage(0x410),
    REF_HIGH_THRESHOLD: storage(0x420),
    PLL_NOT_STABLE: storage(0x430),
    FREQ_CALC_EN: storage(0x440),
    RLX_BITMAP_CFG: storage(0x500),
    RLX_BITMAP: storage(0x510, '', { count: 4 }),
  },
);
