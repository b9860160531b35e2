/**
 * What the firmware and the driver say to each other while the chip boots.
 * Source: include/linux/habanalabs/hl_boot_if.h; which register carries what: gaudi_reg_map.h.
 */

/** PSOC_GLOBAL_CONF.CPU_BOOT_STATUS, enum cpu_boot_status. Numbers left out are deprecated. */
export const BOOT_STATUS = {
  NA: 0,
  IN_WFE: 1,
  DRAM_RDY: 2,
  SRAM_AVAIL: 3,
  IN_BTL: 4,
  IN_PREBOOT: 5,
  IN_UBOOT: 7,
  UBOOT_NOT_READY: 10,
  NIC_FW_RDY: 11,
  BMC_WAITING_SKIPPED: 14,
  READY_TO_BOOT: 15,
  WAITING_FOR_BOOT_FIT: 16,
  SECURITY_READY: 17,
  FW_SHUTDOWN_PREP: 18,
} as const;

/** PSOC_GLOBAL_CONF.KMD_MSG_TO_CPU in the static protocol, enum kmd_msg. */
export const KMD_MSG = { NA: 0, GOTO_WFE: 1, FIT_RDY: 2, SKIP_BMC: 3, RST_DEV: 5 } as const;

/** CPU_CMD_STATUS_TO_HOST in the static protocol, enum cpu_msg_status. */
export const CPU_MSG = { CLR: 0, OK: 1, ERR: 2 } as const;

/** Bits of CPU_BOOT_ERR0. */
export const BOOT_ERR0 = {
  DRAM_INIT_FAIL: 1 << 0,
  FIT_CORRUPTED: 1 << 1,
  TS_INIT_FAIL: 1 << 2,
  DRAM_SKIPPED: 1 << 3,
  BMC_WAIT_SKIPPED: 1 << 4,
  SECURITY_NOT_RDY: 1 << 7,
  SECURITY_FAIL: 1 << 8,
  EFUSE_FAIL: 1 << 9,
  PLL_FAIL: 1 << 12,
  BINNING_FAIL: 1 << 19,
  EEPROM_FAIL: 1 << 22,
  ENG_ARC_MEM_SCRUB_FAIL: 1 << 23,
  ENABLED: 0x8000_0000,
} as const;

/** Bits of CPU_BOOT_DEV_STS0: what the running firmware can do. */
export const DEV_STS0 = {
  SECURITY_EN: 1 << 0,
  DRAM_INIT_EN: 1 << 3,
  E2E_CRED_EN: 1 << 5,
  HBM_CRED_EN: 1 << 6,
  SRAM_SCR_EN: 1 << 8,
  DRAM_SCR_EN: 1 << 9,
  FW_HARD_RST_EN: 1 << 10,
  PLL_INFO_EN: 1 << 11,
  SP_SRAM_EN: 1 << 12,
  HBM_ECC_EN: 1 << 14,
  PKT_PI_ACK_EN: 1 << 15,
  FW_LD_COM_EN: 1 << 16,
  FW_IATU_CONF_EN: 1 << 17,
  DYN_PLL_EN: 1 << 19,
  GIC_PRIVILEGED_EN: 1 << 20,
  EQ_INDEX_EN: 1 << 21,
  MULTI_IRQ_POLL_EN: 1 << 22,
  IS_IDLE_CHECK_EN: 1 << 25,
  MAP_HWMON_EN: 1 << 26,
  ENABLED: 0x8000_0000,
} as const;

/** COMMS commands, enum comms_cmd: bits 31:27 of KMD_MSG_TO_CPU; a size in 24:0. */
export const COMMS_CMD = {
  NOOP: 0,
  CLR_STS: 1,
  RST_STATE: 2,
  PREP_DESC: 3,
  DATA_RDY: 4,
  EXEC: 5,
  RST_DEV: 6,
  GOTO_WFE: 7,
  SKIP_BMC: 8,
  PREP_DESC_ELBI: 10,
} as const;
export const COMMS_COMMAND = { CMD_SHIFT: 27, SIZE: 0x1ff_ffff } as const;

/** COMMS status, enum comms_sts: bits 31:28 of CPU_CMD_STATUS_TO_HOST; 27:26 memory, 25:0 offset in it / 4. */
export const COMMS_STS = { NOOP: 0, ACK: 1, OK: 2, ERR: 3, VALID_ERR: 4, TIMEOUT_ERR: 5 } as const;
export const COMMS_STATUS = { STATUS_SHIFT: 28, RAM_TYPE_SHIFT: 26, OFFSET_SHIFT: 2 } as const;
/** enum comms_ram_types. */
export const COMMS_RAM = { SRAM: 0, DRAM: 1 } as const;

/** Where the static protocol puts the images (hl_boot_if.h, gaudi_fw_if.h): the boot loader in SRAM, Linux in HBM. */
export const BOOT_FIT_SRAM_OFFSET = 0x20_0000;
export const LINUX_HBM_OFFSET = 0x80_0000;

/** Bytes of a version string. */
export const VERSION_MAX_LEN = 128;

/**
 * struct lkd_fw_comms_desc: where its fields are, bytes. The header is 16 bytes; the CRC-32 of what follows it, `size`
 * bytes, is in the header.
 */
export const COMMS_DESC = {
  MAGIC: 0x4843_444d,
  VERSION: 3,
  header: { magic: 0, crc32: 4, size: 8, version: 10 },
  HEADER_SIZE: 16,
  cpu_dyn_regs: 16,
  fuse_ver: 248,
  cur_fw_ver: 376,
  img_addr: 632,
  binning_info: 640,
  ascii_msg: 728,
  rsvd_mem_size_mb: 1272,
  SIZE: 1280,
} as const;

/**
 * struct cpu_dyn_regs, word by word: which register (offset from CFG_BASE) serves which purpose. The words after
 * eng_arc_irq_ctrl are reserved.
 */
export const CPU_DYN_REGS = [
  ['cpu_pq_base_addr_low', 0x44_2204],
  ['cpu_pq_base_addr_high', 0x44_2208],
  ['cpu_pq_length', 0x44_220c],
  ['cpu_pq_init_status', 0x44_2230],
  ['cpu_eq_base_addr_low', 0x44_2220],
  ['cpu_eq_base_addr_high', 0x44_2224],
  ['cpu_eq_length', 0x44_2228],
  ['cpu_eq_ci', 0x44_222c],
  ['cpu_cq_base_addr_low', 0x44_2210],
  ['cpu_cq_base_addr_high', 0x44_2214],
  ['cpu_cq_length', 0x44_2218],
  ['cpu_pf_pq_pi', 0x44_2200],
  ['cpu_boot_dev_sts0', 0xc4_b150],
  ['cpu_boot_dev_sts1', 0xc4_b154],
  ['cpu_boot_err0', 0xc4_b160],
  ['cpu_boot_err1', 0xc4_b164],
  ['cpu_boot_status', 0xc4_b300],
  ['fw_upd_sts', 0xc4_b168],
  ['fw_upd_cmd', 0xc4_b16c],
  ['fw_upd_pending_sts', 0xc4_b07c],
  ['fuse_ver_offset', 0xc4_b158],
  ['preboot_ver_offset', 0xc4_b170],
  ['uboot_ver_offset', 0xc4_b174],
  ['hw_state', 0xc4_b100],
  ['kmd_msg_to_cpu', 0xc4_b304],
  ['cpu_cmd_status_to_host', 0xc4_b15c],
  ['gic_host_pi_upd_irq', 0xc4_b104],
  ['gic_tpc_qm_irq_ctrl', 0xc4_b108],
  ['gic_mme_qm_irq_ctrl', 0xc4_b10c],
  ['gic_dma_qm_irq_ctrl', 0xc4_b110],
  ['gic_nic_qm_irq_ctrl', 0xc4_b114],
  ['gic_dma_core_irq_ctrl', 0xc4_b118],
  ['gic_host_halt_irq', 0xc4_b11c],
  ['gic_host_ints_irq', 0xc4_b120],
] as const;

/** Messages of the driver to the firmware instead of an image: struct lkd_fw_comms_msg. */
export const COMMS_MSG = {
  MAGIC: 0x4843_4d00,
  MAGIC_MASK: 0xffff_ff00,
  header: { magic: 0, type: 11 },
  type: { RESET_CAUSE: 1 },
  reset_cause: 16,
} as const;
/** enum comms_reset_cause. */
export const RESET_CAUSES = ['unknown', 'heartbeat', 'timeout'] as const;

/** CPU_IF.QUEUE_INIT, enum pq_init_status. */
export const QUEUE_INIT = {
  NA: 0,
  READY_FOR_CP: 1,
  READY_FOR_HOST: 2,
  READY_FOR_CP_SINGLE_MSI: 3,
  LEN_NOT_POWER_OF_TWO_ERR: 4,
  ILLEGAL_Q_ADDR_ERR: 5,
} as const;
