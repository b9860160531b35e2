/**
 * Device addresses of Gaudi1. Source: habanalabs include/gaudi/gaudi.h; the virtual range from gaudiP.h.
 * Sizes in bytes.
 */
export const addressMap = {
  HBM_BASE: 0,
  HBM_SIZE: 0x8_0000_0000,
  SRAM_BASE: 0x7f_f000_0000,
  SRAM_SIZE: 0x140_0000,
  SPI_FLASH_BASE: 0x7f_f800_0000,
  PSOC_SCRATCHPAD_BASE: 0x7f_fbfe_0000,
  PSOC_SCRATCHPAD_SIZE: 0x1_0000,
  PCIE_FW_SRAM_BASE: 0x7f_fbff_0000,
  PCIE_FW_SRAM_SIZE: 0x8000,
  CFG_BASE: 0x7f_fc00_0000,
  CFG_SIZE: 0x400_0000,
  /** Bus address 0 of the PCIe host, as the chip sees it. */
  HOST_BASE: 0x80_0000_0000,
  HOST_SIZE: 0x1_0000_0000_0000,
  /** First address that the driver maps through the MMU (VA_HOST_SPACE_START). */
  VIRTUAL_BASE: 0x1_0000_0000_0000,
  /** End of what an address can be: the MMU captures addresses of 50 bits (MMU_UP_PAGE_ERROR_CAPTURE.VA_49_32). */
  ADDRESS_END: 0x4_0000_0000_0000,
} as const;
