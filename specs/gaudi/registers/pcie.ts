/** PCI Express controller and what is around it. */

import { active, registerBlock, storage } from '../../../src/sim/registers.ts';

const source = 'asic_reg/gaudi_regs.h';

export const pcieWrap = registerBlock(
  'PCIE_WRAP',
  { size: 0x1000, source: `${source}; RAZWI_RSP: gaudi_security.c, gaudi_init_security (the address has no name)` },
  {
    RR_ELBI_RD_SEC_REG_CTRL: storage(0x208, 'the driver reads it to flush writes'),
    MAX_OUTSTAND: storage(0xb20),
    RAZWI_RSP: storage(0xb28, 'bit 0: a refused read gives 0 from range registers, 0xBABA0BAD from protection bits'),
    LBW_PROT_OVR: storage(0xb48, 'accesses through the BARs count as secure'),
    HBW_DRAIN_CFG: storage(0xd54),
    LBW_DRAIN_CFG: storage(0xd5c),
  },
);

export const pcieCore = registerBlock(
  'PCIE_CORE',
  { size: 0x1000, source },
  { MSI_REQ: active(0x100, 'a write raises an MSI', { access: 'wo' }) },
);

export const pcieMsi = registerBlock(
  'PCIE_MSI',
  { size: 0x1000, source },
  { INTR: active(0x0, 'a write to word n raises MSI vector n', { count: 32, access: 'wo' }) },
);

export const pcieAux = registerBlock(
  'PCIE_AUX',
  { size: 0x1000, source: `${source}; FLR_CTRL bits: psoc_global_conf_masks.h, PCIE_AUX_FLR_CTRL_*` },
  {
    FLR_CTRL: storage(0x394, 'bit 0: hardware handles function-level resets, bit 1: mask the interrupt about them'),
    DBI: storage(0x490, 'which space PCIE_DBI shows: 0 the configuration space, 0x300000 the address translation'),
  },
);

/** Value of PCIE_AUX.DBI that shows the address translation unit (common/pci/pci.c, hl_pci_iatu_write). */
export const DBI_IATU = 0x30_0000;

const regions = { count: 8, stride: 0x200 } as const;

/**
 * Address translation unit, shown in PCIE_DBI: 8 outbound and 8 inbound regions, every 0x200 bytes.
 * Bits of CTRL_2: 31 region enable, 30 match by BAR, 19 BAR number is valid, 10:8 BAR number.
 */
export const iatu = registerBlock(
  'PCIE_IATU',
  { size: 0x1000, source: 'common/pci/pci.c, hl_pci_set_inbound_region and hl_pci_set_outbound_region' },
  {
    OUTBOUND_CTRL_1: storage(0x000, 'bit 13: regions of more than 4 GiB', regions),
    OUTBOUND_CTRL_2: storage(0x004, 'bit 31: enable', regions),
    OUTBOUND_LOWER_BASE: storage(0x008, 'first device address', regions),
    OUTBOUND_UPPER_BASE: storage(0x00c, '', regions),
    OUTBOUND_LOWER_LIMIT: storage(0x010, 'last device address', regions),
    OUTBOUND_LOWER_TARGET: storage(0x014, 'bus address', regions),
    OUTBOUND_UPPER_TARGET: storage(0x018, '', regions),
    OUTBOUND_UPPER_LIMIT: storage(0x020, '', regions),
    INBOUND_CTRL_1: storage(0x100, '', regions),
    INBOUND_CTRL_2: active(0x104, 'enable, match mode, BAR', regions),
    INBOUND_LOWER_BASE: storage(0x108, 'first bus address, when matching by address', regions),
    INBOUND_UPPER_BASE: storage(0x10c, '', regions),
    INBOUND_LIMIT: storage(0x110, 'last bus address, when matching by address', regions),
    INBOUND_LOWER_TARGET: active(0x114, 'device address', regions),
    INBOUND_UPPER_TARGET: active(0x118, '', regions),
  },
);

export const IATU_CTRL_2 = { ENABLE: 0x8000_0000, BAR_MATCH: 0x4000_0000, BAR_VALID: 1 << 19, BAR_SHIFT: 8 } as const;

/** In the extended configuration space: reaches device registers without a BAR. Source: common/pci/pci.c, mmPCI_CONFIG_ELBI_*. */
export const ELBI = { OFFSET: 0xff0, CTRL_WRITE: 0x8000_0000, STS_ERR: 0x4000_0000, STS_DONE: 0x8000_0000 } as const;
