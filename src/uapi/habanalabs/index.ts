/** All rows of drm/habanalabs_accel.h, for what walks over them: the check against the C compiler, the report. */

import type { Constants, Ioctl } from '../rows.ts';
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

export const ioctls: readonly Ioctl[] = [
  info.DRM_IOCTL_HL_INFO,
  cb.DRM_IOCTL_HL_CB,
  cs.DRM_IOCTL_HL_CS,
  wait.DRM_IOCTL_HL_WAIT_CS,
  memory.DRM_IOCTL_HL_MEMORY,
  debug.DRM_IOCTL_HL_DEBUG,
];

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
