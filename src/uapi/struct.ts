/**
 * C structs as rows: name, members in order, documentation. Offsets follow from the rows by the rules of the C ABI on 64-bit
 * little-endian Linux (natural alignment); the TypeScript types of what is encoded and decoded are inferred from them.
 *
 *   const hl_cb_in = struct('hl_cb_in', 'What the caller asks for.', {
 *     cb_handle: u64('handle, or 0 to create one'),
 *     op: u32('HL_CB_OP_*'),
 *     ...
 *
 * A member whose key starts with `$` is an anonymous struct or union: its members belong to the one around it, as in C.
 */

/** A member of a struct: where its bytes are depends on the struct, how to read them does not. */
export interface Field<Out, In = Out> {
  /** The C type, e.g. `__u32`. */
  readonly type: string;
  /** Bytes. */
  readonly size: number;
  /** Bytes; a power of two. */
  readonly align: number;
  readonly doc: string;
  /** For numbers: whether the type is signed. */
  readonly signed?: boolean;
  /** Members of a nested struct or union. */
  readonly members?: readonly Member[];
  read(view: DataView, at: number): Out;
  /** @throws RangeError when the value does not fit; the message starts with `where`. */
  write(view: DataView, at: number, value: In, where: string): void;
}

export interface Member {
  readonly name: string;
  readonly anonymous: boolean;
  /** Bytes from the start of what it is a member of. */
  readonly offset: number;
  readonly field: Field<unknown, never>;
}

/** A number read from or written to 64 bits: plain numbers are welcome where they are exact. */
export type Integer64 = bigint | number;

type Setter<T> = (this: DataView, at: number, value: T, littleEndian: true) => void;
type Getter<T> = (this: DataView, at: number, littleEndian: true) => T;

function integer(type: string, size: number, signed: boolean, get: Getter<number>, set: Setter<number>) {
  const low = signed ? -(2 ** (size * 8 - 1)) : 0;
  const high = 2 ** (size * 8 - (signed ? 1 : 0)) - 1;
  return (doc = ''): Field<number> => ({
    type,
    size,
    align: size,
    doc,
    signed,
    read: (view, at) => get.call(view, at, true),
    write(view, at, value, where) {
      if (!Number.isInteger(value) || value < low || value > high) throw misfit(where, value, type);
      set.call(view, at, value, true);
    },
  });
}

function integer64(type: string, signed: boolean, get: Getter<bigint>, set: Setter<bigint>) {
  const low = signed ? -(1n << 63n) : 0n;
  const high = (1n << (signed ? 63n : 64n)) - 1n;
  return (doc = ''): Field<bigint, Integer64> => ({
    type,
    size: 8,
    align: 8,
    doc,
    signed,
    read: (view, at) => get.call(view, at, true),
    write(view, at, value, where) {
      if (typeof value === 'number' && !Number.isSafeInteger(value)) throw misfit(where, value, type);
      const exact = BigInt(value);
      if (exact < low || exact > high) throw misfit(where, value, type);
      set.call(view, at, exact, true);
    },
  });
}

const view = DataView.prototype;
export const u8 = integer('__u8', 1, false, view.getUint8, view.setUint8);
export const u16 = integer('__u16', 2, false, view.getUint16, view.setUint16);
export const u32 = integer('__u32', 4, false, view.getUint32, view.setUint32);
export const s32 = integer('__s32', 4, true, view.getInt32, view.setInt32);
export const u64 = integer64('__u64', false, view.getBigUint64, view.setBigUint64);
export const s64 = integer64('__s64', true, view.getBigInt64, view.setBigInt64);

function misfit(where: string, value: unknown, type: string): RangeError {
  return new RangeError(`${where}: ${String(value)} is no ${type}`);
}

/** `length` bytes. A shorter value is padded with zeros. */
export function bytes(length: number, doc = ''): Field<Uint8Array> {
  return {
    type: `__u8[${length}]`,
    size: length,
    align: 1,
    doc,
    read: (v, at) => new Uint8Array(v.buffer, v.byteOffset + at, length).slice(),
    write(v, at, value, where) {
      if (value.length > length) throw misfit(where, `${value.length} bytes`, `__u8[${length}]`);
      new Uint8Array(v.buffer, v.byteOffset + at, length).set(value);
    },
  };
}

/** A NUL-terminated string in `length` bytes; what follows the NUL is not read. */
export function text(length: number, doc = ''): Field<string> {
  const raw = bytes(length, doc);
  return {
    ...raw,
    read(v, at) {
      const all = raw.read(v, at);
      const end = all.indexOf(0);
      return new TextDecoder().decode(end < 0 ? all : all.subarray(0, end));
    },
    write: (v, at, value, where) => raw.write(v, at, new TextEncoder().encode(value), where),
  };
}

/** `length` elements. A shorter value leaves the rest zero. */
export function array<Out, In>(element: Field<Out, In>, length: number, doc = ''): Field<Out[], readonly In[]> {
  const type = `${element.type}[${length}]`;
  return {
    type,
    size: element.size * length,
    align: element.align,
    doc,
    read: (v, at) => Array.from({ length }, (_, i) => element.read(v, at + i * element.size)),
    write(v, at, value, where) {
      if (value.length > length) throw misfit(where, `${value.length} elements`, type);
      value.forEach((item, i) => {
        element.write(v, at + i * element.size, item, `${where}[${i}]`);
      });
    },
  };
}

// biome-ignore lint/suspicious/noExplicitAny: members of every type are collected here; each keeps its own in F
type Fields = Readonly<Record<string, Field<any, any>>>;
type Named<K> = K extends `$${string}` ? never : K;
type Anonymous<F, K = keyof F> = K extends keyof F & `$${string}` ? F[K] : never;
type OutOf<T> = T extends Field<infer Out, infer _> ? Out : never;
type InOf<T> = T extends Field<infer _, infer In> ? In : never;
type Intersection<U> = (U extends unknown ? (u: U) => void : never) extends (i: infer I) => void ? I : never;
type Simplify<T> = { [K in keyof T]: T[K] } & {};

/** What decoding gives: every member; those of a union are all views of the same bytes. */
type Output<F> = Simplify<
  { readonly [K in keyof F as Named<K>]: OutOf<F[K]> } & ([Anonymous<F>] extends [never]
    ? unknown
    : Intersection<OutOf<Anonymous<F>>>)
>;
/** What encoding takes: members left out are zero. */
type Input<F> = Simplify<
  { readonly [K in keyof F as Named<K>]?: InOf<F[K]> } & ([Anonymous<F>] extends [never]
    ? unknown
    : Intersection<InOf<Anonymous<F>>>)
>;

/** A struct or union of the interface. */
export interface Struct<Out, In> extends Field<Out, In> {
  readonly keyword: 'struct' | 'union';
  readonly name: string;
  readonly members: readonly Member[];
  /** @throws RangeError for a value that does not fit, an unknown member, or two members of one union. */
  encode(value: In): Uint8Array;
  /** Like `encode`, into `target` at `at`; bytes of members left out become zero. */
  encodeInto(target: Uint8Array, at: number, value: In): void;
  /** @throws RangeError when fewer than `size` bytes are left. */
  decode(source: Uint8Array, at?: number): Out;
}

/** Type of a decoded row: `Decoded<typeof hl_cb_in>`. */
export type Decoded<S> = OutOf<S>;
/** Type that a row encodes from. */
export type Encodable<S> = InOf<S>;

export function struct<const F extends Fields>(name: string, doc: string, fields: F): Struct<Output<F>, Input<F>> {
  return compound('struct', name, doc, fields);
}

export function union<const F extends Fields>(name: string, doc: string, fields: F): Struct<Output<F>, Input<F>> {
  return compound('union', name, doc, fields);
}

/** Members of a struct without a name. */
export function group<const F extends Fields>(fields: F, doc = ''): Struct<Output<F>, Input<F>> {
  return compound('struct', '', doc, fields);
}

/** Members of a union without a name: the same bytes, seen in several ways. */
export function overlay<const F extends Fields>(fields: F, doc = ''): Struct<Output<F>, Input<F>> {
  return compound('union', '', doc, fields);
}

/** A member that is a struct described elsewhere. */
export function nested<Out, In>(row: Struct<Out, In>, doc = row.doc): Field<Out, In> {
  return { ...row, doc };
}

type Values = Record<string, unknown>;

function compound<F extends Fields>(
  keyword: 'struct' | 'union',
  name: string,
  doc: string,
  fields: F,
): Struct<Output<F>, Input<F>> {
  const members: Member[] = [];
  let end = 0;
  let align = 1;
  for (const [key, field] of Object.entries(fields)) {
    const offset = keyword === 'union' ? 0 : roundUp(end, field.align);
    members.push({ name: key, anonymous: key.startsWith('$'), offset, field: field as Field<unknown, never> });
    end = Math.max(end, offset + field.size);
    align = Math.max(align, field.align);
  }
  const size = roundUp(end, align);
  const owners = new Map<string, Member>();
  for (const member of members) for (const key of keysOf(member)) owners.set(key, member);

  const read = (v: DataView, at: number): Values => {
    const out: Values = {};
    for (const m of members) {
      const value = m.field.read(v, at + m.offset);
      if (m.anonymous) Object.assign(out, value);
      else out[m.name] = value;
    }
    return out;
  };
  const write = (v: DataView, at: number, value: Values, where: string): void => {
    const parts = new Map<Member, Values>();
    let chosen: string | undefined;
    for (const key of Object.keys(value)) {
      if (value[key] === undefined) continue;
      const member = owners.get(key);
      if (member === undefined) throw new RangeError(`${where}: no member ${key}`);
      if (keyword === 'union') {
        if (chosen !== undefined && owners.get(chosen) !== member)
          throw new RangeError(`${where}: ${chosen} and ${key} are the same bytes`);
        chosen = key;
      }
      if (!member.anonymous) {
        const inner = member.field as Field<unknown, unknown>;
        inner.write(v, at + member.offset, value[key], `${where}.${key}`);
        continue;
      }
      const part = parts.get(member) ?? {};
      part[key] = value[key];
      parts.set(member, part);
    }
    for (const [member, part] of parts) {
      (member.field as Field<unknown, Values>).write(v, at + member.offset, part, where);
    }
  };
  const encodeInto = (target: Uint8Array, at: number, value: Input<F>): void => {
    target.fill(0, at, at + size);
    write(viewOf(target, at, size, name), 0, value as Values, name);
  };
  return {
    keyword,
    name,
    doc,
    type: `${keyword} ${name}`,
    size,
    align,
    members,
    read: read as (v: DataView, at: number) => Output<F>,
    write: write as (v: DataView, at: number, value: Input<F>, where: string) => void,
    encodeInto,
    encode(value) {
      const out = new Uint8Array(size);
      encodeInto(out, 0, value);
      return out;
    },
    decode: (source, at = 0) => read(viewOf(source, at, size, name), 0) as Output<F>,
  };
}

function viewOf(source: Uint8Array, at: number, size: number, name: string): DataView {
  if (at < 0 || at + size > source.length)
    throw new RangeError(`${name}: ${size} bytes at ${at} of ${source.length} bytes`);
  return new DataView(source.buffer, source.byteOffset + at, size);
}

function keysOf(member: Member): string[] {
  return member.anonymous ? (member.field.members ?? []).flatMap(keysOf) : [member.name];
}

function roundUp(value: number, align: number): number {
  return Math.ceil(value / align) * align;
}

/** A member by its C path (`alloc.mem_size`). */
export interface Path {
  readonly path: string;
  readonly offset: number;
  readonly field: Field<unknown, never>;
}

/** All members of a struct, also those inside nested and anonymous ones, by the path that C code uses. */
export function paths(members: readonly Member[], prefix = '', base = 0): Path[] {
  return members.flatMap((m) => {
    const inner = m.field.members;
    const offset = base + m.offset;
    if (m.anonymous) return paths(inner ?? [], prefix, offset);
    const path = `${prefix}${m.name}`;
    return [{ path, offset, field: m.field }, ...(inner ? paths(inner, `${path}.`, offset) : [])];
  });
}
