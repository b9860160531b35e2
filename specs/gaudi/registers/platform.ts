/** Small blocks of the platform: interrupt controller, fuses, HBM controllers, time. */

import { active, registerBlock, storage } from '../../../src/sim/registers.ts';

/** Interrupt controller of the device CPU; only the page of message-based interrupts. */
export const gic = registerBlock(
  'GIC',
  { size: 0x1000, source: 'asic_reg/gaudi_regs.h; Arm GIC-500, GICD_SETSPI_NSR' },
  {
    DISTRIBUTOR_5_GICD_SETSPI_NSR: active(0x40, 'makes the shared interrupt of this number pending', { access: 'wo' }),
  },
);

export const efuse = registerBlock(
  'PSOC_EFUSE',
  { size: 0x1000, source: 'asic_reg/gaudi_regs.h' },
  {
    READ: storage(0x00),
    DATA: storage(0x80, 'fuse bits', { access: 'ro', count: 32 }),
  },
);

const channels = { count: 8, stride: 0x1000 } as const;

/** Memory controllers of one HBM stack: 8 channels of two pseudo-channels. */
export const hbmMc = registerBlock(
  'HBM_MC',
  { size: 0x9000, source: 'gaudi.c, gaudi_hbm_read_interrupts (the headers do not name them)' },
  {
    PC0_ECC_CTRL: storage(0x60, 'bits 3:0 counter control, 9 type, 15:10 and 23:16 and 31:24 error counters', channels),
    PC0_ECC_ADDRESS: storage(0x64, 'address of the first error', { ...channels, access: 'ro' }),
    PC0_INTERRUPT: active(0x6c, 'two bytes of causes; written ones clear', channels),
    PC1_ECC_CTRL: storage(0x70, 'as PC0', channels),
    PC1_ECC_ADDRESS: storage(0x74, '', { ...channels, access: 'ro' }),
    PC1_INTERRUPT: active(0x7c, 'two bytes of causes; written ones clear', channels),
    MC_SRAM_SERR: storage(0x8f30, 'single errors in the controllers memories', { count: 2, access: 'ro' }),
    MC_SRAM_DERR: storage(0x8f40, 'double errors in the controllers memories', { count: 2, access: 'ro' }),
  },
);

/** Arm generic counter. */
export const psocTimestamp = registerBlock(
  'PSOC_TIMESTAMP',
  { size: 0x1000, source: 'asic_reg/psoc_timestamp_regs.h; Arm ARM, system level implementation of the generic timer' },
  {
    CNTCR: active(0x000, 'bit 0: counter enabled'),
    CNTSR: storage(0x004, 'bit 1: halted by a debugger', { access: 'ro' }),
    CNTCVL: active(0x008, 'count 31:0; writable while disabled'),
    CNTCVU: active(0x00c, 'count 63:32; writable while disabled'),
    CNTFID0: active(0x020, 'counts per second'),
    PIDR4: storage(0xfd0, '', { count: 4, access: 'ro' }),
    PIDR0: storage(0xfe0, '', { count: 4, access: 'ro' }),
    CIDR0: storage(0xff0, '', { count: 4, access: 'ro' }),
  },
);
