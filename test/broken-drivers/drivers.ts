/**
 * Drivers that are broken on purpose, as a mistake in a patch would break them: one row is one small change of a function of the
 * kernel's driver. What the change makes wrong must be noticed by the exerciser.
 */

import { device } from './drivers-device.ts';
import { memory } from './drivers-memory.ts';
import { submissions } from './drivers-submissions.ts';
import { GAUDI, type Row } from './row.ts';

export interface BrokenDriver {
  readonly name: string;
  /** What is wrong then. */
  readonly what: string;
  /** In the kernel's source. */
  readonly file: string;
  readonly function: string;
  /** What is changed: the first match in the function's body. */
  readonly find: RegExp;
  readonly by: string;
  /** Tests that are run first, by a pattern of their names: those that should notice. */
  readonly tests: RegExp;
  /** Why nothing can notice it here. */
  readonly unnoticed?: string;
}

const EFA = 'drivers/infiniband/hw/efa/efa_verbs.c';

const rows: readonly Row[] = [
  ...submissions,
  ...memory,
  ...device,
  // gaudi.c
  [
    'prot-allowed',
    'programs may use MSG_PROT',
    GAUDI,
    'gaudi_validate_cb',
    /rc = -EPERM;/,
    'parser->patched_cb_size += pkt_size;',
    /errors: MSG_PROT/,
  ],
  [
    'cb-boundary',
    'a packet may end beyond its command buffer',
    GAUDI,
    'gaudi_validate_cb',
    /cb_parsed_length > parser->user_cb_size/,
    'cb_parsed_length > parser->user_cb_size + 8',
    /errors: a packet must end/,
  ],
  [
    'completion-room',
    'there is too little room for the packets that tell of the end',
    GAUDI,
    'gaudi_validate_cb',
    /if \(parser->completion\)/,
    'if (parser->completion && parser->patched_cb_size % 128)',
    /limits: command buffers of every length/,
  ],
  [
    'objects-not-cleared',
    'the next user finds sync objects as the last left them',
    GAUDI,
    'gaudi_restore_sm_registers',
    /mmSYNC_MNGR_E_S_SYNC_MNGR_OBJS_SOB_OBJ_0;/,
    'mmSYNC_MNGR_E_N_SYNC_MNGR_OBJS_SOB_OBJ_0;',
    /sync: the next context/,
  ],
  [
    'monitors-not-cleared',
    'the next user finds monitors as the last left them',
    GAUDI,
    'gaudi_restore_sm_registers',
    /mmSYNC_MNGR_W_N_SYNC_MNGR_OBJS_MON_STATUS_0;/,
    'mmSYNC_MNGR_E_N_SYNC_MNGR_OBJS_MON_STATUS_0;',
    /sync: the next context|queues: a reset leaves/,
  ],
  [
    'arbiter-not-cleared',
    'the next user finds arbiters as the last left them',
    GAUDI,
    'gaudi_restore_qm_registers',
    /WREG32\(mmDMA0_QM_ARB_CFG_0 \+ qman_offset, 0\);/,
    ';',
    /queues: who takes the card finds no arbiter/,
  ],
  [
    'fault-not-recorded',
    'a page fault is not recorded',
    GAUDI,
    'gaudi_print_and_get_mmu_error_info',
    /hl_handle_page_fault\([^;]*;/,
    ';',
    /records: of faults|lifetimes: a transfer whose/,
  ],
  [
    'invalidate-nothing',
    'no translation is ever invalidated',
    GAUDI,
    'gaudi_mmu_invalidate_cache',
    /WREG32\(mmSTLB_CACHE_INV[^;]*;/,
    ';',
    /memory: after a|lifetimes: (the card reaches|a transfer whose memory)/,
  ],
  [
    'sync-object-not-reset',
    'a sync object keeps its count when it is used anew',
    GAUDI,
    'gaudi_reset_sob',
    /WREG32\([^;]*;/,
    ';',
    /sync: a sync object that has counted|limits: a queue has two/,
  ],
  // efa_verbs.c
  [
    'efa-page-list',
    'every second page of registered memory is the one before it',
    EFA,
    'umem_to_page_list',
    /page_list\[hp_idx\+\+\]/,
    'page_list[hp_idx++ & ~1]',
    /p2p: a list of pages (in the|that)/,
  ],
  [
    'efa-permissions',
    'registered memory can be written to from afar without leave',
    EFA,
    'efa_register_mr',
    /permissions = access_flags/,
    'permissions = access_flags | IB_ACCESS_REMOTE_WRITE',
    /p2p: a region that may only/,
  ],
  [
    'efa-length',
    'registered memory is a page longer than was asked for',
    EFA,
    'efa_register_mr',
    /mr_length_in_bytes = length/,
    'mr_length_in_bytes = length + PAGE_SIZE',
    /p2p: beyond the end/,
  ],
  [
    'efa-memory-kept',
    'memory stays pinned when its registration is given back',
    EFA,
    'efa_dereg_mr',
    /ib_umem_release\(mr->umem\);/,
    '',
    /p2p: (a list of pages in the|closing the)/,
  ],
  [
    'efa-state',
    'a queue pair always says that it is ready',
    EFA,
    'efa_query_qp',
    /qp_state = result.qp_state/,
    'qp_state = IB_QPS_RTS',
    /p2p: (a queue pair tells|states that)/,
  ],
];

const COUNTED_NOWHERE = 'memory that nothing counts: only kmemleak sees it';
const unnoticed: Readonly<Record<string, string>> = {
  'unmap-leaves-sgt': COUNTED_NOWHERE,
  'eventfd-kept': COUNTED_NOWHERE,
  'pid-kept': COUNTED_NOWHERE,
  'scrub-forgotten': 'the driver scrubs only with its parameter memory_scrub',
  'staged-limit-goes-on': 'a timer in memory that was given back: nothing comes of it until that memory is used again',
  'pll-outputs-swapped': 'what the outputs of a PLL are is told nowhere else, and is published for no card',
  'pci-counters-swapped': 'the firmware counts during 10 ms, in which a card at rest neither sends nor receives',
  'several-at-once': 'the end that wakes who waits has the same time',
  'map-not-invalidated': 'an MMU that remembers only what is mapped has nothing to forget when more is',
  'huge-pages-where-not': 'a program has two MiB of pages in a row that do not begin at two MiB by chance only',
  'pin-read-only':
    'no test has memory that a program may only read; of other memory the kernel makes a copy for such a pin, too',
  'stamps-lost': 'the kept outcome is asked for when 16384 more submissions were made',
};

export const brokenDrivers: readonly BrokenDriver[] = rows.map(([name, what, file, fn, find, by, tests]) => ({
  name,
  what,
  file,
  function: fn,
  find,
  by,
  tests,
  ...(unnoticed[name] ? { unnoticed: unnoticed[name] } : {}),
}));

/**
 * A driver's file with the change.
 * @throws Error where the function, or what is to be changed in it, is not there
 */
export function broken(text: string, { name, function: fn, find, by }: BrokenDriver): string {
  const head = new RegExp(`^(?!\\s)[^;\\n]*\\b${fn}\\([^;{]*\\)\\s*\\{$`, 'm').exec(text);
  if (!head) throw new Error(`${name}: there is no function ${fn}`);
  const end = text.indexOf('\n}\n', head.index);
  const body = text.slice(head.index, end);
  const changed = body.replace(find, () => by);
  if (changed === body) throw new Error(`${name}: nothing in ${fn} matches ${find}`);
  return text.slice(0, head.index) + changed + text.slice(end);
}
