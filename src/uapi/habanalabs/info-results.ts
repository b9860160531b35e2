/** What the INFO ioctl answers: one row per struct of drm/habanalabs_accel.h. */

import { constant, counting } from '../rows.ts';
import { array, bytes, s64, struct, text, u8, u16, u32, u64 } from '../struct.ts';

export const infoConstants = {
  HL_INFO_VERSION_MAX_LEN: constant(128, 'bytes of a firmware version'),
  HL_INFO_CARD_NAME_MAX_LEN: constant(16, 'bytes of a card name'),
  HL_ENGINES_DATA_MAX_SIZE: constant(0x100000, 'largest buffer for ENGINE_STATUS'),
  HL_BUSY_ENGINES_MASK_EXT_SIZE: constant(4, 'words of the mask of busy engines'),
  HL_PLL_NUM_OUTPUTS: constant(4, 'outputs of a PLL'),
  HL_RAZWI_NA_ENG_ID: constant(0xffff, 'the initiator has no engine id'),
  HL_RAZWI_MAX_NUM_OF_ENGINES_PER_RTR: constant(128, 'most engines that can be behind one router'),
  MAX_QMAN_STREAMS_INFO: constant(4, 'streams of a queue manager'),
  OPCODE_INFO_MAX_ADDR_SIZE: constant(8, 'command buffer addresses kept for a stream'),
  SEC_PCR_DATA_BUF_SZ: constant(256, 'bytes for PCR values'),
  SEC_PCR_QUOTE_BUF_SZ: constant(510, 'bytes for an attestation quote'),
  SEC_SIGNATURE_BUF_SZ: constant(255, 'bytes for a signature'),
  SEC_PUB_DATA_BUF_SZ: constant(510, 'bytes for public data'),
  SEC_CERTIFICATE_BUF_SZ: constant(2046, 'bytes for a certificate'),
  SEC_DEV_INFO_BUF_SZ: constant(5120, 'bytes for signed device information'),
} as const;

export const hl_device_status = {
  HL_DEVICE_STATUS_OPERATIONAL: constant(0, 'works'),
  HL_DEVICE_STATUS_IN_RESET: constant(1, 'is being reset'),
  HL_DEVICE_STATUS_MALFUNCTION: constant(2, 'cannot be used'),
  HL_DEVICE_STATUS_NEEDS_RESET: constant(3, 'must be reset by hand: automatic reset is off'),
  HL_DEVICE_STATUS_IN_DEVICE_CREATION: constant(4, 'works, but the driver has not finished creating it'),
  HL_DEVICE_STATUS_IN_RESET_AFTER_DEVICE_RELEASE: constant(5, 'is being reset because its user has closed it'),
  HL_DEVICE_STATUS_LAST: constant(5, 'highest value'),
} as const;

export const hl_server_type = {
  HL_SERVER_TYPE_UNKNOWN: constant(0, 'not known'),
  HL_SERVER_GAUDI_HLS1: constant(1, 'HLS-1, Gaudi'),
  HL_SERVER_GAUDI_HLS1H: constant(2, 'HLS-1H, Gaudi'),
  HL_SERVER_GAUDI_TYPE1: constant(3, 'Gaudi server of type 1'),
  HL_SERVER_GAUDI_TYPE2: constant(4, 'Gaudi server of type 2'),
  HL_SERVER_GAUDI2_HLS2: constant(5, 'HLS-2, Gaudi2'),
  HL_SERVER_GAUDI2_TYPE1: constant(7, 'Gaudi2 server of type 1'),
} as const;

/** Bits of what GET_EVENTS returns. The spelling of CRITICL is the header's. */
export const notifierEvents = {
  HL_NOTIFIER_EVENT_TPC_ASSERT: constant(0x1, 'a TPC kernel asserted'),
  HL_NOTIFIER_EVENT_UNDEFINED_OPCODE: constant(0x2, 'a queue manager met an opcode it does not know'),
  HL_NOTIFIER_EVENT_DEVICE_RESET: constant(0x4, 'the device needs a reset'),
  HL_NOTIFIER_EVENT_CS_TIMEOUT: constant(0x8, 'a command submission did not end in time'),
  HL_NOTIFIER_EVENT_DEVICE_UNAVAILABLE: constant(0x10, 'the device cannot be used'),
  HL_NOTIFIER_EVENT_USER_ENGINE_ERR: constant(0x20, 'an engine of the user is in error'),
  HL_NOTIFIER_EVENT_GENERAL_HW_ERR: constant(0x40, 'a hardware error'),
  HL_NOTIFIER_EVENT_RAZWI: constant(0x80, 'an illegal access was answered with zero, or ignored'),
  HL_NOTIFIER_EVENT_PAGE_FAULT: constant(0x100, 'the MMU found no page'),
  HL_NOTIFIER_EVENT_CRITICL_HW_ERR: constant(0x200, 'a hardware error that ends the work and resets the device'),
  HL_NOTIFIER_EVENT_CRITICL_FW_ERR: constant(0x400, 'a firmware error that ends the work and resets the device'),
} as const;

export const hl_clk_throttling_type = counting(
  'HL_CLK_THROTTLE_TYPE_POWER',
  'HL_CLK_THROTTLE_TYPE_THERMAL',
  'HL_CLK_THROTTLE_TYPE_MAX',
);

export const clockThrottleReasons = {
  HL_CLK_THROTTLE_POWER: constant(0x1, 'too much power is drawn'),
  HL_CLK_THROTTLE_THERMAL: constant(0x2, 'too hot'),
} as const;

export const razwiFlags = {
  HL_RAZWI_READ: constant(0x1, 'a read'),
  HL_RAZWI_WRITE: constant(0x2, 'a write'),
  HL_RAZWI_LBW: constant(0x4, 'in the low-bandwidth fabric'),
  HL_RAZWI_HBW: constant(0x8, 'in the high-bandwidth fabric'),
  HL_RAZWI_RR: constant(0x10, 'refused by a range register'),
  HL_RAZWI_ADDR_DEC: constant(0x20, 'no such address'),
} as const;

export const hl_info_fw_err_type = counting('HL_INFO_FW_HEARTBEAT_ERR', 'HL_INFO_FW_REPORTED_ERR');

export const gaudi_dcores = counting(
  'HL_GAUDI_WS_DCORE',
  'HL_GAUDI_WN_DCORE',
  'HL_GAUDI_EN_DCORE',
  'HL_GAUDI_ES_DCORE',
);

export const hl_info_hw_ip_info = struct('hl_info_hw_ip_info', 'What the card is and has.', {
  sram_base_address: u64('device address of the first byte of SRAM that user space may use'),
  dram_base_address: u64('device address of the first byte of DRAM that user space may use'),
  dram_size: u64('bytes of DRAM for user space'),
  sram_size: u32('bytes of SRAM for user space'),
  num_of_events: u32('elements of the HW_EVENTS array'),
  device_id: u32('PCI device id'),
  module_id: u32('position of the mezzanine card in its server'),
  decoder_enabled_mask: u32('decoders that are enabled'),
  first_available_interrupt_id: u16('first interrupt for user space; from Gaudi2 on'),
  server_type: u16('hl_server_type'),
  cpld_version: u32('version of the board logic'),
  psoc_pci_pll_nr: u32('PCI PLL: NR'),
  psoc_pci_pll_nf: u32('PCI PLL: NF'),
  psoc_pci_pll_od: u32('PCI PLL: OD'),
  psoc_pci_pll_div_factor: u32('PCI PLL: divider'),
  tpc_enabled_mask: u8('TPCs that are enabled; Goya and Gaudi'),
  dram_enabled: u8('1: there is DRAM'),
  security_enabled: u8('1: the card is secured'),
  mme_master_slave_mode: u8('1: MMEs work in pairs; from Gaudi2 on'),
  cpucp_version: text(128, 'version of the CPU-CP firmware'),
  card_name: text(16, 'name of the card, from the firmware'),
  tpc_enabled_mask_ext: u64('TPCs that are enabled'),
  dram_page_size: u64('bytes of a physical DRAM page'),
  edma_enabled_mask: u32('EDMAs that are enabled; from Gaudi2 on'),
  number_of_user_interrupts: u16('interrupts for user space; from Gaudi2 on'),
  reserved1: u8(),
  reserved2: u8(),
  reserved3: u64(),
  device_mem_alloc_default_page_size: u64('bytes of a page when MEM_OP_ALLOC names none'),
  reserved4: u64(),
  reserved5: u64(),
  reserved6: u32(),
  reserved7: u8(),
  revision_id: u8('PCI revision'),
  tpc_interrupt_id: u16('interrupt for TPCs to raise events'),
  rotator_enabled_mask: u32('rotators that are enabled; from Gaudi3 on'),
  reserved9: u32(),
  engine_core_interrupt_reg_addr: u64('register with which an engine core interrupts the firmware'),
  reserved_dram_size: u64('bytes of DRAM kept by driver and firmware'),
});

export const hl_info_dram_usage = struct(
  'hl_info_dram_usage',
  'DRAM in use, by the accounting of MEM_OP_ALLOC and _FREE.',
  {
    dram_free_mem: u64('bytes of the device that nobody has allocated'),
    ctx_dram_mem: u64('bytes allocated by this context'),
  },
);

export const hl_info_hw_idle = struct('hl_info_hw_idle', 'Which engines are busy.', {
  is_idle: u32('1: all engines are idle'),
  busy_engines_mask: u32('low word of busy_engines_mask_ext'),
  busy_engines_mask_ext: array(u64(), 4, 'bit n: the engine with id n is busy'),
});

export const hl_info_device_status = struct('hl_info_device_status', 'State of the device.', {
  status: u32('hl_device_status'),
  pad: u32(),
});

export const hl_info_device_utilization = struct('hl_info_device_utilization', 'Load of the device.', {
  utilization: u32('percent'),
  pad: u32(),
});

export const hl_info_clk_rate = struct('hl_info_clk_rate', 'Clock of the compute engines.', {
  cur_clk_rate_mhz: u32('MHz now'),
  max_clk_rate_mhz: u32('MHz at most'),
});

export const hl_info_reset_count = struct('hl_info_reset_count', 'Resets since the driver was loaded.', {
  hard_reset_cnt: u32('hard resets'),
  soft_reset_cnt: u32('resets of the compute engines'),
});

export const hl_info_time_sync = struct('hl_info_time_sync', 'The clocks of device and host, read together.', {
  device_time: u64('free-running counter of the device'),
  host_time: u64('ns, CLOCK_MONOTONIC_RAW'),
  tsc_time: u64('time stamp counter of the processor'),
});

export const hl_info_pci_counters = struct('hl_info_pci_counters', 'Traffic of the PCIe link.', {
  rx_throughput: u64('KB/s received'),
  tx_throughput: u64('KB/s sent'),
  replay_cnt: u64('replays'),
});

export const hl_info_clk_throttle = struct('hl_info_clk_throttle', 'Why, when and how long the clock was slowed.', {
  clk_throttling_reason: u32('HL_CLK_THROTTLE_*: reasons that hold now'),
  pad: u32(),
  clk_throttling_timestamp_us: array(u64(), 2, 'microseconds, host clock: start, by type'),
  clk_throttling_duration_ns: array(u64(), 2, 'nanoseconds, by type'),
});

export const hl_info_energy = struct('hl_info_energy', 'Energy used.', {
  total_energy_consumption: u64('by the firmware’s measure'),
});

export const hl_pll_frequency_info = struct('hl_pll_frequency_info', 'Frequencies of one PLL.', {
  output: array(u16(), 4, 'MHz, by output'),
});

export const hl_open_stats_info = struct('hl_open_stats_info', 'How the compute node was opened.', {
  open_counter: u64('successful opens'),
  last_open_period_ms: u64('milliseconds that the last user had it open'),
  is_compute_ctx_active: u8('1: somebody has it open'),
  compute_ctx_in_release: u8('1: the last user is being cleaned up after'),
  pad: bytes(6),
});

export const hl_power_info = struct('hl_power_info', 'Power drawn.', {
  power: u64('by the firmware’s measure'),
});

export const hl_info_sync_manager = struct('hl_info_sync_manager', 'What the driver leaves of a sync manager.', {
  first_available_sync_object: u32('first sync object for user space'),
  first_available_monitor: u32('first monitor for user space'),
  first_available_cq: u32('first completion queue for user space'),
  reserved: u32(),
});

export const hl_info_cs_counters = struct(
  'hl_info_cs_counters',
  'Command submissions refused, of all contexts and of this one.',
  {
    total_out_of_mem_drop_cnt: u64('all: no memory'),
    ctx_out_of_mem_drop_cnt: u64('this: no memory'),
    total_parsing_drop_cnt: u64('all: a packet was refused'),
    ctx_parsing_drop_cnt: u64('this: a packet was refused'),
    total_queue_full_drop_cnt: u64('all: a queue was full'),
    ctx_queue_full_drop_cnt: u64('this: a queue was full'),
    total_device_in_reset_drop_cnt: u64('all: the device was in reset'),
    ctx_device_in_reset_drop_cnt: u64('this: the device was in reset'),
    total_max_cs_in_flight_drop_cnt: u64('all: too many in flight'),
    ctx_max_cs_in_flight_drop_cnt: u64('this: too many in flight'),
    total_validation_drop_cnt: u64('all: the request was not valid'),
    ctx_validation_drop_cnt: u64('this: the request was not valid'),
  },
);

export const hl_info_last_err_open_dev_time = struct(
  'hl_info_last_err_open_dev_time',
  'When the node was last opened.',
  {
    timestamp: s64('ns, CLOCK_MONOTONIC'),
  },
);

export const hl_info_cs_timeout_event = struct(
  'hl_info_cs_timeout_event',
  'The last submission that did not end in time.',
  {
    timestamp: s64('ns, CLOCK_MONOTONIC'),
    seq: u64('its sequence number'),
  },
);

export const hl_info_razwi_event = struct(
  'hl_info_razwi_event',
  'The first illegal access since the node was opened.',
  {
    timestamp: s64('ns, CLOCK_MONOTONIC; 0: none'),
    addr: u64('address that was accessed'),
    engine_id: array(u16(), 128, 'engines that may have done it'),
    num_of_possible_engines: u16('valid elements of engine_id'),
    flags: u8('HL_RAZWI_*'),
    pad: bytes(5),
  },
);

export const hl_info_undefined_opcode_event = struct(
  'hl_info_undefined_opcode_event',
  'The last opcode a queue manager did not know.',
  {
    timestamp: s64('ns, CLOCK_MONOTONIC; 0: none'),
    cb_addr_streams: array(array(u64(), 8), 4, 'addresses of the command buffers in the queue, by stream'),
    cq_addr: u64('address of the command buffer in work'),
    cq_size: u32('bytes of the command buffer in work'),
    cb_addr_streams_len: u32('streams filled in: 1 for an upper CP, 4 for the lower CP'),
    engine_id: u32('engine whose queue manager it was'),
    stream_id: u32('stream; 4: the lower CP'),
  },
);

export const hl_info_hw_err_event = struct('hl_info_hw_err_event', 'A hardware error.', {
  timestamp: s64('ns, CLOCK_MONOTONIC'),
  event_id: u16('id of the firmware event'),
  pad: array(u16(), 3),
});

export const hl_info_fw_err_event = struct('hl_info_fw_err_event', 'A firmware error.', {
  timestamp: s64('ns, CLOCK_MONOTONIC'),
  err_type: u16('hl_info_fw_err_type'),
  event_id: u16('id of the firmware event, for HL_INFO_FW_REPORTED_ERR'),
  pad: u32(),
});

export const hl_info_engine_err_event = struct('hl_info_engine_err_event', 'An engine in error.', {
  timestamp: s64('ns, CLOCK_MONOTONIC'),
  engine_id: u16('engine'),
  error_count: u16('errors it reported'),
  pad: u32(),
});

export const hl_info_dev_memalloc_page_sizes = struct(
  'hl_info_dev_memalloc_page_sizes',
  'Pages MEM_OP_ALLOC can be asked for.',
  {
    page_order_bitmask: u64('bit n: pages of 2^n bytes; 0: there is no choice'),
  },
);

export const hl_info_sec_attest = struct('hl_info_sec_attest', 'Attestation of the boot by a secured card.', {
  nonce: u32('the caller’s number, signed'),
  pcr_quote_len: u16('bytes of pcr_quote in use'),
  pub_data_len: u16('bytes of public_data in use'),
  certificate_len: u16('bytes of certificate in use'),
  pcr_num_reg: u8('registers in pcr_data'),
  pcr_reg_len: u8('bytes of one register'),
  quote_sig_len: u8('bytes of quote_sig in use'),
  pcr_data: bytes(256, 'values of the PCR registers'),
  pcr_quote: bytes(510, 'the attestation'),
  quote_sig: bytes(255, 'its signature'),
  public_data: bytes(510, 'public key, name and qualified name'),
  certificate: bytes(2046, 'certificate of the signing key'),
  pad0: bytes(2),
});

export const hl_info_signed = struct('hl_info_signed', 'Device information signed by a secured card.', {
  nonce: u32('the caller’s number, signed'),
  pub_data_len: u16('bytes of public_data in use'),
  certificate_len: u16('bytes of certificate in use'),
  info_sig_len: u8('bytes of info_sig in use'),
  public_data: bytes(510, 'public key, name and qualified name'),
  certificate: bytes(2046, 'certificate of the signing key'),
  info_sig: bytes(255, 'signature of information and nonce'),
  dev_info_len: u16('bytes of dev_info in use'),
  dev_info: bytes(5120, 'struct cpucp_info'),
  pad: bytes(2),
});

export const hl_page_fault_info = struct('hl_page_fault_info', 'The first page fault since the node was opened.', {
  timestamp: s64('ns, CLOCK_MONOTONIC; 0: none'),
  addr: u64('address without a page'),
  engine_id: u16('engine; on Gaudi3 only'),
  pad: bytes(6),
});

export const hl_user_mapping = struct('hl_user_mapping', 'A mapping that existed when the page fault happened.', {
  dev_va: u64('device address'),
  size: u64('bytes'),
});

/**
 * Answer to DRAM_REPLACED_ROWS. The driver copies one element of the firmware's table, not the table
 * (common/habanalabs_ioctl.c dram_replaced_rows_info, linux/habanalabs/cpucp_if.h).
 */
export const cpucp_hbm_row_info = struct('cpucp_hbm_row_info', 'A DRAM row that was replaced.', {
  hbm_idx: u8('HBM stack'),
  pc: u8('pseudo channel'),
  sid: u8('stack id'),
  bank_idx: u8('bank'),
  row_addr: u16('row'),
  replaced_row_cause: u8('cpucp_hbm_row_replace_cause'),
  pad: u8(),
});
