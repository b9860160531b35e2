import { active, registerBlock, storage } from '../../../src/sim/registers.ts';

export const BUSY = { BUSY: 0x8000_0000 } as const;
/** Source: gaudi2 dcore0_hmmu0_stlb_masks.h (same block). */
export const MEM_CACHE_INV_STATUS = { INVALIDATE_DONE: 1 << 0, CACHE_IDLE: 1 << 1 } as const;

export const stlb = registerBlock(
  'STLB',
  {
    size: 0x1000,
    source:
      'habanalabs include/gaudi/asic_reg/stlb_regs.h, include/hw_ip/mmu/mmu_v1_1.h (0x000 to 0x00c), include/goya/asic_reg/stlb_masks.h',
  },
  {
    BUSY: active(0x000, 'Writing bit 31 sets the hop-0 table of ASID; it reads 1 until that is done.'),
    ASID: storage(0x004, 'Address space that HOP0_PA is for.'),
    HOP0_PA43_12: storage(0x008, 'Bits 43:12 of the address of its hop-0 table.'),
    HOP0_PA49_44: storage(0x00c, 'Bits 49:44 of that address.'),
    CACHE_INV: storage(0x010, 'PRODUCER_INDEX 7:0 and INDEX_MASK 15:8 of the invalidation queue.'),
    CACHE_INV_BASE_39_8: storage(0x014, 'Bits 39:8 of the address of the cache management page.'),
    CACHE_INV_BASE_49_40: storage(0x018, 'Bits 49:40 of that address.'),
    STLB_FEATURE_EN: storage(0x01c),
    STLB_AXI_CACHE: storage(0x020),
    HOP_CONFIGURATION: storage(
      0x024,
      'FIRST_HOP 2:0, FIRST_LOOKUP_HOP 6:4, LAST_HOP 10:8 (goya stlb_masks.h); 18:16 are not documented.',
    ),
    LINK_LIST_LOOKUP_MASK_49_32: storage(0x028),
    LINK_LIST_LOOKUP_MASK_31_0: storage(0x02c),
    LINK_LIST: storage(0x030),
    INV_ALL_START: active(0x034, 'Writing 1 invalidates everything; reads 1 until that is done.'),
    INV_ALL_SET: storage(0x038),
    INV_PS: active(0x03c, 'Invalidation by the queue: 3 opens it, 2 starts it; reads 0 when it is done.'),
    INV_CONSUMER_INDEX: active(0x040, 'Last PRODUCER_INDEX whose invalidation is done.', { access: 'ro' }),
    INV_HIT_COUNT: active(0x044, 'Entries that the last invalidation found (at most 2047).', { access: 'ro' }),
    INV_SET: storage(0x048),
    SRAM_INIT: active(0x04c, 'Memories being initialised: BUSY_TAG 1:0, BUSY_SLICE 3:2, BUSY_DATA 4.', {
      access: 'ro',
    }),
    MEM_CACHE_INVALIDATION: active(0x050, 'Writing 1 invalidates the page-table cache.'),
    MEM_CACHE_INV_STATUS: active(0x054, 'INVALIDATE_DONE, CACHE_IDLE.', { access: 'ro' }),
    MEM_CACHE_BASE_38_7: storage(0x058),
    MEM_CACHE_BASE_49_39: storage(0x05c),
    MEM_CACHE_CONFIG: storage(0x060),
    SET_THRESHOLD_HOP4: storage(0x064),
    SET_THRESHOLD_HOP3: storage(0x068),
    SET_THRESHOLD_HOP2: storage(0x06c),
    SET_THRESHOLD_HOP1: storage(0x070),
    SET_THRESHOLD_HOP0: storage(0x074),
    MULTI_HIT_INTERRUPT_CLR: storage(0x078, '', { access: 'wo' }),
    MULTI_HIT_INTERRUPT_MASK: storage(0x07c),
    MEM_L0_CACHE_CFG: storage(0x080),
    MEM_READ_ARPROT: storage(0x084),
  },
);
