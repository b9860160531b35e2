/** System calls in a trace. */

import type { Steps } from '../../sim/process.ts';
import { following, type Track } from '../../trace/recorder.ts';
import { cbOperations, DRM_IOCTL_HL_CB } from '../../uapi/habanalabs/cb.ts';
import { DRM_IOCTL_HL_CS } from '../../uapi/habanalabs/cs.ts';
import { DRM_IOCTL_HL_DEBUG, debugOperations } from '../../uapi/habanalabs/debug.ts';
import { DRM_IOCTL_HL_INFO, infoOperations } from '../../uapi/habanalabs/info.ts';
import { DRM_IOCTL_HL_MEMORY, memoryOperations } from '../../uapi/habanalabs/memory.ts';
import { DRM_IOCTL_HL_WAIT_CS } from '../../uapi/habanalabs/wait-cs.ts';
import { ib_uverbs_ioctl_hdr, objects, RDMA_VERBS_IOCTL } from '../../uapi/rdma/ioctl.ts';
import { type Constants, type Ioctl, nameOf } from '../../uapi/rows.ts';
import { importerIoctls } from '../../uapi/sagrada/importer.ts';
import { SystemError } from '../driver.ts';

/** What a call was asked for. */
export interface TracedCall {
  readonly name: string;
  readonly fd?: number;
  readonly request?: number;
  readonly argument?: Uint8Array;
  readonly detail?: string;
}

/** Requests of the driver and their operations, by the request's number. */
const requests = new Map<
  number,
  { readonly name: string; readonly operation?: (argument: Uint8Array) => string | undefined }
>([
  [DRM_IOCTL_HL_CS.request, { name: DRM_IOCTL_HL_CS.name }],
  [DRM_IOCTL_HL_WAIT_CS.request, { name: DRM_IOCTL_HL_WAIT_CS.name }],
  operated(DRM_IOCTL_HL_CB, cbOperations, (bytes) => DRM_IOCTL_HL_CB.argument.decode(bytes).in.op),
  operated(DRM_IOCTL_HL_MEMORY, memoryOperations, (bytes) => DRM_IOCTL_HL_MEMORY.argument.decode(bytes).in.op),
  operated(DRM_IOCTL_HL_INFO, infoOperations, (bytes) => DRM_IOCTL_HL_INFO.argument.decode(bytes).op),
  operated(DRM_IOCTL_HL_DEBUG, debugOperations, (bytes) => DRM_IOCTL_HL_DEBUG.argument.decode(bytes).op),
  ...Object.values(importerIoctls).map(({ request, name }) => [request, { name }] as const),
  [RDMA_VERBS_IOCTL.request, { name: RDMA_VERBS_IOCTL.name, operation: verbsMethod }],
]);

function operated(
  { request, name, argument }: Pick<Ioctl, 'request' | 'name' | 'argument'>,
  rows: Constants,
  operation: (bytes: Uint8Array) => number,
) {
  const named = (bytes: Uint8Array) => (bytes.length < argument.size ? undefined : nameOf(rows, operation(bytes)));
  return [request, { name, operation: named }] as const;
}

/** Object and number of the method. */
function verbsMethod(argument: Uint8Array): string | undefined {
  if (argument.length < ib_uverbs_ioctl_hdr.size) return undefined;
  const { object_id, method_id } = ib_uverbs_ioctl_hdr.decode(argument);
  return `${nameOf(objects, object_id) ?? `object ${object_id}`} ${method_id}`;
}

/** What a request is called: its operation where it has several. */
function requestName(request: number, argument: Uint8Array): string {
  const row = requests.get(request);
  return row?.operation?.(argument) ?? row?.name ?? `request 0x${request.toString(16)}`;
}

/** A call, told. What it does while it is its turn follows from it. @param file what its descriptor is of */
export function* tracedCall<T>(track: Track, call: TracedCall, file: string | undefined, steps: Steps<T>): Steps<T> {
  const { trace } = track;
  const flow = trace.flow();
  const { name, fd = -1, request, argument, detail } = call;
  const ioctl = request !== undefined && argument !== undefined;
  if (ioctl) track.begin('ioctl', requestName(request, argument), { fd, file, request, argument }, flow);
  else track.begin('call', name, { fd, file, detail }, flow);
  let result = 0;
  try {
    const value = yield* following(trace, flow, steps);
    if (typeof value === 'number') result = value;
    return value;
  } catch (error) {
    if (error instanceof SystemError) result = -error.errno;
    throw error;
  } finally {
    if (ioctl) track.end('ioctl', { result, after: argument });
    else track.end('call', { result });
  }
}
