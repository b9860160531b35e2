import { active, registerBlock, storage } from '../../../src/sim/registers.ts';

const where = { size: 0x1000, source: 'gaudi.h, PROT_BITS_OFFS; gaudi_security.c; asic_reg/gaudi_regs.h, GAUDI_ECC_*' };

const protection = {
  PROT_BITS: storage(0xf80, 'one bit per register of these 4 KiB: 0 = only privileged initiators may access it', {
    count: 32,
  }),
};

/** Registers at the end of every 4 KiB of a block, where the block itself has none. */
export const common = registerBlock('COMMON', where, {
  ECC_MEM_SEL: storage(0xf18, 'which memory of the block the next two are about'),
  ECC_ADDRESS: storage(0xf1c, 'address of the last ECC error', { access: 'ro' }),
  ECC_SYNDROME: storage(0xf20, 'its syndrome', { access: 'ro' }),
  ECC_MEM_INFO_CLR: storage(0xf28, 'bit 8: clear single errors, 9: clear double errors'),
  ECC_SERR: storage(0xf30, 'single ECC errors, one bit per memory', { count: 4, access: 'ro' }),
  ECC_DERR: storage(0xf40, 'double ECC errors, one bit per memory', { count: 4, access: 'ro' }),
  ...protection,
});

const { ECC_MEM_SEL, ECC_SERR, ECC_DERR } = common.rows;
const { ECC_ADDRESS, ECC_SYNDROME, ECC_MEM_INFO_CLR } = common.rows;

/** The same where the block has memories with errors to tell of (gaudi.c, gaudi_handle_ecc_event, extract_info_from_fw). */
export const eccMemory = registerBlock('COMMON', where, {
  ECC_MEM_SEL,
  ECC_ADDRESS: active(ECC_ADDRESS.offset, ECC_ADDRESS.doc, { access: 'ro' }),
  ECC_SYNDROME: active(ECC_SYNDROME.offset, ECC_SYNDROME.doc, { access: 'ro' }),
  ECC_MEM_INFO_CLR: active(ECC_MEM_INFO_CLR.offset, ECC_MEM_INFO_CLR.doc, { access: 'wo' }),
  ECC_SERR,
  ECC_DERR,
  ...protection,
});

/** Bits of ECC_MEM_INFO_CLR. */
export const ECC_CLEAR = { SERR: 1 << 8, DERR: 1 << 9 } as const;
