/**
 * One call of the verbs interface: its attributes as the program gave them, checked as their rows say, and what comes back.
 * Source: core/uverbs_ioctl.c (uverbs_process_attr, ib_uverbs_run_method), core/ib_core_uverbs.c.
 */

import type { Steps } from '../../../sim/process.ts';
import {
  type Attribute,
  attributeFlags,
  ib_uverbs_attr,
  ib_uverbs_ioctl_hdr,
  type Method,
  uhw,
} from '../../../uapi/rdma/ioctl.ts';
import { values } from '../../../uapi/rows.ts';
import { refuse } from '../errno.ts';
import type { OpenFile } from '../files.ts';
import type { Kernel } from '../kernel.ts';
import type { EventFile } from './event-files.ts';
import type { DriverData, UserContext } from './making.ts';
import type { UserObject, UserObjects } from './uobjects.ts';
import { copyFromUser, copyToUser, extend, respond } from './user-copy.ts';

const FLAG = values(attributeFlags);
const HEADER = ib_uverbs_ioctl_hdr.size;
const ENTRY = ib_uverbs_attr.size;
/** Where they are in an attribute. */
const AT = { FLAGS: 4, DATA: 8 } as const;
/** Data of up to so many bytes are in the attribute itself. */
const INLINE = 8;
const U32_MAX = 2n ** 32n - 1n;

interface Given {
  readonly row: Attribute;
  readonly index: number;
  readonly length: number;
  readonly flags: number;
  readonly data: bigint;
  readonly object: UserObject | undefined;
}

export interface CallPorts {
  readonly kernel: Kernel;
  readonly objects: UserObjects;
  /** The argument of the ioctl, which is written too. */
  readonly argument: Uint8Array;
  readonly method: Method;
  /** Makes the file of an object that has a descriptor. */
  makeFile(row: Attribute): OpenFile<EventFile>;
}

export class Call implements DriverData {
  readonly kernel: Kernel;
  readonly objects: UserObjects;
  readonly #argument: Uint8Array;
  readonly #view: DataView;
  readonly #method: Method;
  readonly #makeFile: CallPorts['makeFile'];
  readonly #given = new Map<number, Given>();
  #context: UserContext | undefined;

  constructor({ kernel, objects, argument, method, makeFile }: CallPorts) {
    this.kernel = kernel;
    this.objects = objects;
    this.#argument = argument;
    this.#view = new DataView(argument.buffer, argument.byteOffset, argument.length);
    this.#method = method;
    this.#makeFile = makeFile;
  }

  /** The context that the call is about. @throws SystemError EINVAL where there is none */
  get context(): UserContext {
    this.#context ??= this.objects.requireContext();
    return this.#context;
  }

  /**
   * Checks the attributes in their order, then runs the method. What fails leaves no object behind.
   * @param body its handler; for a method that destroys it runs when the object has gone @throws SystemError
   */
  *run(count: number, body: () => Steps | undefined): Steps {
    let done = false;
    try {
      for (let i = 0; i < count; i++) this.#take(i);
      for (const row of Object.values(this.#method.attributes)) {
        if (row.mandatory && !this.has(row)) refuse('EINVAL');
      }
      const ended = [...this.#given.values()].find(({ row }) => row.access === 'destroy');
      if (ended?.object) yield* this.objects.destroy(ended.object);
      yield* body() ?? [];
      if (this.has(uhw.UVERBS_ATTR_UHW_OUT)) this.#told(this.#one(uhw.UVERBS_ATTR_UHW_OUT));
      done = true;
    } finally {
      yield* this.#finish(done);
    }
  }

  /** bundle_destroy: objects that were used are let go, one that is new is there now, or is not. */
  *#finish(done: boolean): Steps {
    for (const { row, object } of this.#given.values()) {
      if (!object || !row.access) continue;
      if (row.access !== 'new') this.objects.put(object, row.access);
      else if (done) this.objects.commit(object);
      else yield* this.objects.abort(object);
    }
  }

  /** uverbs_set_attr. */
  #take(index: number): void {
    const at = HEADER + index * ENTRY;
    const { attr_id, len: length, flags, attr_data, data, data_s64 } = ib_uverbs_attr.decode(this.#argument, at);
    const row = Object.values(this.#method.attributes).find(({ id }) => id === attr_id);
    if (!row) {
      if ((flags & FLAG.UVERBS_ATTR_F_MANDATORY) !== 0) refuse('EPROTONOSUPPORT');
      return;
    }
    if (this.#given.has(row.id)) refuse('EINVAL');
    const given = { row, index, length, flags, data, object: undefined };
    if (row.type === 'in' || row.type === 'out') {
      this.#checkLength(given);
      if (attr_data.reserved !== 0) refuse('EINVAL');
      this.#given.set(row.id, given);
      return;
    }
    if (attr_data.reserved !== 0 || length !== 0) refuse('EINVAL');
    if (row.type === 'raw-fd') {
      if (BigInt.asIntN(32, data_s64) !== data_s64) refuse('EINVAL');
      this.#given.set(row.id, given);
      return;
    }
    const object = this.#object(row, data_s64);
    this.#given.set(row.id, { ...given, object });
    if (row.access === 'new') this.#view.setBigInt64(at + AT.DATA, BigInt(object.id), true);
  }

  #checkLength({ row, length, data }: Given): void {
    if (row.type === 'in' && row.growing && length > row.most) {
      if (
        this.#bytesOrNone(data, length)
          ?.subarray(row.most)
          .every((byte) => byte === 0) !== true
      ) {
        refuse('EOPNOTSUPP');
      }
    }
    if (length < row.least || (!row.growing && length > row.most)) refuse('EINVAL');
  }

  #object(row: Attribute, id: bigint): UserObject {
    const { object: type, access } = row as Required<Attribute>;
    if (access !== 'new') {
      const object = this.objects.get(type, access, id);
      // what has a handle belongs to the context
      this.#context ??= this.objects.context;
      return object;
    }
    void this.context;
    return this.objects.begin(type, row.type === 'fd' ? this.#makeFile(row) : undefined);
  }

  has(row: Attribute): boolean {
    return this.#given.has(row.id);
  }

  /** The object that a handle or descriptor named; undefined where it was not given. */
  object(row: Attribute): UserObject | undefined {
    return this.#given.get(row.id)?.object;
  }

  /** The driver's object of that. @throws SystemError ENOENT where it was not given */
  named<T>(row: Attribute): T {
    return (this.object(row) ?? refuse('ENOENT')).object as T;
  }

  #one(row: Attribute): Given {
    return this.#given.get(row.id) ?? refuse('ENOENT');
  }

  /** Data of the program, as many bytes as it gave. @throws SystemError ENOENT, EFAULT */
  bytes(row: Attribute): Uint8Array {
    const { data, length, index } = this.#one(row);
    return length <= INLINE ? this.#inline(index, length) : copyFromUser(this.kernel, data, length);
  }

  #inline(index: number, length: number): Uint8Array {
    const at = HEADER + index * ENTRY + AT.DATA;
    return this.#argument.slice(at, at + length);
  }

  #bytesOrNone(data: bigint, length: number): Uint8Array | undefined {
    if (length > INLINE) return this.kernel.program.bytes(data, length);
    const word = new Uint8Array(INLINE);
    new DataView(word.buffer).setBigUint64(0, data, true);
    return word.subarray(0, length);
  }

  /** A struct of which the program may have given less or more. @throws SystemError ENOENT, EFAULT */
  struct(row: Attribute, size: number): Uint8Array {
    const whole = new Uint8Array(size);
    whole.set(this.bytes(row).subarray(0, size));
    return whole;
  }

  u32(row: Attribute): number {
    return Number(BigInt.asUintN(32, this.u64(row)));
  }

  /** @throws SystemError ENOENT where it was not given */
  u64(row: Attribute): bigint {
    return this.#one(row).data;
  }

  /** UVERBS_ATTR_CONST_IN. @param most the largest @throws SystemError EINVAL */
  number(row: Attribute, most = U32_MAX): number {
    const value = this.u64(row);
    if (value > most) refuse('EINVAL');
    return Number(value);
  }

  /** A descriptor of anything. */
  descriptor(row: Attribute): number {
    return Number(BigInt.asIntN(64, this.u64(row)));
  }

  /** UVERBS_ATTR_FLAGS_IN; 0 where they were not given. @throws SystemError EINVAL for others than `allowed` */
  flags(row: Attribute, allowed: number): number {
    if (!this.has(row)) return 0;
    const { length, data } = this.#one(row);
    if (length !== 4 && length !== 8) refuse('EINVAL');
    const flags = length === 4 ? BigInt.asUintN(32, data) : data;
    if ((flags & ~BigInt(allowed)) !== 0n) refuse('EINVAL');
    return Number(flags);
  }

  /** uverbs_copy_to: as much as there is room for. Nothing where the program does not want it. @throws SystemError EFAULT */
  give(row: Attribute, bytes: Uint8Array): void {
    if (!this.has(row)) return;
    const given = this.#one(row);
    copyToUser(this.kernel, given.data, bytes.subarray(0, given.length));
    this.#told(given);
  }

  giveU32(row: Attribute, value: number): void {
    this.give(row, Uint8Array.of(value, value >>> 8, value >>> 16, value >>> 24));
  }

  giveU64(row: Attribute, value: bigint): void {
    const bytes = new Uint8Array(8);
    new DataView(bytes.buffer).setBigUint64(0, value, true);
    this.give(row, bytes);
  }

  /** uverbs_copy_to_struct_or_zero: what is left of the room becomes zero. @throws SystemError EFAULT */
  giveStruct(row: Attribute, bytes: Uint8Array): void {
    const given = this.#one(row);
    respond(this.kernel, given.data, given.length, bytes);
    this.#told(given);
  }

  /** Room that the program has for the answer. */
  room(row: Attribute): number {
    return this.#given.get(row.id)?.length ?? 0;
  }

  /** uverbs_set_output. */
  #told({ index, flags }: Given): void {
    this.#view.setUint16(HEADER + index * ENTRY + AT.FLAGS, flags | FLAG.UVERBS_ATTR_F_VALID_OUTPUT, true);
  }

  take(size: number, least: number): Uint8Array {
    if (this.room(uhw.UVERBS_ATTR_UHW_IN) < least) refuse('EINVAL');
    return extend(this.#driverInput(), size);
  }

  peek(size: number): Uint8Array {
    const whole = new Uint8Array(size);
    const { data, length, index } = this.#given.get(uhw.UVERBS_ATTR_UHW_IN.id) ?? { data: 0n, length: 0, index: 0 };
    const given = Math.min(length, size);
    whole.set(length <= INLINE ? this.#inline(index, given) : copyFromUser(this.kernel, data, given));
    return whole;
  }

  takeNothing(): void {
    extend(this.#driverInput(), 0);
  }

  #driverInput(): Uint8Array {
    return this.has(uhw.UVERBS_ATTR_UHW_IN) ? this.bytes(uhw.UVERBS_ATTR_UHW_IN) : new Uint8Array(0);
  }

  answer(bytes: Uint8Array): void {
    const given = this.#given.get(uhw.UVERBS_ATTR_UHW_OUT.id);
    if (given) respond(this.kernel, given.data, given.length, bytes);
  }

  /** Whether the driver's answer is wanted. */
  get answered(): boolean {
    return this.room(uhw.UVERBS_ATTR_UHW_OUT) > 0;
  }
}
