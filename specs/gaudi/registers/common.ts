import { registerBlock, storage } from '../../../src/sim/registers.ts';

/** Registers at the end of every 4 KiB of a block, where the block itself has none. */
export const common = registerBlock(
  'COMMON',
  { size: 0x1000, source: 'gaudi.h, PROT_BITS_OFFS; gaudi_security.c; asic_reg/gaudi_regs.h, GAUDI_ECC_*' },
  {
    ECC_MEM_SEL: storage(0xf18, 'which memory of the block the next two are about'),
    ECC_ADDRESS: storage(0xf1c, 'address of the last ECC error', { access: 'ro' }),
    ECC_SYNDROME: storage(0xf20, 'its syndrome', { access: 'ro' }),
    ECC_MEM_INFO_CLR: storage(0xf28, 'bit 8: clear single errors, 9: clear double errors'),
    ECC_SERR: storage(0xf30, 'single ECC errors, one bit per memory', { count: 4, access: 'ro' }),
    ECC_DERR: storage(0xf40, 'double ECC errors, one bit per memory', { count: 4, access: 'ro' }),
    PROT_BITS: storage(0xf80, 'one bit per register of these 4 KiB: 0 = only privileged initiators may access it', {
      count: 32,
    }),
  },
);
