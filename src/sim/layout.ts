/**
 * Little-endian messages as rows of facts, with the offset of each field as its source gives it. For what devices and
 * hosts exchange in memory: commands, descriptors, completions. Numbers of 64 bits are read as doubles: exact up to
 * 2^53, and beyond that still larger than any address or length that a device accepts.
 */

export interface LayoutField {
  /** Bytes from the start of the message. */
  readonly offset: number;
  /** Bytes that hold the field. */
  readonly size: 1 | 2 | 4 | 8;
  /** Lowest bit within them, and the number of bits. */
  readonly low: number;
  readonly bits: number;
  readonly doc: string;
}

type Size = LayoutField['size'];

function whole(size: Size) {
  return (offset: number, doc = ''): LayoutField => ({ offset, size, low: 0, bits: 8 * size, doc });
}

export const byte = whole(1);
export const half = whole(2);
export const word = whole(4);
export const double = whole(8);

/** Bits `low` to `high` of the field that `within` describes. */
export function bits(within: LayoutField, low: number, high: number, doc = ''): LayoutField {
  if (within.size === 8 || high >= within.bits || low > high)
    throw new Error(`bits ${high}:${low} at ${within.offset}`);
  return { ...within, low, bits: high - low + 1, doc };
}

export type LayoutFields = Readonly<Record<string, LayoutField>>;
export type Values<F extends LayoutFields> = { readonly [K in keyof F]: number };

export interface Layout<F extends LayoutFields = LayoutFields> {
  readonly name: string;
  /** Bytes. */
  readonly size: number;
  readonly fields: F;
  /** @throws RangeError where the source is too short */
  decode(source: Uint8Array, at?: number): Values<F>;
  /** Fields left out are not touched. @throws RangeError for a number that does not fit */
  encode(target: Uint8Array, values: Partial<Values<F>>, at?: number): void;
  /** Whether a bit is set that belongs to no field. */
  reservedBits(source: Uint8Array, at?: number): boolean;
}

/** @param holes `[offset, bytes]` of what is no number (arrays, text): not read as a field, not reserved either */
export function layout<const F extends LayoutFields>(
  name: string,
  size: number,
  fields: F,
  holes: readonly (readonly [number, number])[] = [],
): Layout<F> {
  const entries = Object.entries(fields);
  const used = new Uint8Array(size);
  for (const [field, f] of entries) {
    if (f.offset < 0 || f.offset + f.size > size) throw new Error(`${name}.${field} is outside`);
    for (let bit = f.low; bit < f.low + f.bits; bit++) {
      const at = f.offset + (bit >>> 3);
      used[at] = (used[at] as number) | (1 << (bit & 7));
    }
  }
  for (const [offset, length] of holes) used.fill(0xff, offset, offset + length);
  return {
    name,
    size,
    fields,
    decode(source, at = 0) {
      if (at + size > source.length) throw new RangeError(`${name}: ${source.length - at} of ${size} bytes`);
      const values: Record<string, number> = {};
      for (const [field, f] of entries) values[field] = get(source, at, f);
      return values as Values<F>;
    },
    encode(target, values, at = 0) {
      for (const field in values) put(target, at, fields[field] as LayoutField, values[field] as number);
    },
    reservedBits: (source, at = 0) => used.some((mask, i) => ((source[at + i] as number) & ~mask & 0xff) !== 0),
  };
}

/** The bytes that hold a field, as one number. */
function held(source: Uint8Array, place: number, size: Size): number {
  let value = source[place] as number;
  if (size === 1) return value;
  value += (source[place + 1] as number) * 2 ** 8;
  if (size === 2) return value;
  value += (source[place + 2] as number) * 2 ** 16 + (source[place + 3] as number) * 2 ** 24;
  return size === 4 ? value : value + held(source, place + 4, 4) * 2 ** 32;
}

function get(source: Uint8Array, at: number, f: LayoutField): number {
  const value = held(source, at + f.offset, f.size);
  return f.bits === 8 * f.size ? value : Math.floor(value / 2 ** f.low) % 2 ** f.bits;
}

function put(target: Uint8Array, at: number, f: LayoutField, value: number): void {
  if (!Number.isInteger(value) || value < 0 || value >= 2 ** f.bits) throw new RangeError(`${value} in ${f.bits} bits`);
  const place = at + f.offset;
  let whole = value;
  if (f.bits !== 8 * f.size) {
    const before = held(target, place, f.size);
    whole = before + (value - (Math.floor(before / 2 ** f.low) % 2 ** f.bits)) * 2 ** f.low;
  }
  for (let i = 0; i < f.size; i++) {
    target[place + i] = whole % 256;
    whole = Math.floor(whole / 256);
  }
}
