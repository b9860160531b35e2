/**
 * CPU-CP: the messages that the driver sends to the firmware through the device CPU queue.
 * Source: include/linux/habanalabs/cpucp_if.h.
 */

export interface PacketRow {
  /** enum cpucp_packet_id. */
  readonly opcode: number;
  readonly doc: string;
}

function packet(opcode: number, doc: string): PacketRow {
  return { opcode, doc };
}

/** Packets that have a meaning. The opcodes left out are reserved or removed. */
export const packets = {
  DISABLE_PCI_ACCESS: packet(1, 'No more accesses of the host, and no interrupts.'),
  ENABLE_PCI_ACCESS: packet(2, 'Accesses of the host, and interrupts, are allowed.'),
  TEMPERATURE_GET: packet(3, 'Attribute `type` of temperature sensor `sensor_index`, millidegrees Celsius.'),
  VOLTAGE_GET: packet(4, 'The same of a voltage, millivolts.'),
  CURRENT_GET: packet(5, 'The same of a current, milliamperes.'),
  FAN_SPEED_GET: packet(6, 'The same of a fan, revolutions per minute.'),
  PWM_GET: packet(7, 'The same of a pulse-width modulator: duty 0 to 255, or mode.'),
  PWM_SET: packet(8, 'Sets duty or mode.'),
  FREQUENCY_SET: packet(9, 'Sets the frequency of PLL `pll_index`, hertz; the nearest possible is taken.'),
  FREQUENCY_GET: packet(10, 'Frequency that the PLL was set to, hertz.'),
  LED_SET: packet(11, 'Switches LED `led_index`.'),
  I2C_WR: packet(12, 'Writes `i2c_len` (0: 1) bytes to a register of an I2C device.'),
  I2C_RD: packet(13, 'Reads from there.'),
  INFO_GET: packet(14, 'struct cpucp_info to `addr`, at most `data_max_size` bytes.'),
  UNMASK_RAZWI_IRQ: packet(16, 'The event `value` may be sent again.'),
  UNMASK_RAZWI_IRQ_ARRAY: packet(17, 'The same for an array that follows the packet: length, then events.'),
  TEST: packet(18, 'Returns `value`.'),
  FREQUENCY_CURR_GET: packet(19, 'Frequency at which the PLL runs now, hertz.'),
  MAX_POWER_GET: packet(20, 'Power limit, milliwatts.'),
  MAX_POWER_SET: packet(21, 'Sets it.'),
  EEPROM_DATA_GET: packet(22, 'Content of the EEPROM to `addr`; returns its size.'),
  NIC_INFO_GET: packet(23, 'struct cpucp_nic_info to `addr`.'),
  TEMPERATURE_SET: packet(24, 'Sets the offset of a temperature sensor, or forgets its extremes.'),
  VOLTAGE_SET: packet(25, 'Forgets the extremes of a voltage sensor.'),
  CURRENT_SET: packet(26, 'Forgets the extremes of a current sensor.'),
  PCIE_THROUGHPUT_GET: packet(27, 'KB/s over the next 10 ms; `index`: 0 sent, 1 received.'),
  PCIE_REPLAY_CNT_GET: packet(28, 'Number of replays on the PCI Express link.'),
  TOTAL_ENERGY_GET: packet(29, 'Energy since Linux was started, millijoules.'),
  PLL_INFO_GET: packet(30, 'The four output frequencies of a PLL, MHz, 16 bits each.'),
  NIC_STATUS: packet(31, 'Takes the status of a NIC port from the driver, as an array after the packet.'),
  POWER_GET: packet(32, 'Power now, microwatts, its maximum, or forgets the maximum, by `type`.'),
  NIC_PFC_SET: packet(33, 'Priority flow control of a NIC port.'),
  NIC_FAULT_GET: packet(34, 'Fault register of a NIC port.'),
  NIC_LPBK_SET: packet(35, 'Loopback of a NIC port.'),
  NIC_MAC_CFG: packet(36, 'Configures the MAC of a NIC port.'),
  MSI_INFO_SET: packet(37, 'MSI vectors by purpose, as an array after the packet.'),
  NIC_XPCS91_REGS_GET: packet(38, 'Error counters of a NIC port.'),
  NIC_STAT_REGS_GET: packet(39, 'Statistics of a NIC port.'),
  NIC_STAT_REGS_CLR: packet(40, 'Clears them.'),
  NIC_STAT_REGS_ALL_GET: packet(41, 'All of them to `addr`.'),
  IS_IDLE_CHECK: packet(42, 'One bit per engine: 1 = busy.'),
  HBM_REPLACED_ROWS_INFO_GET: packet(43, 'struct cpucp_hbm_row_replaced_rows_info to `addr`.'),
  HBM_PENDING_ROWS_STATUS: packet(44, 'Number of HBM rows that wait for replacement.'),
  POWER_SET: packet(45, 'Forgets the maximum of the power.'),
  ENGINE_CORE_ASID_SET: packet(47, 'Address space of the engine cores (chips that have such).'),
  SEC_ATTEST_GET: packet(49, 'Attestation by the trusted platform module (cards that have one).'),
  INFO_SIGNED_GET: packet(50, 'Signed device information (cards that have a trusted platform module).'),
  MONITOR_DUMP_GET: packet(52, 'Registers of all monitors to `addr`: struct cpucp_monitor_dump.'),
  GENERIC_PASSTHROUGH: packet(56, 'Request `pkt_subidx` that the driver does not look into.'),
  ACTIVE_STATUS_SET: packet(58, 'The device is in use, or free.'),
  SOFT_RESET: packet(64, 'Resets the engines.'),
  INTS_REGISTER: packet(65, 'The host is ready for events.'),
} as const;

export type PacketName = keyof typeof packets;

/** enum cpucp_packet_rc, bits 15:12 of `ctl`. */
export const RC = { SUCCESS: 0, INVALID: 1, FAULT: 2, INVALID_PKT: 3, INVALID_PARAMS: 4 } as const;

/** struct cpucp_packet, and bits of `ctl`. Sizes and offsets in bytes. */
export const PACKET = {
  SIZE: 24,
  value: 0,
  ctl: 8,
  fence: 12,
  index: 16,
  port_index: 20,
  RC_SHIFT: 12,
  RC_MASK: 0xf000,
  OPCODE_SHIFT: 16,
  OPCODE_MASK: 0x1fff,
  /** What `fence` becomes when the packet is done, unless the firmware acknowledges with the producer index. */
  FENCE_VALUE: 0xfe8c_e7a5,
  /** Of packets with an array after them: its length, then its words. */
  array_length: 24,
  array: 28,
} as const;

/** struct cpucp_info, offsets in bytes. */
export const INFO = {
  SIZE: 1768,
  sensors: 0,
  MAX_SENSORS: 128,
  kernel_version: 1024,
  card_type: 1156,
  card_location: 1160,
  cpld_version: 1164,
  infineon_version: 1168,
  fuse_version: 1172,
  thermal_version: 1300,
  cpucp_version: 1428,
  infineon_second_stage_version: 1556,
  dram_size: 1560,
  card_name: 1568,
  CARD_NAME_LEN: 16,
  tpc_binning_mask: 1584,
  cpld_timestamp: 1612,
  pll_map: 1616,
  fw_os_version: 1640,
} as const;

/** enum cpucp_card_types. */
export const CARD_TYPE = { PCI: 0, PMC: 1 } as const;

/** struct hl_component_versions, the answer to GENERIC_PASSTHROUGH request 0. */
export const COMPONENT_VERSIONS = {
  SIZE: 296,
  struct_size: 0,
  modules_offset: 2,
  component: 4,
  fw_os: 132,
  comp_name: 260,
  NAME_LEN: 32,
  modules_counter: 292,
} as const;
export const PASSTHROUGH = { VERSIONS: 0, ERR_COUNTERS: 1, P_STATE: 2 } as const;

/** struct cpucp_nic_info. */
export const NIC_INFO = { SIZE: 2232, mac_addrs: 0, link_mask: 768 } as const;

/** struct cpucp_monitor_dump: per sync manager five arrays of 512 words. In this order. */
export const MONITOR_DUMP = {
  SIZE: 40960,
  managers: ['W_S', 'E_S', 'W_N', 'E_N'],
  registers: ['MON_PAY_ADDRL', 'MON_PAY_ADDRH', 'MON_PAY_DATA', 'MON_ARM', 'MON_STATUS'],
} as const;

export const REPLACED_ROWS_SIZE = 264;

/**
 * enum hwmon_sensor_types of the Linux kernel, up to power. Behind it the numbers have moved: since hwmon_energy64 came in
 * front of them, a fan and a PWM are not what they were, so a firmware cannot report one that every driver understands.
 */
export const SENSOR_TYPE = { temp: 1, in: 2, curr: 3, power: 4 } as const;

/**
 * Attributes of sensors as the firmware numbers them. A driver that the firmware has not told that it does
 * (DEV_STS0.MAP_HWMON_EN) uses the numbers of the kernel's hwmon.h, which are these plus 1, except of PWM.
 */
export const ATTRIBUTES = {
  temp: {
    input: 0,
    min: 4,
    max: 6,
    max_hyst: 7,
    crit: 8,
    crit_hyst: 9,
    offset: 19,
    lowest: 21,
    highest: 22,
    reset_history: 23,
  },
  in: { input: 0, min: 1, max: 2, lowest: 6, highest: 7, reset_history: 8 },
  curr: { input: 0, min: 1, max: 2, lowest: 6, highest: 7, reset_history: 8 },
  power: { input: 8, input_highest: 9, reset_history: 11 },
  fan: { input: 0, min: 2, max: 3 },
  pwm: { input: 0, enable: 1 },
} as const;
export type SensorKind = keyof typeof ATTRIBUTES;

/** The event queue, struct hl_eq_entry. */
export const EQ = { ENTRY_SIZE: 64, ctl: 4, data: 8, READY: 0x8000_0000, TYPE_SHIFT: 16, INDEX_MASK: 0xffff } as const;
