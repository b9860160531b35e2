/**
 * Command packets as rows of facts: what a packet is called, where its fields are, what they mean. Encoder, decoder,
 * assembler, disassembler, reference and proof all come from the rows; what a packet does is a body found by its name.
 *
 * Bit n of a packet is bit n % 32 of its 32-bit little-endian word n / 32.
 */

/** Number of bits as a tuple, so that the type of a field's value follows from its bit positions. */
type Tuple<N extends number, T extends unknown[] = []> = T['length'] extends N ? T : Tuple<N, [...T, unknown]>;
/** Fields of up to 32 bits are numbers, wider ones are bigints. */
type ValueOf<Lo extends number, Hi extends number> =
  Tuple<Hi> extends [...Tuple<Lo>, ...infer Rest]
    ? Rest extends [...Tuple<32>, ...unknown[]]
      ? bigint
      : number
    : never;

export interface FieldOptions {
  /** What the field holds when nobody says otherwise. A field without default must be given. */
  readonly default?: number;
  /** The only value that the source allows. Decoders accept others: what the hardware then does is not public. */
  readonly required?: number;
  /** How values are printed; 10 unless said. */
  readonly radix?: 16;
  /** Named values. */
  readonly names?: Readonly<Record<string, number>>;
  /** Why the meaning of the field is not certain. */
  readonly unverified?: string;
}

/** A field of a packet: bits `lo` to `hi`, both included. `Value` and `Optional` exist for types only. */
export interface FieldRow<Value = number | bigint, Optional extends boolean = boolean> extends FieldOptions {
  readonly kind: 'bits' | 'flag';
  readonly lo: number;
  readonly hi: number;
  readonly doc: string;
  readonly types?: { readonly value: Value; readonly optional: Optional };
}

/** 32-bit words after the fixed part of a packet; `count` names the field that counts them in units of `unit` words. */
export interface PayloadRow<Count extends string = string> {
  readonly kind: 'payload';
  readonly count: Count;
  readonly unit: number;
  readonly doc: string;
}

/** An unsigned number in bits `lo` to `hi`, both included: at most 64, within one word or beginning at one. */
export function bits<const Lo extends number, const Hi extends number>(
  lo: Lo,
  hi: Hi,
  doc: string,
  options: FieldOptions & { readonly default: number },
): FieldRow<ValueOf<Lo, Hi>, true>;
export function bits<const Lo extends number, const Hi extends number>(
  lo: Lo,
  hi: Hi,
  doc: string,
  options?: Omit<FieldOptions, 'default'>,
): FieldRow<ValueOf<Lo, Hi>, false>;
export function bits(lo: number, hi: number, doc: string, options: FieldOptions = {}): FieldRow<never, never> {
  return { kind: 'bits', lo, hi, doc, ...options };
}

/** A flag in bit `n`; clear unless set. */
export function bit(n: number, doc: string, options: FieldOptions = {}): FieldRow<number, true> {
  return { kind: 'flag', lo: n, hi: n, doc, default: 0, ...options };
}

/** Words that follow the fixed part, counted by field `count` in units of `unit` words. */
export function payload<const Count extends string>(count: Count, unit: number, doc: string): PayloadRow<Count> {
  return { kind: 'payload', count, unit, doc };
}

export type FieldRows = Readonly<Record<string, FieldRow | PayloadRow>>;

export interface PacketFacts {
  /** File and name in the public source that the row was read from. */
  readonly source: string;
  /** A line of assembly. */
  readonly example: string;
  /** How operands are written, e.g. `[addr], value`. Fields that are not listed are written by name. */
  readonly operands?: string;
  /** Why what the packet does is not certain. */
  readonly unverified?: string;
}

export interface PacketRow<F extends FieldRows = FieldRows> extends PacketFacts {
  readonly opcode: number;
  readonly doc: string;
  readonly fields: F;
}

export function packet<const F extends FieldRows>(
  opcode: number,
  doc: string,
  fields: F,
  facts: PacketFacts,
): PacketRow<F> {
  return { opcode, doc, fields, ...facts };
}

/** A 32-bit value with fields, e.g. what a register is written with; a function of that name in assembly. */
export interface FormatRow<F extends Readonly<Record<string, FieldRow>> = Readonly<Record<string, FieldRow>>> {
  readonly doc: string;
  readonly fields: F;
  readonly source: string;
}

export function format<const F extends Readonly<Record<string, FieldRow>>>(
  doc: string,
  fields: F,
  facts: { readonly source: string },
): FormatRow<F> {
  return { doc, fields, ...facts };
}

export type PacketRows = Readonly<Record<string, PacketRow>>;
export type FormatRows = Readonly<Record<string, FormatRow>>;

type FieldValue<F> = F extends PayloadRow ? Uint32Array : F extends FieldRow<infer V, boolean> ? V : never;
type IsOptional<F> = F extends FieldRow<infer _, infer O> ? O : false;

/** The values of a packet's fields, as decoded. */
export type FieldsOf<R> = R extends { readonly fields: infer F } ? { [N in keyof F]: FieldValue<F[N]> } : never;

/** What an encoder takes for a field: flags may be booleans, wide fields may be safe integers, payloads any list. */
type InputValue<F> = F extends PayloadRow
  ? ArrayLike<number>
  : F extends FieldRow<infer V, infer O>
    ? V extends bigint
      ? bigint | number
      : O extends true
        ? number | boolean
        : number
    : never;

/** A payload's count may be left out: it follows from the payload. */
type CountField<F> = { [N in keyof F]: F[N] extends PayloadRow<infer Count> ? Count : never }[keyof F];

/** What an encoder needs: every field without default. */
export type InputOf<R> = R extends { readonly fields: infer F }
  ? {
      readonly [N in keyof F as IsOptional<F[N]> extends true
        ? never
        : N extends CountField<F>
          ? never
          : N]: InputValue<F[N]>;
    } & {
      readonly [N in keyof F as IsOptional<F[N]> extends true ? N : N extends CountField<F> ? N : never]?: InputValue<
        F[N]
      >;
    }
  : never;

/** Facts about a whole instruction set made of packets. */
export interface PacketSetFacts<P extends PacketRows = PacketRows, V extends FormatRows = FormatRows> {
  readonly name: string;
  readonly title: string;
  readonly doc: string;
  /** What the letters in brackets of the rows' `source` stand for. */
  readonly sources: Readonly<Record<string, string>>;
  /** First and last bit of the opcode, within the first 64 bits. */
  readonly opcode: readonly [number, number];
  /** Packets are a multiple of so many 32-bit words, and so is every field's group of reserved bits. */
  readonly unitWords: number;
  /** The packet that fills gaps. */
  readonly padding: string;
  readonly rows: P;
  readonly formats: V;
}
