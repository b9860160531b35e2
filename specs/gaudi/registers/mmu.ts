import { active, registerBlock, storage } from '../../../src/sim/registers.ts';

/** Of PAGE_ERROR_CAPTURE and ACCESS_ERROR_CAPTURE. Source: gaudi_masks.h. */
export const ERROR_CAPTURE = { VA_49_32: 0x3_ffff, ENTRY_VALID: 0x4_0000 } as const;

/** Bits of SPI_CAUSE and SPI_MASK. Source: gaudi2.c names the causes of the same interrupt of the next chip in this order. */
export const SPI = { PAGE_FAULT: 1 << 0, PAGE_ACCESS: 1 << 1, BYPASS: 1 << 2, MULTI_HIT: 1 << 3 } as const;

export const mmuUp = registerBlock(
  'MMU_UP',
  {
    size: 0x1000,
    source: 'habanalabs include/gaudi/asic_reg/mmu_up_regs.h, gaudi_masks.h, include/goya/asic_reg/mmu_masks.h',
  },
  {
    MMU_ENABLE: storage(0x00c, 'Bit 0: addresses are translated.'),
    FORCE_ORDERING: storage(0x010),
    FEATURE_ENABLE: storage(0x014),
    VA_ORDERING_MASK_31_7: storage(0x018),
    VA_ORDERING_MASK_49_32: storage(0x01c),
    LOG2_DDR_SIZE: storage(0x020),
    SCRAMBLER: storage(0x024),
    MEM_INIT_BUSY: active(0x028, 'Memories being initialised after reset.', { access: 'ro' }),
    SPI_MASK: storage(0x02c, 'Causes that raise the interrupt.'),
    SPI_CAUSE: active(0x030, 'What happened; cleared through SPI_CAUSE_CLR.', { access: 'ro' }),
    PAGE_ERROR_CAPTURE: storage(
      0x034,
      'First page fault: VA 49:32 and ENTRY_VALID. The next is captured once this is 0.',
    ),
    PAGE_ERROR_CAPTURE_VA: storage(0x038, 'First page fault: VA 31:0.'),
    ACCESS_ERROR_CAPTURE: storage(0x03c, 'First access without permission: VA 49:32 and ENTRY_VALID.'),
    ACCESS_ERROR_CAPTURE_VA: storage(0x040, 'First access without permission: VA 31:0.'),
    SPI_INTERRUPT_CLR: active(0x044, 'Clears the interrupt.', { access: 'wo' }),
    SPI_INTERRUPT_MASK: storage(0x048),
    DBG_MEM_WRAP_RM: storage(0x04c),
    SPI_CAUSE_CLR: active(0x050, 'Writing ones clears causes.', { access: 'wo' }),
    SLICE_CREDIT: storage(0x054),
    PIPE_CREDIT: storage(0x058),
    RAZWI_WRITE_VLD: storage(0x05c, 'A write was ignored; RAZWI_WRITE_ID says whose. Cleared by writing 0.'),
    RAZWI_WRITE_ID: storage(0x060, 'Y in 30:28, X in 27:24, AXI id in 23:20 of the initiator.'),
    RAZWI_READ_VLD: storage(0x064, 'A read returned zero; RAZWI_READ_ID says whose. Cleared by writing 0.'),
    RAZWI_READ_ID: storage(0x068, 'As RAZWI_WRITE_ID.'),
    MMU_BYPASS: active(0x06c, 'Bypass for initiators.'),
  },
);
