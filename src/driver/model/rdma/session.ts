/** What methods and commands share: the open file they are called through, and what both do alike. */

import type { Steps } from '../../../sim/process.ts';
import type { Attribute } from '../../../uapi/rdma/ioctl.ts';
import { accessFlags } from '../../../uapi/rdma/verbs.ts';
import { values } from '../../../uapi/rows.ts';
import { refuse } from '../errno.ts';
import type { OpenFile } from '../files.ts';
import { PAGE } from '../host-memory.ts';
import type { Mutex } from '../kernel.ts';
import type { Call } from './call.ts';
import type { EventFile } from './event-files.ts';
import type { DriverData } from './making.ts';
import type { Nic } from './nic.ts';
import type { UserMemory } from './umem.ts';
import type { UserObject, UserObjects } from './uobjects.ts';
import type { MemoryRegion, ProtectionDomain, Verbs } from './verbs.ts';

const ACCESS = values(accessFlags);
/** IB_ACCESS_SUPPORTED */
const SUPPORTED = (2 * ACCESS.IB_UVERBS_ACCESS_FLUSH_PERSISTENT - 1) | ACCESS.IB_UVERBS_ACCESS_OPTIONAL_RANGE;

/** The node, open. */
export interface Session {
  readonly nic: Nic;
  readonly verbs: Verbs;
  /** num_comp_vectors */
  readonly vectors: number;
  /** Of GET_CONTEXT (ucontext_lock). */
  readonly lock: Mutex;
  makeEvents(kind: 'completions' | 'others'): OpenFile<EventFile>;
  /** A file of asynchronous events is there: the first is that of all objects without another. */
  begunEvents(object: UserObject | undefined): void;
}

/** ib_alloc_ucontext, ib_init_ucontext. @param granted looks at what else the caller brings @throws SystemError EINVAL */
export function* beginContext(
  session: Session,
  call: DriverData & { readonly objects: UserObjects },
  granted: () => void,
): Steps {
  const { objects } = call;
  const begin = function* (): Steps {
    if (objects.context) refuse('EINVAL');
    granted();
    objects.context = yield* session.verbs.context(call);
  };
  yield* session.lock.hold(begin());
}

/** ib_check_mr_access. @throws SystemError EINVAL, EOPNOTSUPP */
export function checkAccess(access: number): void {
  const remote = ACCESS.IB_UVERBS_ACCESS_REMOTE_ATOMIC | ACCESS.IB_UVERBS_ACCESS_REMOTE_WRITE;
  if ((access & remote) !== 0 && (access & ACCESS.IB_UVERBS_ACCESS_LOCAL_WRITE) === 0) refuse('EINVAL');
  if ((access & ~SUPPORTED) !== 0) refuse('EINVAL');
  // the device pages nothing on demand and flushes nothing
  const absent =
    ACCESS.IB_UVERBS_ACCESS_ON_DEMAND | ACCESS.IB_UVERBS_ACCESS_FLUSH_GLOBAL | ACCESS.IB_UVERBS_ACCESS_FLUSH_PERSISTENT;
  if ((access & absent) !== 0) refuse('EOPNOTSUPP');
}

/** @throws SystemError EINVAL */
export function samePlaceInPage(start: bigint, iova: bigint): void {
  if (start % BigInt(PAGE) !== iova % BigInt(PAGE)) refuse('EINVAL');
}

interface RegionRequest {
  readonly pd: ProtectionDomain;
  readonly pin: () => UserMemory;
  readonly iova: bigint;
  readonly access: number;
}

/** Registers memory as a new object. @param data what the driver is told; by default what the call brings */
export function* registerAs(
  session: Session,
  object: UserObject,
  request: RegionRequest,
  data: DriverData,
): Steps<MemoryRegion> {
  const { pd, pin, iova, access } = request;
  const region = yield* session.verbs.memoryRegion(pd, pin, iova, access, data);
  object.object = region;
  object.destroy = () => region.destroy();
  return region;
}

/** The same for a method, whose attribute the handle is. */
export function* makeRegion(
  session: Session,
  call: Call,
  handle: Attribute,
  request: RegionRequest,
): Steps<MemoryRegion> {
  return yield* registerAs(session, call.object(handle) ?? refuse('ENOENT'), request, call);
}
