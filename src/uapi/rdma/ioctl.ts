/**
 * How RDMA devices are asked (rdma/rdma_user_ioctl_cmds.h): one ioctl names an object and a method and carries a list of
 * attributes. A method is a row of the attributes it has; what the kernel checks of each before the method runs is in its row.
 */

import { constant, type Ioctl, iowr } from '../rows.ts';
import { group, nested, overlay, s64, struct, u8, u16, u32, u64 } from '../struct.ts';

const source = 'core/uverbs_ioctl.c, ib_uverbs_ioctl';

export const ib_uverbs_attr = struct('ib_uverbs_attr', 'An attribute.', {
  attr_id: u16('UVERBS_ATTR_*'),
  len: u16('bytes, of data; 0 for handles and descriptors'),
  flags: u16('UVERBS_ATTR_F_*'),
  attr_data: nested(
    overlay({
      enum_data: nested(group({ elem_id: u8('which of several'), reserved: u8('0') })),
      reserved: u16('0'),
    }),
  ),
  $value: overlay({
    data: u64('data of up to 8 bytes, the address of longer data, or a handle'),
    data_s64: s64('a descriptor'),
  }),
});

export const ib_uverbs_ioctl_hdr = struct('ib_uverbs_ioctl_hdr', 'Begins the argument; the attributes follow.', {
  length: u16('bytes with the attributes'),
  object_id: u16('UVERBS_OBJECT_*'),
  method_id: u16('UVERBS_METHOD_*'),
  num_attrs: u16('attributes'),
  reserved1: u64('0'),
  driver_id: u32('RDMA_DRIVER_*: in the caller wants this one, out'),
  reserved2: u32('0'),
});

export const attributeFlags = {
  UVERBS_ATTR_F_MANDATORY: constant(0x1, 'in: the kernel must know it, or refuse'),
  UVERBS_ATTR_F_VALID_OUTPUT: constant(0x2, 'out: the kernel has written it'),
} as const;

export const ioctlConstants = {
  RDMA_IOCTL_MAGIC: constant(0x1b, 'type of the request'),
  UVERBS_ID_NS_MASK: constant(0xf000, 'of the numbers of objects, methods and attributes: whose they are'),
  UVERBS_ID_NS_SHIFT: constant(12, ''),
  UVERBS_ID_DRIVER_NS: constant(0x1000, 'numbers of the driver'),
  UVERBS_ID_DRIVER_NS_WITH_UHW: constant(0x1002, 'the first after UHW'),
} as const;

/** The size in the request is that of the header alone. */
export const RDMA_VERBS_IOCTL = {
  name: 'RDMA_VERBS_IOCTL',
  doc: 'Calls a method of an object.',
  request: iowr('\x1b', 1, ib_uverbs_ioctl_hdr.size),
  argument: ib_uverbs_ioctl_hdr,
  source,
} as const satisfies Ioctl<typeof ib_uverbs_ioctl_hdr>;

/** enum uverbs_default_objects: what has handles or descriptors. */
export const objects = {
  UVERBS_OBJECT_DEVICE: constant(0, 'the device; it has no handle'),
  UVERBS_OBJECT_PD: constant(1, 'protection domain'),
  UVERBS_OBJECT_COMP_CHANNEL: constant(2, 'completion channel, a descriptor'),
  UVERBS_OBJECT_CQ: constant(3, 'completion queue'),
  UVERBS_OBJECT_QP: constant(4, 'queue pair'),
  UVERBS_OBJECT_SRQ: constant(5, 'shared receive queue'),
  UVERBS_OBJECT_AH: constant(6, 'address handle'),
  UVERBS_OBJECT_MR: constant(7, 'memory region'),
  UVERBS_OBJECT_MW: constant(8, 'memory window'),
  UVERBS_OBJECT_FLOW: constant(9, 'flow steering rule'),
  UVERBS_OBJECT_XRCD: constant(10, 'XRC domain'),
  UVERBS_OBJECT_RWQ_IND_TBL: constant(11, 'indirection table of receive queues'),
  UVERBS_OBJECT_WQ: constant(12, 'work queue'),
  UVERBS_OBJECT_FLOW_ACTION: constant(13, 'action of flows'),
  UVERBS_OBJECT_DM: constant(14, 'memory of the device'),
  UVERBS_OBJECT_COUNTERS: constant(15, 'counters of flows'),
  UVERBS_OBJECT_ASYNC_EVENT: constant(16, 'asynchronous events, a descriptor'),
  UVERBS_OBJECT_DMAH: constant(17, 'hints for DMA; not in 6.12'),
  UVERBS_OBJECT_DMABUF: constant(18, 'a dma-buf of memory of the device; not in 6.12'),
  UVERBS_OBJECT_COMP_CNTR: constant(19, 'completion counter; not in 6.12'),
} as const;

export type ObjectName = keyof typeof objects;

/** What the kernel does with the object that a handle or descriptor names. */
export type Access = 'new' | 'read' | 'write' | 'destroy';

export interface Attribute {
  readonly id: number;
  /**
   * `idr`: a handle; `fd`: a descriptor of an object of RDMA; `raw-fd`: any descriptor; `in` and `out`: data. Handles
   * and descriptors have `len` 0, and of access `new` they are written.
   */
  readonly type: 'idr' | 'fd' | 'raw-fd' | 'in' | 'out';
  readonly doc: string;
  /** Of handles and descriptors. */
  readonly object?: ObjectName;
  readonly access?: Access;
  readonly mandatory: boolean;
  /** Bytes of data: at least and at most. 0 for handles and descriptors. */
  readonly least: number;
  readonly most: number;
  /** Data may be longer than `most` where what is beyond is zero. */
  readonly growing: boolean;
}

/** Most bytes that `len` can say. */
const LONGEST = 0xffff;

const base = { mandatory: true, least: 0, most: 0, growing: false } as const;
const optional = { mandatory: false } as const;

type Row = Attribute;

/** UVERBS_ATTR_IDR */
export function handle(id: number, object: ObjectName, access: Access, doc: string): Row {
  return { ...base, id, type: 'idr', object, access, doc };
}

/** UVERBS_ATTR_FD */
export function fd(id: number, object: ObjectName, access: 'new' | 'read', doc: string): Row {
  return { ...base, id, type: 'fd', object, access, doc };
}

/** UVERBS_ATTR_RAW_FD */
export function rawFd(id: number, doc: string): Row {
  return { ...base, id, type: 'raw-fd', doc };
}

/** UVERBS_ATTR_PTR_IN of UVERBS_ATTR_TYPE: exactly so many bytes. */
export function takes(id: number, size: number, doc: string): Row {
  return { ...base, id, type: 'in', least: size, most: size, doc };
}

/** UVERBS_ATTR_PTR_OUT of UVERBS_ATTR_TYPE. */
export function gives(id: number, size: number, doc: string): Row {
  return { ...base, id, type: 'out', least: size, most: size, doc };
}

/** UVERBS_ATTR_CONST_IN: a number, always as 64 bits. */
export function number(id: number, doc: string): Row {
  return takes(id, 8, doc);
}

/** UVERBS_ATTR_FLAGS_IN: flags as 32 or 64 bits. Not given they are 0. */
export function flags(id: number, doc: string): Row {
  return { ...base, id, type: 'in', least: 4, most: 8, doc };
}

/** UVERBS_ATTR_STRUCT: a struct that later kernels may know more of. */
export function growing(row: Row): Row {
  return { ...row, growing: true };
}

/** UVERBS_ATTR_MIN_SIZE */
export function atLeast(row: Row): Row {
  return { ...row, most: LONGEST };
}

/** UA_OPTIONAL */
export function maybe(row: Row): Row {
  return { ...row, ...optional };
}

/** UVERBS_ATTR_UHW: what the driver of the device exchanges with its user-space half, of any length. */
export const uhw = {
  UVERBS_ATTR_UHW_IN: maybe(atLeast(takes(0x1000, 0, 'for the driver'))),
  UVERBS_ATTR_UHW_OUT: maybe(atLeast(gives(0x1001, 0, 'of the driver'))),
} as const;

export interface Method<A extends Readonly<Record<string, Attribute>> = Readonly<Record<string, Attribute>>> {
  readonly object: ObjectName;
  readonly id: number;
  readonly doc: string;
  readonly attributes: A;
}

export function method<const A extends Readonly<Record<string, Attribute>>>(
  object: ObjectName,
  id: number,
  doc: string,
  attributes: A,
): Method<A> {
  return { object, id, doc, attributes };
}
