/** An open node of verbs: methods and commands by row, with what they exchange in scratch memory (rdma/rdma_user_ioctl_cmds.h). */

import { SystemError } from '../../driver/driver.ts';
import { commandConstants, commands, extendedCommands } from '../../uapi/rdma/commands.ts';
import {
  type Attribute,
  attributeFlags,
  ib_uverbs_attr,
  ib_uverbs_ioctl_hdr,
  objects,
  RDMA_VERBS_IOCTL,
} from '../../uapi/rdma/ioctl.ts';
import { type MethodName, methods } from '../../uapi/rdma/methods.ts';
import { driverIds } from '../../uapi/rdma/verbs.ts';
import type { Decoded, Encodable, Struct } from '../../uapi/struct.ts';
import type { Arguments } from '../errors.ts';
import type { OpenNode } from '../node.ts';
import { verbsError } from './errors.ts';

/** Of data: up to so many bytes are in the attribute itself (uverbs_attr_ptr_is_inline). */
const INLINE = 8;
const MANDATORY = attributeFlags.UVERBS_ATTR_F_MANDATORY.value;

/**
 * What an attribute is given: a handle, descriptor or number; bytes; or room for so many bytes. What is undefined is left out.
 * A handle or descriptor that the kernel makes is given `'new'`.
 */
type Value = number | bigint | Uint8Array | { readonly room: number } | 'new';

type Attributes<M extends MethodName> = {
  readonly [K in keyof (typeof methods)[M]['attributes']]?: Value | undefined;
};

/** What came back. */
export interface Answer<M extends MethodName> {
  /** Of a handle or descriptor that was made. */
  number(name: keyof (typeof methods)[M]['attributes']): number;
  /** Of data. */
  bytes(name: keyof (typeof methods)[M]['attributes']): Uint8Array;
}

type Commands = typeof commands & typeof extendedCommands;
type CommandName = keyof Commands;
type AnswerOf<C> = C extends { readonly answer: Struct<infer Out, never> } ? Out : undefined;

/** What the core answered, and what the driver of the device did. */
interface CommandAnswer<C extends CommandName> {
  readonly core: AnswerOf<Commands[C]>;
  readonly driver: Uint8Array;
}

/** What the driver of the device is told, and how much it may answer. */
interface DriverData {
  readonly in?: Uint8Array;
  readonly out?: number;
}

export class VerbsNode {
  readonly node: OpenNode;

  constructor(node: OpenNode) {
    this.node = node;
  }

  /** @param shown what an error message shows. @throws DriverError */
  call<M extends MethodName>(name: M, values: Attributes<M>, shown: Arguments = {}): Answer<M> {
    const { object, id, attributes: rows } = methods[name];
    const given = Object.entries(values as Record<string, Value | undefined>).flatMap(([attribute, value]) =>
      value === undefined
        ? []
        : [{ attribute, value, row: (rows as Readonly<Record<string, Attribute>>)[attribute] as Attribute }],
    );
    const pointed = new Pointed(given.map(({ value, row }) => outside(value, row)));
    for (;;) {
      const memory = this.node.scratch(Math.max(pointed.size, 1));
      const argument = new Uint8Array(ib_uverbs_ioctl_hdr.size + given.length * ib_uverbs_attr.size);
      ib_uverbs_ioctl_hdr.encodeInto(argument, 0, {
        length: argument.length,
        object_id: objects[object].value,
        method_id: id,
        num_attrs: given.length,
        driver_id: driverIds.RDMA_DRIVER_EFA.value,
      });
      given.forEach(({ value, row }, i) => {
        const address = memory.address + BigInt(pointed.offsets[i] as number);
        if (value instanceof Uint8Array && value.length > INLINE) memory.bytes.set(value, pointed.offsets[i]);
        ib_uverbs_attr.encodeInto(argument, placeOf(i), {
          attr_id: row.id,
          len: lengthOf(value, row),
          flags: row.mandatory ? MANDATORY : 0,
          ...content(value, row, address),
        });
      });
      try {
        this.node.driver.ioctl(this.node.fd, RDMA_VERBS_IOCTL.request, argument);
      } catch (error) {
        if (!(error instanceof SystemError)) throw error;
        if (error.code === 'EINTR') continue;
        throw verbsError(name.replace('UVERBS_METHOD_', ''), error, shown);
      }
      const found = (attribute: unknown) => given.findIndex((one) => one.attribute === attribute);
      return {
        number: (attribute) => Number(ib_uverbs_attr.decode(argument, placeOf(found(attribute))).data_s64),
        bytes: (attribute) => {
          const i = found(attribute);
          const { value, row } = given[i] as (typeof given)[number];
          const start = pointed.offsets[i] as number;
          return memory.bytes.slice(start, start + lengthOf(value, row));
        },
      };
    }
  }

  /** A command of the older interface. @throws DriverError */
  command<C extends CommandName>(
    name: C,
    request: Encodable<Commands[C]['request']>,
    driver: DriverData = {},
    shown: Arguments = {},
  ): CommandAnswer<C> {
    const all: Readonly<
      Record<string, { value: number; request: Struct<unknown, never>; answer?: Struct<unknown, never> }>
    > = { ...commands, ...extendedCommands };
    const row = all[name] as (typeof all)[string];
    const extended = name in extendedCommands;
    try {
      const answer = this.call('UVERBS_METHOD_INVOKE_WRITE', {
        UVERBS_ATTR_WRITE_CMD: row.value + (extended ? commandConstants.IB_USER_VERBS_CMD_FLAG_EXTENDED.value : 0),
        UVERBS_ATTR_CORE_IN: row.request.encode(request as never),
        UVERBS_ATTR_CORE_OUT: row.answer && { room: row.answer.size },
        UVERBS_ATTR_UHW_IN: driver.in,
        UVERBS_ATTR_UHW_OUT: driver.out === undefined ? undefined : { room: driver.out },
      });
      return {
        core: row.answer?.decode(answer.bytes('UVERBS_ATTR_CORE_OUT')) as AnswerOf<Commands[C]>,
        driver: driver.out === undefined ? new Uint8Array(0) : answer.bytes('UVERBS_ATTR_UHW_OUT'),
      };
    } catch (error) {
      throw error instanceof Error && error.cause instanceof SystemError
        ? verbsError(name.replace(/^IB_USER_VERBS_(EX_)?CMD_/, ''), error.cause, shown)
        : error;
    }
  }
}

/** Where bytes that attributes point to are in the scratch memory. */
class Pointed {
  readonly offsets: number[] = [];
  readonly size: number;

  constructor(lengths: readonly number[]) {
    let end = 0;
    for (const length of lengths) {
      this.offsets.push(end);
      end += Math.ceil(length / 8) * 8;
    }
    this.size = end;
  }
}

function placeOf(index: number): number {
  return ib_uverbs_ioctl_hdr.size + index * ib_uverbs_attr.size;
}

/** Bytes that are not in the attribute itself. */
function outside(value: Value, row: Attribute): number {
  const length = lengthOf(value, row);
  return row.type === 'out' || length > INLINE ? length : 0;
}

function lengthOf(value: Value, row: Attribute): number {
  if (row.type !== 'in' && row.type !== 'out') return 0;
  if (value instanceof Uint8Array) return value.length;
  if (typeof value === 'object') return value.room;
  // a number is as long as the row wants it at least
  return row.least;
}

function content(value: Value, row: Attribute, address: bigint): { data: bigint } | { data_s64: bigint } {
  if (value === 'new') return { data: 0n };
  if (row.type === 'out' || (value instanceof Uint8Array && value.length > INLINE)) return { data: address };
  if (value instanceof Uint8Array) {
    const padded = new Uint8Array(INLINE);
    padded.set(value);
    return { data: new DataView(padded.buffer).getBigUint64(0, true) };
  }
  return row.type === 'fd' || row.type === 'raw-fd'
    ? { data_s64: BigInt(value as number) }
    : { data: BigInt(value as number | bigint) };
}

/** Room for the answer of a driver, which may know more or less than a row. */
export function roomFor(row: Struct<unknown, never>): { readonly room: number } {
  return { room: row.size };
}

export function decode<S extends Struct<unknown, never>>(row: S, bytes: Uint8Array): Decoded<S> {
  return row.decode(bytes) as Decoded<S>;
}
