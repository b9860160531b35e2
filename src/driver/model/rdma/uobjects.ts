/**
 * The objects that a program has made through one open file: their handles, who uses them now, in which order they end.
 * Source: core/rdma_core.c.
 */

import type { Steps } from '../../../sim/process.ts';
import type { Access, ObjectName } from '../../../uapi/rdma/ioctl.ts';
import { errnoOf, refuse } from '../errno.ts';
import type { Descriptors, OpenFile } from '../files.ts';
import type { Kernel } from '../kernel.ts';
import type { EventFile } from './event-files.ts';
import type { UserContext } from './making.ts';

/** Why an object ends: the program has asked for it, its file is closed, or the call that was to make it has failed. */
export type Reason = 'destroy' | 'close' | 'abort';

/** A uobject: an object of the driver with a handle, or a file of events. */
export class UserObject {
  readonly type: ObjectName;
  /** Its handle; of a file of events the descriptor, until the call is over. */
  readonly id: number;
  /** Of a file of events. */
  readonly file: OpenFile<EventFile> | undefined;
  /** How it is destroyed; undefined while it is not made and when it has gone. @throws SystemError and is as before then */
  destroy: ((reason: Reason) => Steps) | undefined;
  /** The driver's. */
  object: unknown;
  userHandle = 0n;
  /** What events of it were read. */
  readonly reported = { completions: 0, others: 0 };
  /** Calls that use it now; -1: one that has it for itself (usecnt). */
  users = -1;

  constructor(type: ObjectName, id: number, file?: OpenFile<EventFile>) {
    this.type = type;
    this.id = id;
    this.file = file;
  }
}

/** Objects that have a descriptor instead of a handle. */
export function isFile(type: ObjectName): boolean {
  return type === 'UVERBS_OBJECT_ASYNC_EVENT' || type === 'UVERBS_OBJECT_COMP_CHANNEL';
}

/** Those that a driver like efa has none of: nothing can be looked up as one. */
const ABSENT: ReadonlySet<ObjectName> = new Set<ObjectName>([
  'UVERBS_OBJECT_SRQ',
  'UVERBS_OBJECT_MW',
  'UVERBS_OBJECT_FLOW',
  'UVERBS_OBJECT_XRCD',
  'UVERBS_OBJECT_RWQ_IND_TBL',
  'UVERBS_OBJECT_WQ',
  'UVERBS_OBJECT_FLOW_ACTION',
  'UVERBS_OBJECT_DM',
  'UVERBS_OBJECT_COUNTERS',
  'UVERBS_OBJECT_DMAH',
  'UVERBS_OBJECT_DMABUF',
]);

export function isAbsent(type: ObjectName): boolean {
  return ABSENT.has(type);
}

const S32 = { LEAST: -(2n ** 31n), MOST: 2n ** 31n - 1n } as const;

export class UserObjects {
  readonly #kernel: Kernel;
  /** By handle; undefined while it is being made. */
  readonly #handles = new Map<number, UserObject | undefined>();
  /** The newest first. */
  #all: UserObject[] = [];
  /** GET_CONTEXT was called. */
  context: UserContext | undefined;
  /** The first of them is where events without a file of their own go. */
  asyncEvents: EventFile | undefined;

  constructor(kernel: Kernel) {
    this.#kernel = kernel;
  }

  get #descriptors(): Descriptors {
    return this.#kernel.current.files;
  }

  /** Handles of a type, the newest first. */
  handles(type: ObjectName): number[] {
    return this.#all.filter((one) => one.type === type).map(({ id }) => (isFile(type) ? 0 : id));
  }

  /** @throws SystemError EINVAL before GET_CONTEXT */
  requireContext(): UserContext {
    return this.context ?? refuse('EINVAL');
  }

  /**
   * rdma_lookup_get_uobject, rdma_alloc_begin_uobject.
   * @param id of 64 bits with sign
   * @throws SystemError EINVAL, ENOENT, EBADF, EOPNOTSUPP, EBUSY
   */
  get(type: ObjectName, access: Exclude<Access, 'new'>, id: bigint): UserObject {
    if (isAbsent(type)) refuse('EINVAL');
    const object = isFile(type) ? this.#fileObject(type, access, id) : this.#handleObject(type, id);
    if (access === 'read') {
      if (object.users < 0) refuse('EBUSY');
      object.users++;
    } else if (access === 'write') {
      if (object.users !== 0) refuse('EBUSY');
      object.users = -1;
    }
    object.file?.get();
    return object;
  }

  #handleObject(type: ObjectName, id: bigint): UserObject {
    if (id < 0n) refuse('EINVAL');
    const object = id < 2n ** 32n ? this.#handles.get(Number(id)) : undefined;
    if (!object) refuse('ENOENT');
    if (object.type !== type) refuse('EINVAL');
    return object;
  }

  #fileObject(type: ObjectName, access: Access, id: bigint): UserObject {
    if (id < S32.LEAST || id > S32.MOST) refuse('EINVAL');
    if (access !== 'read') refuse('EOPNOTSUPP');
    const file = this.#descriptors.find(Number(id));
    const object = this.#all.find((one) => one.file === file && one.type === type);
    return file && object ? object : refuse('EBADF');
  }

  /** rdma_lookup_put_uobject. */
  put(object: UserObject, access: Exclude<Access, 'new'>): void {
    if (access === 'read') object.users--;
    else if (access === 'write') object.users = 0;
    object.file?.put();
  }

  /** Begins to make one: nobody finds it until `commit`. @throws SystemError EINVAL without a context, EMFILE */
  begin(type: ObjectName, file?: OpenFile<EventFile>): UserObject {
    if (file) return new UserObject(type, this.#descriptors.reserve(), file);
    let id = 0;
    while (this.#handles.has(id)) id++;
    this.#handles.set(id, undefined);
    return new UserObject(type, id);
  }

  /** rdma_alloc_commit_uobject. */
  commit(object: UserObject): void {
    this.#all.unshift(object);
    object.users = 0;
    if (object.file) this.#descriptors.inherit(object.id, object.file);
    else this.#handles.set(object.id, object);
  }

  /** rdma_alloc_abort_uobject: what the driver has made of it ends. */
  *abort(object: UserObject): Steps {
    if (object.file) {
      this.#descriptors.forget(object.id);
      // nobody has had it: it is released now
      object.file.get().put();
      return;
    }
    try {
      yield* object.destroy?.('abort') ?? [];
    } catch (error) {
      errnoOf(error);
      // what cannot be destroyed stays, for later tries
      this.commit(object);
      return;
    }
    this.#handles.delete(object.id);
  }

  /** uobj_destroy, for a call that has looked it up to destroy it. @throws SystemError EBUSY, what the driver refuses with */
  *destroy(object: UserObject): Steps {
    if (object.users !== 0) refuse('EBUSY');
    object.users = -1;
    try {
      yield* this.#end(object, 'destroy');
    } catch (error) {
      object.users = 0;
      throw error;
    }
    this.#handles.delete(object.id);
  }

  /** The last descriptor of a file of events has gone (uverbs_uobject_fd_release). */
  closed(file: OpenFile<EventFile>): void {
    this.#all = this.#all.filter((one) => one.file !== file);
  }

  *#end(object: UserObject, reason: Reason): Steps {
    yield* object.destroy?.(reason) ?? [];
    object.destroy = undefined;
    this.#all = this.#all.filter((one) => one !== object);
  }

  /** uverbs_destroy_ufile_hw: what the program has left, the newest first; what others use is tried again after those. */
  *destroyAll(): Steps {
    while (this.#all.length > 0) {
      let ended = 0;
      for (const object of [...this.#all]) {
        try {
          yield* this.#end(object, 'close');
          ended++;
        } catch (error) {
          errnoOf(error);
        }
      }
      if (ended > 0) continue;
      // a driver that cannot destroy its objects: the kernel warns, and forgets them
      this.#kernel.log('warn', 'WARNING', 'uverbs_destroy_ufile_hw');
      this.#all = [];
    }
    this.#handles.clear();
  }
}
