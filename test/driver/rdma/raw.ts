/** The verbs interface in bytes: an argument as a program without any library would make it. */

import { constants } from 'node:os';
import { type Driver, type Mapping, O_RDWR, SystemError } from '../../../src/driver/driver.ts';
import { ModelMachine } from '../../../src/machine/model.ts';
import { commands, extendedCommands } from '../../../src/uapi/rdma/commands.ts';
import {
  efa_ibv_create_cq,
  efa_ibv_create_cq_resp,
  efa_ibv_create_qp,
  efa_ibv_create_qp_resp,
} from '../../../src/uapi/rdma/efa.ts';
import { ib_uverbs_attr, ib_uverbs_ioctl_hdr, objects, RDMA_VERBS_IOCTL } from '../../../src/uapi/rdma/ioctl.ts';
import { type MethodName, methods } from '../../../src/uapi/rdma/methods.ts';
import { ib_uverbs_qp_cap } from '../../../src/uapi/rdma/verbs.ts';
import type { Struct } from '../../../src/uapi/struct.ts';

export const EFA_DRIVER = 17;
const HEADER = ib_uverbs_ioctl_hdr.size;
const ENTRY = ib_uverbs_attr.size;

/** An attribute: numbers and short bytes lie in it, longer bytes and room for answers in memory. */
export interface RawAttribute {
  readonly id: number;
  readonly value?: number | bigint;
  readonly bytes?: Uint8Array;
  readonly room?: number;
  readonly length?: number;
  readonly flags?: number;
  readonly reserved?: number;
  /** Address instead of memory that is there. */
  readonly at?: bigint;
}

/** The errno that something ends with; `ok` where it does not. */
export function errno(act: () => unknown): string {
  try {
    act();
    return 'ok';
  } catch (error) {
    if (!(error instanceof SystemError)) throw error;
    return error.errno === constants.errno.EOPNOTSUPP ? 'EOPNOTSUPP' : error.code;
  }
}

export interface Answered {
  /** What a handle or a descriptor became. */
  value(index: number): number;
  flags(index: number): number;
  bytes(index: number): Uint8Array;
}

/** The argument of a call; what does not fit into it lies in `memory`, at `places`. */
export function rawArgument(
  memory: Mapping,
  object: number,
  method: number,
  attributes: readonly RawAttribute[],
  header: Record<string, number | bigint> = {},
): { readonly argument: Uint8Array; readonly places: readonly number[] } {
  let next = 0;
  const places: number[] = [];
  const argument = new Uint8Array(HEADER + ENTRY * attributes.length);
  ib_uverbs_ioctl_hdr.encodeInto(argument, 0, {
    length: argument.length,
    object_id: object,
    method_id: method,
    num_attrs: attributes.length,
    driver_id: EFA_DRIVER,
    ...header,
  });
  attributes.forEach(({ id, value, bytes, room, length, flags, reserved, at }, i) => {
    const size = bytes?.length ?? room ?? 0;
    places.push(next);
    let data = BigInt.asUintN(64, BigInt(value ?? 0));
    if (room !== undefined || size > 8) {
      data = at ?? memory.address + BigInt(next);
      if (bytes) memory.bytes.set(bytes, next);
      next += Math.ceil(size / 8) * 8;
    } else if (bytes) {
      const word = new Uint8Array(8);
      word.set(bytes);
      data = new DataView(word.buffer).getBigUint64(0, true);
    }
    ib_uverbs_attr.encodeInto(argument, HEADER + ENTRY * i, {
      attr_id: id,
      len: length ?? size,
      flags: flags ?? 0,
      attr_data: { reserved: reserved ?? 0 },
      data,
    });
  });
  return { argument, places };
}

export class RawVerbs {
  readonly driver: Driver;
  readonly fd: number;
  readonly memory: Mapping;

  constructor(driver: Driver, path = '/dev/infiniband/uverbs0') {
    this.driver = driver;
    this.fd = driver.open(path, O_RDWR);
    this.memory = driver.allocate(0x1_0000);
  }

  close(): void {
    this.driver.close(this.fd);
  }

  /** @param change spoils the argument before it is sent */
  raw(
    object: number,
    method: number,
    attributes: readonly RawAttribute[],
    header: Record<string, number | bigint> = {},
    change: (argument: Uint8Array) => Uint8Array = (argument) => argument,
  ): Answered {
    const { argument, places } = rawArgument(this.memory, object, method, attributes, header);
    const sent = change(argument);
    this.driver.ioctl(this.fd, RDMA_VERBS_IOCTL.request, sent);
    const decoded = (i: number) => ib_uverbs_attr.decode(sent, HEADER + ENTRY * i);
    return {
      value: (i) => Number(decoded(i).data_s64),
      flags: (i) => decoded(i).flags,
      bytes: (i) => {
        const at = places[i] as number;
        return this.memory.bytes.slice(at, at + (attributes[i]?.room ?? 0));
      },
    };
  }

  /** A method by its row. @param given by the attribute's number */
  call(name: MethodName, attributes: readonly RawAttribute[]): Answered {
    const { object, id } = methods[name];
    return this.raw(objects[object].value, id, attributes);
  }

  /** A command of the older interface. */
  command(
    name: keyof typeof commands | keyof typeof extendedCommands,
    request: object,
    driver: { readonly in?: Uint8Array; readonly out?: number } = {},
  ): { readonly core: Uint8Array; readonly driver: Uint8Array } {
    const row = { ...commands, ...extendedCommands }[name] as {
      value: number;
      request: Struct<unknown, never>;
      answer?: Struct<unknown, never>;
    };
    const attributes: RawAttribute[] = [
      { id: 2, value: row.value + (name in extendedCommands ? 0x8000_0000 : 0), length: 8 },
      { id: 0, bytes: row.request.encode(request as never) },
      { id: 1, room: row.answer?.size ?? 0 },
      ...(driver.in ? [{ id: 0x1000, bytes: driver.in }] : []),
      ...(driver.out === undefined ? [] : [{ id: 0x1001, room: driver.out }]),
    ];
    const answer = this.call('UVERBS_METHOD_INVOKE_WRITE', attributes);
    const last = attributes.length - 1;
    return { core: answer.bytes(2), driver: driver.out === undefined ? new Uint8Array(0) : answer.bytes(last) };
  }

  context(): this {
    this.call('UVERBS_METHOD_GET_CONTEXT', [
      { id: 0x1000, bytes: new Uint8Array(8) },
      { id: 0x1001, room: 24 },
    ]);
    return this;
  }

  pd(): number {
    return word(this.command('IB_USER_VERBS_CMD_ALLOC_PD', {}, { out: 8 }).core, 0);
  }

  channel(): number {
    return word(this.command('IB_USER_VERBS_CMD_CREATE_COMP_CHANNEL', {}).core, 0);
  }

  /** @returns its handle, and what the driver told of it */
  cq(options: { entries?: number; driver?: object; userHandle?: bigint; more?: readonly RawAttribute[] } = {}) {
    const { entries = 16, driver = {}, userHandle = 0n, more = [] } = options;
    const answer = this.call('UVERBS_METHOD_CQ_CREATE', [
      { id: 0, length: 0 },
      { id: 1, value: entries, length: 4 },
      { id: 2, value: userHandle, length: 8 },
      { id: 4, value: 0, length: 4 },
      { id: 6, room: 4 },
      { id: 0x1000, bytes: efa_ibv_create_cq.encode({ cq_entry_size: 32, num_sub_cqs: 1, ...driver }) },
      { id: 0x1001, room: efa_ibv_create_cq_resp.size },
      ...more,
    ]);
    return {
      handle: answer.value(0),
      entries: word(answer.bytes(4), 0),
      ...efa_ibv_create_cq_resp.decode(answer.bytes(6)),
    };
  }

  qp(pd: number, cq: number, options: { type?: number; cap?: object; driver?: object } = {}) {
    const cap = { max_send_wr: 16, max_recv_wr: 16, max_send_sge: 1, max_recv_sge: 1, ...options.cap };
    const driver = { sq_ring_size: 16 * 64, rq_ring_size: 16 * 16, ...options.driver };
    const answer = this.call('UVERBS_METHOD_QP_CREATE', [
      { id: 0, length: 0 },
      { id: 2, value: pd, length: 0 },
      { id: 4, value: cq, length: 0 },
      { id: 5, value: cq, length: 0 },
      { id: 7, value: 0, length: 8 },
      { id: 8, bytes: ib_uverbs_qp_cap.encode(cap) },
      { id: 9, value: options.type ?? 0xff, length: 8 },
      { id: 13, room: ib_uverbs_qp_cap.size },
      { id: 14, room: 4 },
      { id: 0x1000, bytes: efa_ibv_create_qp.encode(driver) },
      { id: 0x1001, room: efa_ibv_create_qp_resp.size },
    ]);
    return {
      handle: answer.value(0),
      number: word(answer.bytes(8), 0),
      ...efa_ibv_create_qp_resp.decode(answer.bytes(10)),
    };
  }

  mr(pd: number, start: bigint, length: number | bigint, access = 7, iova = start) {
    const request = { start, length: BigInt(length), hca_va: iova, pd_handle: pd, access_flags: access };
    const { core } = this.command('IB_USER_VERBS_CMD_REG_MR', request);
    return { handle: word(core, 0), lkey: word(core, 4), rkey: word(core, 8) };
  }

  destroy(name: MethodName, handle: number): void {
    this.call(name, [{ id: 0, value: handle, length: 0 }]);
  }
}

export function word(bytes: Uint8Array, at: number): number {
  return new DataView(bytes.buffer, bytes.byteOffset).getUint32(at, true);
}

/** A machine, and its only or first NIC. */
export function machineWith(name = 'efa'): ModelMachine & { readonly nic: ModelMachine['nics'][0] } {
  const machine = new ModelMachine({ machine: name });
  machine.driver.messages();
  return Object.assign(machine, { nic: machine.nics[0] as ModelMachine['nics'][0] });
}
