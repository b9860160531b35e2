/** What of the driver's code no test can have run on the machines that there are, and why: it is counted apart. */

import type { FileCoverage } from './code.ts';
import { DRIVER_FOLDER } from './driver-files.ts';

/** What was set apart for one reason. */
export interface Apart {
  readonly reason: string;
  /** Files and folders, and functions of other files. */
  readonly names: readonly string[];
  /** Functions. */
  readonly count: number;
}

/** A file, or a folder; or some functions of a file. */
interface Row {
  readonly name: string;
  readonly functions?: readonly string[];
  readonly reason: string;
}

const GAUDI2_INTERRUPTS = 'interrupts of programs, of decoders and of errors, which Gaudi2 has';
const GAUDI2_CALLS = 'called by the driver of Gaudi2 alone';
const CARD_MEMORY = 'memory of the card behind an MMU (dram_supports_virtual_memory), which Goya and Gaudi2 have';
const HW_QUEUES = 'queues of jobs in hardware (QUEUE_TYPE_HW), which Gaudi2 has';
const PORTS = 'the network ports, of which the driver uses none (habanalabs_drv.c, nic_ports_mask)';
const NO_MMU = 'work while the MMU is off, which nothing turns off (gaudi.c, gaudi_mmu_init)';

/**
 * Found by following what gaudi/ and the tables of common/ refer to, in Linux 7.3: what is left is referred to by other chips'
 * code, or by nothing.
 */
const ROWS: readonly Row[] = [
  { name: 'goya/', reason: 'the chip Goya' },
  { name: 'gaudi2/', reason: 'the chip Gaudi2' },
  { name: 'common/decoder.c', reason: 'video decoders, which Gaudi2 has' },
  { name: 'common/mmu/mmu_v2', reason: 'the MMU of Gaudi2' },
  {
    name: 'common/mmu/mmu.c',
    functions: ['hl_mmu_hr_*', 'mmu_dma_mem_free_from_chunk'],
    reason: 'page tables in memory of the host, which the MMU of Gaudi2 has',
  },
  { name: 'common/security.c', reason: 'protection of blocks of registers, which the driver has for Gaudi2' },
  { name: 'common/hldio.c', reason: 'direct I/O with NVMe, which Gaudi2 has' },
  {
    name: 'common/irq.c',
    functions: [
      'hl_irq_user_interrupt_*',
      'hl_irq_eq_error_interrupt_thread_handler',
      'hl_irq_handler_dec_abnrm',
      'handle_registration_node',
      'handle_user_interrupt_*',
      'handle_tpc_interrupt',
      'handle_unexpected_user_interrupt',
      'hl_ts_free_objects',
    ],
    reason: GAUDI2_INTERRUPTS,
  },
  {
    name: 'common/device.c',
    functions: [
      'hl_capture_engine_err',
      'hl_init_cpu_for_irq',
      'hl_set_irq_affinity',
      'hl_eq_heartbeat_event_handle',
      'hl_eq_cpld_shutdown_event_handle',
    ],
    reason: GAUDI2_CALLS,
  },
  {
    name: 'common/firmware_if.c',
    functions: [
      'hl_fw_version_cmp',
      'hl_fw_unmask_irq_arr',
      'hl_fw_send_soft_reset',
      'hl_fw_send_device_activity',
      'hl_fw_cpucp_engine_core_asid_set',
    ],
    reason: GAUDI2_CALLS,
  },
  {
    name: 'common/debugfs.c',
    functions: ['dump_cfg_access_entry', 'hl_debugfs_cfg_access_history_dump'],
    reason: GAUDI2_CALLS,
  },
  {
    name: 'common/command_submission.c',
    // hl_interrupt_wait_ioctl refuses where the chip has no such interrupts
    functions: [
      '_hl_interrupt_ts_reg_ioctl',
      '_hl_interrupt_wait_ioctl',
      '_hl_interrupt_wait_ioctl_user_addr',
      'ts_get_and_handle_kernel_record',
    ],
    reason: GAUDI2_INTERRUPTS,
  },
  { name: 'common/sysfs.c', functions: ['hl_sysfs_add_dev_vrm_attr'], reason: GAUDI2_CALLS },
  {
    name: 'common/memory.c',
    functions: [
      'alloc_device_memory',
      'free_device_memory',
      'set_alloc_page_size',
      'memhash_node_export_*',
      'get_phys_pg_pack_from_hash_node',
    ],
    reason: CARD_MEMORY,
  },
  {
    name: 'common/mmu/mmu_v1.c',
    functions: ['dram_default_mapping_*'],
    reason: 'a page for memory of the card that is not mapped, which Goya has',
  },
  {
    name: 'common/memory.c',
    functions: ['hw_block_vm_close'],
    reason: 'blocks of registers that a program has mapped, which Gaudi2 lets it',
  },
  {
    name: 'common/memory.c',
    functions: ['is_hint_crossing_range'],
    reason: 'hints for ranges that are kept free, which Gaudi2 has',
  },
  { name: 'common/memory.c', functions: ['hl_userptr_is_pinned'], reason: NO_MMU },
  {
    name: 'common/mmu/mmu.c',
    functions: ['hl_mmu_prefetch_*'],
    reason: 'pages that are fetched before they are used, which the MMU of Gaudi2 does',
  },
  {
    name: 'common/command_buffer.c',
    functions: ['cb_unmap_mem'],
    reason: 'command buffers that the card maps, which Gaudi2 has',
  },
  { name: 'common/hw_queue.c', functions: ['hw_queue_init', 'hw_queue_schedule_job'], reason: HW_QUEUES },
  { name: 'common/irq.c', functions: ['cs_finish'], reason: HW_QUEUES },
  { name: 'common/command_submission.c', functions: ['cs_completion'], reason: HW_QUEUES },
  {
    name: 'common/command_submission.c',
    functions: ['wake_pending_user_interrupt_threads', 'validate_and_get_ts_record', 'unregister_timestamp_node'],
    reason: GAUDI2_INTERRUPTS,
  },
  {
    name: 'gaudi/gaudi.c',
    functions: [
      'gaudi_collective_master_init_job',
      'gaudi_collective_slave_init_job',
      'gaudi_collective_wait_*',
      'gaudi_init_nic_qman',
      'gaudi_reset_sob_group',
      'gaudi_sob_group_reset_error',
    ],
    reason: PORTS,
  },
  {
    name: 'gaudi/gaudi.c',
    functions: [
      'gaudi_parse_cb_no_mmu',
      'gaudi_validate_dma_pkt_no_mmu',
      'gaudi_validate_dma_pkt_host',
      'gaudi_pin_memory_before_cs',
      'gaudi_get_dma_desc_list_size',
      'gaudi_patch_cb',
      'gaudi_patch_dma_packet',
    ],
    reason: NO_MMU,
  },
  {
    name: 'gaudi/gaudi.c',
    functions: [
      'gaudi_set_dram_properties',
      'gaudi_set_binning_masks',
      'gaudi_context_switch',
      'gaudi_compute_reset_late_init',
    ],
    reason: 'asked for where a chip has it, which Gaudi has not',
  },
  { name: 'common/device.c', functions: ['hl_handle_clk_change_event'], reason: 'called by nothing' },
  { name: 'common/hw_queue.c', functions: ['hl_hw_queue_add_ptr'], reason: 'called by nothing' },
];

/** What counts, and what was taken out of it: functions with their lines and branches. */
export function apartOf(code: readonly FileCoverage[]): {
  readonly kept: readonly FileCoverage[];
  readonly apart: readonly Apart[];
} {
  const kept: FileCoverage[] = [];
  const apart = new Map<string, { readonly names: Set<string>; count: number }>();
  const setApart = (reason: string, name: string, count: number) => {
    const entry = apart.get(reason) ?? { names: new Set(), count: 0 };
    apart.set(reason, entry);
    entry.names.add(name);
    entry.count += count;
  };
  for (const file of code) {
    const rows = ROWS.filter(({ name }) => file.file.startsWith(`${DRIVER_FOLDER}${name}`));
    const whole = rows.find(({ functions }) => functions === undefined);
    if (whole) {
      const name = whole.name.endsWith('/') ? `${DRIVER_FOLDER}${whole.name}` : file.file;
      setApart(whole.reason, name, file.functions.length);
      continue;
    }
    const taken = new Set<string>();
    for (const { name } of file.functions) {
      const row = rows.find(({ functions = [] }) => functions.some((pattern) => fits(name, pattern)));
      if (!row) continue;
      taken.add(name);
      setApart(row.reason, name, 1);
    }
    kept.push(taken.size === 0 ? file : without(file, taken));
  }
  return { kept, apart: [...apart].map(([reason, { names, count }]) => ({ reason, names: [...names], count })) };
}

/** @param pattern a name, or the beginning of one and an asterisk */
function fits(name: string, pattern: string): boolean {
  return pattern.endsWith('*') ? name.startsWith(pattern.slice(0, -1)) : name === pattern;
}

/** A file without some of its functions: of each, what lies between its line and that of the next function. */
function without(file: FileCoverage, taken: ReadonlySet<string>): FileCoverage {
  const inOrder = file.functions.toSorted((a, b) => a.line - b.line);
  const isTaken = (line: number) => {
    const of = inOrder.findLast((one) => one.line <= line);
    return of !== undefined && taken.has(of.name);
  };
  return {
    file: file.file,
    functions: file.functions.filter(({ name }) => !taken.has(name)),
    lines: file.lines.filter(({ line }) => !isTaken(line)),
    branches: file.branches.filter(({ line }) => !isTaken(line)),
  };
}
