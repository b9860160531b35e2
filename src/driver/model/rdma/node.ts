/**
 * /dev/infiniband/uverbsN: one for each NIC, and what a program has of it through one open file. Source: core/uverbs_main.c
 * (ib_uverbs_open, ib_uverbs_close, ib_uverbs_mmap), core/uverbs_ioctl.c (ib_uverbs_ioctl).
 */

import type { Steps } from '../../../sim/process.ts';
import {
  ib_uverbs_attr,
  ib_uverbs_ioctl_hdr,
  type Method,
  objects,
  RDMA_VERBS_IOCTL,
} from '../../../uapi/rdma/ioctl.ts';
import { type MethodName, methods } from '../../../uapi/rdma/methods.ts';
import { driverIds } from '../../../uapi/rdma/verbs.ts';
import { refuse } from '../errno.ts';
import { type FileMapping, type FileOperations, OpenFile } from '../files.ts';
import { PAGE } from '../host-memory.ts';
import { type Kernel, Mutex } from '../kernel.ts';
import { Call } from './call.ts';
import { EventFile } from './event-files.ts';
import { bodies } from './methods.ts';
import type { Nic } from './nic.ts';
import type { Session } from './session.ts';
import { isAbsent, type UserObject, UserObjects } from './uobjects.ts';
import type { Verbs } from './verbs.ts';
import { writeCommand } from './write.ts';

const HEADER = ib_uverbs_ioctl_hdr.size;
const ENTRY = ib_uverbs_attr.size;
const ABSENT = new Set<MethodName>(
  // a method that needs an object that cannot be is not there either (core/uverbs_uapi.c, uapi_finalize_disable)
  (Object.keys(methods) as MethodName[]).filter((name) =>
    Object.values(methods[name].attributes).some(({ mandatory, object }) => mandatory && object && isAbsent(object)),
  ),
);
const byNumber = new Map<string, MethodName>(
  (Object.keys(methods) as MethodName[])
    .filter((name) => !ABSENT.has(name))
    .map((name) => [`${objects[methods[name].object].value} ${methods[name].id}`, name]),
);

export class VerbsFile implements FileOperations, Session {
  readonly name: string;
  readonly nic: Nic;
  readonly verbs: Verbs;
  readonly vectors: number;
  readonly lock = new Mutex();
  readonly #kernel: Kernel;
  readonly #objects: UserObjects;
  /** This file, and those of events that came of it. */
  #references = 1;

  constructor(name: string, verbs: Verbs) {
    this.name = name;
    this.verbs = verbs;
    this.nic = verbs.nic;
    this.#kernel = verbs.nic.kernel;
    this.vectors = Math.max(1, verbs.nic.events.length);
    this.#objects = new UserObjects(this.#kernel);
    this.nic.users++;
  }

  ioctl(request: number, argument: Uint8Array): Steps {
    if (request >>> 0 !== RDMA_VERBS_IOCTL.request) refuse('ENOTTY');
    if (argument.length < HEADER) refuse('EFAULT');
    const { length, object_id, method_id, num_attrs, reserved1, reserved2, driver_id } =
      ib_uverbs_ioctl_hdr.decode(argument);
    if (length > PAGE || length !== HEADER + num_attrs * ENTRY) refuse('EINVAL');
    if (reserved1 !== 0n || reserved2 !== 0) refuse('EPROTONOSUPPORT');
    if (driver_id !== driverIds.RDMA_DRIVER_EFA.value) refuse('EINVAL');
    const name = byNumber.get(`${object_id} ${method_id}`);
    if (!name) refuse('EPROTONOSUPPORT');
    if (argument.length < length) refuse('EFAULT');
    const method: Method = methods[name];
    const call = new Call({
      kernel: this.#kernel,
      objects: this.#objects,
      argument,
      method,
      makeFile: ({ object }) => this.makeEvents(object === 'UVERBS_OBJECT_COMP_CHANNEL' ? 'completions' : 'others'),
    });
    return call.run(num_attrs, () => bodies[name](this, call));
  }

  write(bytes: Uint8Array): Steps<number> {
    return writeCommand(this.#kernel, this.#objects, this, bytes);
  }

  mmap(length: number, offset: bigint): FileMapping {
    if (!(length > 0)) refuse('EINVAL', 'mmap');
    const context = this.#objects.context ?? refuse('EINVAL', 'mmap');
    try {
      return context.maps.map(length, offset);
    } catch (error) {
      this.nic.errors.mmap++;
      throw error;
    }
  }

  release(): void {
    this.#kernel.defer(`release of ${this.name}`, this.#end());
  }

  /** uverbs_destroy_ufile_hw: everything that the program has made. */
  *#end(): Steps {
    yield* this.#objects.destroyAll();
    const { context } = this.#objects;
    this.#objects.context = undefined;
    if (context) yield* this.verbs.endContext(context);
    this.#put();
  }

  #put(): void {
    if (--this.#references > 0) return;
    this.nic.users--;
    this.nic.released.notify();
  }

  makeEvents(kind: 'completions' | 'others'): OpenFile<EventFile> {
    this.#references++;
    const file: OpenFile<EventFile> = new OpenFile(
      new EventFile(kind, () => {
        this.#objects.closed(file);
        this.#put();
      }),
    );
    return file;
  }

  begunEvents(object: UserObject | undefined): void {
    this.#objects.asyncEvents ??= object?.file?.operations;
  }
}
