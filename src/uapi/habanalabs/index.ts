/** All rows of drm/habanalabs_accel.h, for what walks over them: the check against the C compiler, the report. */

import type { Constants, Ioctl, Operation } from '../rows.ts';
import type { Struct } from '../struct.ts';
import * as cb from './cb.ts';
import * as cs from './cs.ts';
import * as debug from './debug.ts';
import * as gaudi from './gaudi.ts';
import * as info from './info.ts';
import * as results from './info-results.ts';
import * as memory from './memory.ts';
import * as others from './other-chips.ts';
import * as requests from './requests.ts';
import * as wait from './wait-cs.ts';

export interface Interface {
  readonly ioctl: Ioctl;
  readonly operations: Readonly<Record<string, Operation>>;
  /** The member that selects the operation: by its number, or by flags of which the last that is set counts. */
  readonly selects: { readonly member: string; readonly by: 'number' | 'flags' };
  /** Rows of its flags, and the members they are in; `chunk` is the first chunk of a submission. */
  readonly flags: readonly { readonly member: string; readonly rows: Constants; readonly mask?: number }[];
}

/** Ioctls with their operations. */
export const interfaces: readonly Interface[] = [
  {
    ioctl: info.DRM_IOCTL_HL_INFO,
    operations: info.infoOperations,
    selects: { member: 'op', by: 'number' },
    flags: [],
  },
  {
    ioctl: cb.DRM_IOCTL_HL_CB,
    operations: cb.cbOperations,
    selects: { member: 'in.op', by: 'number' },
    flags: [{ member: 'in.flags', rows: cb.cbFlags }],
  },
  {
    ioctl: cs.DRM_IOCTL_HL_CS,
    operations: cs.csOperations,
    selects: { member: 'in.cs_flags', by: 'flags' },
    flags: [
      { member: 'in.cs_flags', rows: cs.csFlags },
      { member: 'chunk.cs_chunk_flags', rows: cs.chunkFlags },
    ],
  },
  {
    ioctl: wait.DRM_IOCTL_HL_WAIT_CS,
    operations: wait.waitOperations,
    selects: { member: 'in.flags', by: 'flags' },
    flags: [
      { member: 'in.flags', rows: wait.waitFlags },
      {
        member: 'in.flags',
        rows: wait.waitInterrupts,
        mask: wait.waitInterrupts.HL_WAIT_CS_FLAGS_INTERRUPT_MASK.value,
      },
    ],
  },
  {
    ioctl: memory.DRM_IOCTL_HL_MEMORY,
    operations: memory.memoryOperations,
    selects: { member: 'in.op', by: 'number' },
    flags: [{ member: 'in.flags', rows: memory.memoryFlags }],
  },
  {
    ioctl: debug.DRM_IOCTL_HL_DEBUG,
    operations: debug.debugOperations,
    selects: { member: 'op', by: 'number' },
    flags: [],
  },
];

export const ioctls: readonly Ioctl[] = interfaces.map(({ ioctl }) => ioctl);

/** Names that the rows add to select what the header selects by the absence of a flag. */
const ownNames = /_FLAGS_NONE$/;

/** Everything with a name and a number. */
export const constants: Constants = Object.fromEntries(
  [
    results.infoConstants,
    results.hl_device_status,
    results.hl_server_type,
    results.notifierEvents,
    results.hl_clk_throttling_type,
    results.clockThrottleReasons,
    results.razwiFlags,
    results.hl_info_fw_err_type,
    results.gaudi_dcores,
    requests.requestConstants,
    info.infoOperations,
    cb.cbConstants,
    cb.cbOperations,
    cb.cbFlags,
    cs.csConstants,
    cs.chunkFlags,
    cs.hl_engine_command,
    cs.csFlags,
    cs.csOperations,
    wait.waitConstants,
    wait.waitFlags,
    wait.waitInterrupts,
    wait.waitStatus,
    wait.waitStatusFlags,
    wait.waitOperations,
    memory.memoryConstants,
    memory.memoryOperations,
    memory.memoryFlags,
    debug.debugConstants,
    debug.debugOperations,
    gaudi.gaudiConstants,
    gaudi.gaudi_queue_id,
    gaudi.gaudi_engine_id,
    gaudi.hl_gaudi_pll_index,
    others.goya,
    others.gaudi2,
  ].flatMap((rows: Constants) => Object.entries(rows).filter(([name]) => !ownNames.test(name))),
);

export const structs: readonly Struct<unknown, never>[] = [results, info, cb, cs, wait, memory, debug]
  .flatMap((file) => Object.values(file) as unknown[])
  .filter((row): row is Struct<unknown, never> => isStruct(row) && row !== results.cpucp_hbm_row_info);

function isStruct(row: unknown): boolean {
  return typeof row === 'object' && row !== null && 'keyword' in row && 'members' in row;
}
