/**
 * What a Gaudi can do wrong, and what the driver does then. A fault is one row here and one body, found by its name, in
 * src/gaudi/faults/bodies.ts. What the driver does was read in Linux 7.3; 6.12 does the same where nothing else is said.
 */

import {
  corners,
  dmaCauses,
  ENGINES,
  eccMemories,
  events,
  mmuClients,
  qmanCauses,
  TPC_CAUSES,
} from './fault-values.ts';

/**
 * What a fault waits for: the next of these that concerns it. `time`: nothing, it comes by itself.
 * - `interrupt`: an interrupt is sent. - `message`: a queue manager writes a word to the host.
 * - `hostAccess`, `access`, `translation`: an engine reads or writes. - `packet`: a command processor has fetched a packet.
 * - `transfer`, `kernel`: an engine begins one. - `boot`: the firmware begins a stage of its boot.
 * - `request`: the firmware has a packet of the driver. - `event`: the firmware tells of an event. - `reset`: the chip is reset.
 */
export type Occasion =
  | 'interrupt'
  | 'message'
  | 'hostAccess'
  | 'access'
  | 'translation'
  | 'packet'
  | 'transfer'
  | 'kernel'
  | 'boot'
  | 'request'
  | 'event'
  | 'reset'
  | 'time';

/** A word of the parameter, which are separated by points. */
export interface FaultWord {
  readonly doc: string;
  /** What it may be; `duration`: e.g. 20ms; `count`: a number or `all`; `number`. */
  readonly values: readonly string[] | 'duration' | 'count' | 'number';
  /** What it is where it is left out. */
  readonly initial: string;
}

export interface FaultRow {
  /** What the hardware does wrong. */
  readonly doc: string;
  /** What the driver does then. */
  readonly driver: string;
  readonly occasion: Occasion;
  readonly words: Readonly<Record<string, FaultWord>>;
  /** What ends it, if not its `times`. */
  readonly ends?: 'reset';
  /** The chip stands still until it is reset; ended before, it boots as if it came from that reset only now. */
  readonly halts?: true;
  /** Where the driver's part can be read, below drivers/accel/habanalabs. */
  readonly source: string;
}

const times: FaultWord = { doc: 'how often in a row', values: 'count', initial: '1' };
const engine: FaultWord = { doc: 'whose', values: ENGINES, initial: 'DMA0' };
const queue: FaultWord = { doc: 'whose queue manager', values: ENGINES, initial: 'DMA0' };
const memory: FaultWord = { doc: 'which memory', values: eccMemories('SERR'), initial: 'SRAM0' };
/** As many as the registers of a block have bits for (ECC_SERR, ECC_DERR). */
const number: FaultWord = {
  doc: 'which part of it, 0 to 127',
  values: Array.from({ length: 128 }, (_, i) => String(i)),
  initial: '7',
};

const RESET_AND_TELL =
  'tells of DEVICE_RESET and resets the card; waits end with EIO, the program is killed unless it closes the card';

export const faults = {
  // PCI Express

  'msi-lost': {
    doc: 'An interrupt is not sent.',
    driver:
      'does not notice: what came is taken with the next interrupt, whatever that is for. Work whose interrupt was lost runs into its time limit if none comes.',
    occasion: 'interrupt',
    words: { times },
    source: 'gaudi/gaudi.c, gaudi_irq_handler_single: all queues are looked at upon each interrupt',
  },
  'msi-late': {
    doc: 'An interrupt is sent late.',
    driver: 'has it then.',
    occasion: 'interrupt',
    words: { by: { doc: 'how late', values: 'duration', initial: '10ms' }, times },
    source: 'gaudi/gaudi.c, gaudi_irq_handler_single',
  },
  'msi-twice': {
    doc: 'An interrupt is sent twice.',
    driver: 'finds nothing new the second time.',
    occasion: 'interrupt',
    words: { times },
    source: 'common/irq.c, hl_irq_handler_cq: entries without the ready bit end the loop',
  },
  'link-down': {
    doc: 'The PCI Express link is lost: reads give ones, writes go nowhere, the card reaches neither memory nor interrupts.',
    driver:
      'sees it by a heartbeat that is not answered, within 10 s and the 4 s of its packet: "PCI link is broken", the reset fails, and the card is not usable until it is reset with its link.',
    occasion: 'time',
    words: { for: { doc: 'how long', values: 'duration', initial: '3600s' } },
    source: 'common/device.c, hl_device_heartbeat, is_pci_link_healthy; gaudi/gaudi.c, gaudi_hw_fini',
  },
  'surprise-removal': {
    doc: 'The card is pulled out, and later put back: until then as link-down, then as after power-on.',
    driver:
      'notices as with link-down, or is told to remove the card: then it kills who has it open, fails to reset it, and lets it go. A rescan finds it anew.',
    occasion: 'time',
    words: { for: { doc: 'how long', values: 'duration', initial: '3600s' } },
    source: 'common/device.c, hl_device_fini',
  },
  'completion-lost': {
    doc: 'The word that says which command buffer is done does not arrive in the completion queue.',
    driver:
      'stops at the entry that is missing, for all that come after it: work runs into its time limit, and the card is reset.',
    occasion: 'message',
    words: { times },
    source: 'common/irq.c, hl_irq_handler_cq',
  },
  'completion-corrupt': {
    doc: 'A bit of an entry of the completion queue is wrong.',
    driver:
      'takes an entry that is not ready for none, and drops one without a valid index: work runs into its time limit. It finishes whatever job an index is that of, without a look whether there is one.',
    occasion: 'message',
    words: {
      bit: { doc: 'which', values: ['ready', 'valid'], initial: 'valid' },
      times,
    },
    source: 'common/irq.c, hl_irq_handler_cq, job_finish',
  },
  'host-read-error': {
    doc: 'The host does not answer a read of an engine (completion timeout).',
    driver: 'tells of GENERAL_HW_ERR (PCIE_DEC), and of what the engine says of it.',
    occasion: 'hostAccess',
    words: { engine: { ...engine, values: mmuClients }, times },
    source: 'gaudi/gaudi.c, gaudi_handle_eqe, GAUDI_EVENT_PCIE_DEC, GAUDI_EVENT_DMA0_CORE',
  },

  // Firmware

  'boot-stuck': {
    doc: 'The firmware does not get beyond a stage of its boot.',
    driver:
      'waits (4 s for preboot, 15 s for the boot loader, 30 s for Linux), says where it is stuck, and the card is not usable.',
    occasion: 'boot',
    words: {
      stage: { doc: 'at which', values: ['rom', 'preboot', 'boot-loader', 'linux'], initial: 'preboot' },
      times,
    },
    halts: true,
    source: 'common/firmware_if.c, hl_fw_wait_preboot_ready, hl_fw_dynamic_init_cpu',
  },
  'boot-error': {
    doc: 'The firmware reports an error of its boot in CPU_BOOT_ERR0, and goes on.',
    driver:
      'logs all; those of memory, PLLs, binning and the EEPROM make the card unusable, unless its parameter boot_error_status_mask says otherwise.',
    occasion: 'boot',
    words: {
      cause: {
        doc: 'which bit',
        values: [
          'dram-init-fail',
          'fit-corrupted',
          'thermal-sensor',
          'bmc-skipped',
          'security-not-ready',
          'security-fail',
          'efuse-fail',
          'pll-fail',
          'eeprom-fail',
        ],
        initial: 'dram-init-fail',
      },
      times,
    },
    source: 'common/firmware_if.c, fw_report_boot_dev0; include/linux/habanalabs/hl_boot_if.h, CPU_BOOT_ERR_FATAL_MASK',
  },
  'reset-stuck': {
    doc: 'The boot state machine of the chip does not come to its end after a reset.',
    driver:
      'says "Timeout while waiting for device to reset" after 2 s, and the card is not usable until another reset.',
    occasion: 'reset',
    words: { times },
    halts: true,
    source: 'gaudi/gaudi.c, gaudi_hw_fini',
  },
  'firmware-silent': {
    doc: 'The firmware does not answer packets of the driver any more, until it is reset.',
    driver:
      'gives up after 4 s (10 s where it asks for information), sends no more until a reset, and resets the card when its next heartbeat fails: within 10 s, telling of DEVICE_RESET, DEVICE_UNAVAILABLE and CRITICL_FW_ERR.',
    occasion: 'request',
    words: {
      packet: { doc: 'those', values: ['any', 'TEST', 'INFO_GET', 'UNMASK_RAZWI_IRQ'], initial: 'any' },
      times: { ...times, initial: 'all' },
    },
    ends: 'reset',
    source: 'common/firmware_if.c, hl_fw_send_cpu_message; common/device.c, hl_device_heartbeat',
  },
  'firmware-late': {
    doc: 'The firmware answers late.',
    driver: 'waits up to 4 s (10 s where it asks for information); the caller has its answer then.',
    occasion: 'request',
    words: { by: { doc: 'how late', values: 'duration', initial: '2s' }, times },
    source: 'common/firmware_if.c, hl_fw_send_cpu_message',
  },
  'firmware-refuses': {
    doc: 'The firmware refuses a packet.',
    driver: 'hands EIO to who asked. Refused at a heartbeat, it resets the card.',
    occasion: 'request',
    words: {
      packet: {
        doc: 'which',
        values: ['any', 'TEST', 'INFO_GET', 'TOTAL_ENERGY_GET', 'FREQUENCY_CURR_GET', 'ACTIVE_STATUS_SET'],
        initial: 'any',
      },
      times,
    },
    source: 'common/firmware_if.c, hl_fw_send_cpu_message',
  },
  'heartbeat-lost': {
    doc: 'The firmware answers the heartbeat with another value than the one it was given.',
    driver:
      'tells of DEVICE_RESET, DEVICE_UNAVAILABLE and CRITICL_FW_ERR, records HL_INFO_FW_HEARTBEAT_ERR, and resets the card. Two in a row without a program disable it.',
    occasion: 'request',
    words: { times },
    source: 'common/firmware_if.c, hl_fw_send_heartbeat; common/device.c, hl_device_heartbeat',
  },
  'event-lost': {
    doc: 'The firmware leaves out an event, but counts it.',
    driver:
      'finds that the next has a number that it does not expect, and takes no more events until the card is reset ("index does not match").',
    occasion: 'event',
    words: { times },
    source: 'common/irq.c, hl_irq_handler_eq (with CPU_BOOT_DEV_STS0_EQ_INDEX_EN)',
  },
  'event-unknown': {
    doc: 'The firmware tells of an event with a number that it does not have.',
    driver: 'logs that it is invalid, or beyond the last.',
    occasion: 'event',
    words: { number: { doc: 'which instead', values: 'number', initial: '4000' }, times },
    source: 'gaudi/gaudi.c, gaudi_handle_eqe',
  },
  'firmware-report': {
    doc: 'The firmware reports that something of it has failed.',
    driver: `records HL_INFO_FW_REPORTED_ERR, tells of CRITICL_FW_ERR, ${RESET_AND_TELL}.`,
    occasion: 'time',
    words: { severity: { doc: 'how bad', values: ['minor', 'critical'], initial: 'critical' } },
    source: 'gaudi/gaudi.c, gaudi_handle_eqe, GAUDI_EVENT_FW_ALIVE_S',
  },
  'reset-request': {
    doc: 'The firmware asks for a reset of the card.',
    driver: `${RESET_AND_TELL}; also of GENERAL_HW_ERR and CRITICL_HW_ERR.`,
    occasion: 'time',
    words: {},
    source: 'gaudi/gaudi.c, gaudi_handle_eqe, GAUDI_EVENT_DEV_RESET_REQ',
  },
  'queue-out-of-sync': {
    doc: 'The firmware and the driver differ about the queue of packets.',
    driver: `logs what both believe; ${RESET_AND_TELL}; also of GENERAL_HW_ERR and CRITICL_HW_ERR.`,
    occasion: 'time',
    words: {},
    source: 'gaudi/gaudi.c, gaudi_handle_eqe, GAUDI_EVENT_PKT_QUEUE_OUT_SYNC',
  },

  // Memories, clocks, power

  'ecc-single': {
    doc: 'A memory of the chip has a wrong bit, which is corrected.',
    driver: 'logs where, tells of GENERAL_HW_ERR; the card works on.',
    occasion: 'time',
    words: { memory, number },
    source: 'gaudi/gaudi.c, gaudi_handle_ecc_event',
  },
  'ecc-double': {
    doc: 'A memory of the chip has two wrong bits, which cannot be corrected.',
    driver: `logs where; ${RESET_AND_TELL}; also of GENERAL_HW_ERR and CRITICL_HW_ERR. Two in a row without a program disable the card.`,
    occasion: 'time',
    words: { memory: { ...memory, values: eccMemories('DERR') }, number },
    source: 'gaudi/gaudi.c, gaudi_handle_ecc_event; common/device.c, handle_reset_trigger',
  },
  'hbm-error': {
    doc: 'A stack of HBM reports an error of data or parity.',
    driver: 'single: logs it, tells of GENERAL_HW_ERR. Others: the same, and resets the card.',
    occasion: 'time',
    words: {
      kind: {
        doc: 'of which kind',
        values: ['single', 'double', 'write-parity', 'read-parity', 'command-parity'],
        initial: 'single',
      },
      stack: { doc: 'which stack', values: ['0', '1', '2', '3'], initial: '0' },
      channel: { doc: 'pseudo channel', values: 'number', initial: '5' },
    },
    source: 'gaudi/gaudi.c, gaudi_hbm_read_interrupts, GAUDI_EVENT_HBM0_SPI_0, _1',
  },
  'pll-unlocked': {
    doc: 'A PLL loses its lock.',
    driver: `${RESET_AND_TELL}; also of GENERAL_HW_ERR and CRITICL_HW_ERR.`,
    occasion: 'time',
    words: { number: { doc: 'which, 0 to 17', values: Array.from({ length: 18 }, (_, i) => `${i}`), initial: '0' } },
    source: 'gaudi/gaudi.c, gaudi_handle_eqe, GAUDI_EVENT_PLL0',
  },
  'power-throttling': {
    doc: 'The card takes too much power, and slows its clock for a while.',
    driver: 'logs it, and HL_INFO_CLK_THROTTLE_REASON tells of it. Programs are not told.',
    occasion: 'time',
    words: { for: { doc: 'how long', values: 'duration', initial: '50ms' } },
    source: 'gaudi/gaudi.c, gaudi_print_clk_change_info',
  },
  'thermal-throttling': {
    doc: 'The card is too hot, and slows its clock for a while.',
    driver: 'logs it, HL_INFO_CLK_THROTTLE_REASON tells of it, and programs are told of USER_ENGINE_ERR.',
    occasion: 'time',
    words: { for: { doc: 'how long', values: 'duration', initial: '50ms' } },
    source: 'gaudi/gaudi.c, gaudi_print_clk_change_info',
  },
  overheating: {
    doc: 'The sensor for dangerous heat fires.',
    driver: 'logs it, tells of USER_ENGINE_ERR; the firmware is left to act.',
    occasion: 'time',
    words: { cause: { doc: 'number of the sensor', values: 'number', initial: '1' } },
    source: 'gaudi/gaudi.c, gaudi_handle_eqe, GAUDI_EVENT_PSOC_GPIO_U16_0',
  },

  // Interconnect

  'page-fault': {
    doc: 'The page of an address is not found, although the tables have it.',
    driver:
      'records it with what was mapped, tells of PAGE_FAULT and RAZWI, USER_ENGINE_ERR and DEVICE_RESET; it resets the card when the program closes it.',
    occasion: 'translation',
    words: { engine: { ...engine, values: mmuClients }, times },
    source: 'gaudi/gaudi.c, gaudi_print_and_get_mmu_error_info',
  },
  razwi: {
    doc: 'The interconnect refuses an access: a read gives zeros, a write is ignored.',
    driver: 'records who and where, tells of RAZWI, USER_ENGINE_ERR and DEVICE_RESET, and does not reset.',
    occasion: 'access',
    words: { engine: { ...engine, values: mmuClients }, times },
    source: 'gaudi/gaudi.c, gaudi_print_and_get_razwi_info, GAUDI_EVENT_RAZWI_OR_ADC',
  },
  'axi-error': {
    doc: 'A bridge of the interconnect reports an error.',
    driver:
      'GIC500, AXI_ECC, L2_RAM_ECC: resets the card. PCIE_DEC, CPU_AXI_SPLITTER, PSOC_AXI_DEC, PSOC_PRSTN_FALL: tells of GENERAL_HW_ERR. The others: of USER_ENGINE_ERR, most also of DEVICE_RESET.',
    occasion: 'time',
    words: { where: { doc: 'which event', values: events.axi, initial: 'PCIE_DEC' } },
    source: 'gaudi/gaudi.c, gaudi_handle_eqe',
  },
  'sync-manager-error': {
    doc: 'A sync manager reports an error.',
    driver: 'logs which, tells of USER_ENGINE_ERR.',
    occasion: 'time',
    words: {
      manager: { doc: 'which', values: corners, initial: 'E_N' },
      cause: { doc: 'of what', values: ['overflow', 'unaligned', 'response'], initial: 'response' },
      log: { doc: 'group, address or AXI identifier', values: 'number', initial: '3' },
    },
    source: 'gaudi/gaudi.c, gaudi_print_sm_sei_info',
  },
  'nic-error': {
    doc: 'A port of the network reports an error.',
    driver: 'logs which, tells of USER_ENGINE_ERR.',
    occasion: 'time',
    words: {
      nic: { doc: 'macro', values: ['0', '1', '2', '3', '4'], initial: '0' },
      cause: { doc: 'of what', values: ['RXB', 'RXE', 'TXS', 'TXE', 'QPC_RESP', 'NON_AXI_ERR', 'TMR'], initial: 'TXE' },
    },
    source: 'gaudi/gaudi.c, gaudi_print_nic_axi_irq_info',
  },

  // Engines

  'qman-error': {
    doc: 'A stream of a queue manager meets an error, and stops.',
    driver:
      'logs stream and cause, tells of USER_ENGINE_ERR and DEVICE_RESET (UNDEFINED_OPCODE too, of that), and does not reset.',
    occasion: 'time',
    words: {
      queue,
      cause: { doc: 'which bit of GLBL_STS1', values: Object.keys(qmanCauses), initial: 'message-write' },
      stream: { doc: '0 to 3; 4 is the lower command processor', values: ['0', '1', '2', '3', '4'], initial: '0' },
    },
    source: 'gaudi/gaudi.c, gaudi_handle_qman_err_generic, gaudi_qman_error_cause',
  },
  'arbiter-error': {
    doc: 'The arbiter of a queue manager meets an error.',
    driver: 'logs the cause, tells of USER_ENGINE_ERR and DEVICE_RESET, and does not reset.',
    occasion: 'time',
    words: {
      queue,
      cause: { doc: 'which bit of ARB_ERR_CAUSE', values: ['overflow', 'watchdog', 'message'], initial: 'watchdog' },
    },
    source: 'gaudi/gaudi.c, gaudi_handle_qman_err_generic, gaudi_qman_arb_error_cause',
  },
  'undefined-opcode': {
    doc: 'A packet arrives at a command processor with an opcode that does not exist.',
    driver:
      'records which stream and where, tells of UNDEFINED_OPCODE, USER_ENGINE_ERR and DEVICE_RESET, and does not reset.',
    occasion: 'packet',
    words: { queue, times },
    source: 'gaudi/gaudi.c, handle_qman_data_on_err',
  },
  'dma-error': {
    doc: 'A transfer of a DMA engine fails, and the engine stops.',
    driver: 'logs it, tells of USER_ENGINE_ERR and DEVICE_RESET; the work runs into its time limit.',
    occasion: 'transfer',
    words: {
      engine: { ...engine, values: ENGINES.filter((name) => name.startsWith('DMA')) },
      cause: { doc: 'which bit of ERR_CAUSE', values: Object.keys(dmaCauses), initial: 'read' },
    },
    source: 'gaudi/gaudi.c, gaudi_handle_eqe, GAUDI_EVENT_DMA0_CORE; gaudi_init_dma_core',
  },
  'tpc-error': {
    doc: 'A tensor core raises an interrupt of its kernel.',
    driver: 'logs the cause, clears it, tells of USER_ENGINE_ERR and DEVICE_RESET, and does not reset.',
    occasion: 'time',
    words: {
      engine: { doc: 'which core', values: ENGINES.filter((name) => name.startsWith('TPC')), initial: 'TPC0' },
      cause: { doc: 'which bit of TPC_INTR_CAUSE', values: Object.keys(TPC_CAUSES), initial: 'illegal-instruction' },
    },
    source: 'gaudi/gaudi.c, gaudi_tpc_read_interrupts, gaudi_tpc_interrupts_cause',
  },
  'engine-stuck': {
    doc: 'A DMA engine or tensor core begins its next work and never ends it: it is not idle until it is reset.',
    driver:
      'ends the work at its time limit and resets the card; one whose program closes it before is reset because it is not idle.',
    occasion: 'transfer',
    words: { engine: { ...engine, values: ENGINES.filter((name) => name.startsWith('DMA')) } },
    source:
      'common/context.c, hl_ctx_fini; common/device.c, hl_device_release; common/command_submission.c, cs_timedout',
  },
  'kernel-stuck': {
    doc: 'A tensor core begins its next kernel and never ends it.',
    driver: 'ends the work at its time limit and resets the card.',
    occasion: 'kernel',
    words: { engine: { doc: 'which core', values: ENGINES.filter((name) => name.startsWith('TPC')), initial: 'TPC0' } },
    source: 'common/command_submission.c, cs_timedout',
  },

  event: {
    doc: 'The firmware tells of any event of the chip, with nothing but its number.',
    driver: 'does what it does for that event; unknown to it, it logs that.',
    occasion: 'time',
    words: { name: { doc: 'which', values: events.all, initial: 'PCIE_DEC' } },
    source: 'gaudi/gaudi.c, gaudi_handle_eqe',
  },
} as const satisfies Record<string, FaultRow>;

export type FaultName = keyof typeof faults;
