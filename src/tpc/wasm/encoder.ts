/** Writes WebAssembly modules: as much of the binary format (WebAssembly core specification, chapter 5) as the compiler uses. */

export const valueType = { i32: 0x7f, v128: 0x7b } as const;

/** Unsigned LEB128. */
export function unsigned(value: number): number[] {
  const bytes: number[] = [];
  let rest = value >>> 0;
  do {
    const low = rest & 0x7f;
    rest >>>= 7;
    bytes.push(rest === 0 ? low : low | 0x80);
  } while (rest !== 0);
  return bytes;
}

/** Signed LEB128 of 32 bits. */
export function signed(value: number): number[] {
  const bytes: number[] = [];
  let rest = value | 0;
  for (;;) {
    const low = rest & 0x7f;
    rest >>= 7;
    const done = (rest === 0 && (low & 0x40) === 0) || (rest === -1 && (low & 0x40) !== 0);
    bytes.push(done ? low : low | 0x80);
    if (done) return bytes;
  }
}

const vector = (items: readonly (readonly number[])[]) => [...unsigned(items.length), ...items.flat()];
const name = (text: string) => [...unsigned(text.length), ...new TextEncoder().encode(text)];
const section = (id: number, content: readonly number[]) => [id, ...unsigned(content.length), ...content];

/** Opcodes of instructions without immediates, and of those of the SIMD page, by name. */
const plain = {
  else: [0x05],
  end: [0x0b],
  return: [0x0f],
  drop: [0x1a],
  'i32.add': [0x6a],
  'i32.sub': [0x6b],
  'i32.mul': [0x6c],
  'i32.and': [0x71],
  'i32.or': [0x72],
  'i32.xor': [0x73],
  'i32.eqz': [0x45],
  'i32.eq': [0x46],
  'i32.ne': [0x47],
  'i32.lt_s': [0x48],
  'i32.lt_u': [0x49],
  'i32.gt_s': [0x4a],
  'i32.gt_u': [0x4b],
  'i32.le_s': [0x4c],
  'i32.le_u': [0x4d],
  'i32.ge_s': [0x4e],
  'i32.ge_u': [0x4f],
  select: [0x1b],
} as const;

const simd = {
  'i32x4.splat': 0x11,
  'f32x4.eq': 0x41,
  'f32x4.ne': 0x42,
  'f32x4.lt': 0x43,
  'f32x4.gt': 0x44,
  'f32x4.le': 0x45,
  'f32x4.ge': 0x46,
  'i32x4.eq': 0x37,
  'i32x4.ne': 0x38,
  'i32x4.lt_s': 0x39,
  'i32x4.lt_u': 0x3a,
  'i32x4.gt_s': 0x3b,
  'i32x4.gt_u': 0x3c,
  'i32x4.le_s': 0x3d,
  'i32x4.le_u': 0x3e,
  'i32x4.ge_s': 0x3f,
  'i32x4.ge_u': 0x40,
  'v128.not': 0x4d,
  'v128.and': 0x4e,
  'v128.andnot': 0x4f,
  'v128.or': 0x50,
  'v128.xor': 0x51,
  'v128.bitselect': 0x52,
  'i32x4.shl': 0xab,
  'i32x4.shr_s': 0xac,
  'i32x4.shr_u': 0xad,
  'i32x4.add': 0xae,
  'i32x4.sub': 0xb1,
  'i32x4.min_s': 0xb6,
  'i32x4.min_u': 0xb7,
  'i32x4.max_s': 0xb8,
  'i32x4.max_u': 0xb9,
  'f32x4.ceil': 0x67,
  'f32x4.floor': 0x68,
  'f32x4.trunc': 0x69,
  'f32x4.nearest': 0x6a,
  'i32x4.trunc_sat_f32x4_s': 0xf8,
  'i32x4.trunc_sat_f32x4_u': 0xf9,
  'f32x4.convert_i32x4_s': 0xfa,
  'f32x4.convert_i32x4_u': 0xfb,
  'f32x4.abs': 0xe0,
  'f32x4.neg': 0xe1,
  'f32x4.add': 0xe4,
  'f32x4.sub': 0xe5,
  'f32x4.mul': 0xe6,
  'f32x4.min': 0xe8,
  'f32x4.max': 0xe9,
  'f32x4.pmin': 0xea,
  'f32x4.pmax': 0xeb,
  'v128.any_true': 0x53,
  'i8x16.bitmask': 0x64,
  'i32x4.relaxed_laneselect': 0x10b,
  'f32x4.relaxed_madd': 0x105,
  'f32x4.relaxed_nmadd': 0x106,
} as const;

export type PlainOpcode = keyof typeof plain;
export type SimdOpcode = keyof typeof simd;

/** The body of a function, instruction after instruction. */
export class Code {
  readonly bytes: number[] = [];
  readonly #pinned = new Map<number, number>();

  op(...names: (PlainOpcode | SimdOpcode)[]): this {
    for (const each of names) {
      if (each in plain) this.bytes.push(...plain[each as PlainOpcode]);
      else this.bytes.push(0xfd, ...unsigned(simd[each as SimdOpcode]));
    }
    return this;
  }

  constant(value: number): this {
    this.bytes.push(0x41, ...signed(value));
    return this;
  }

  /** From here on, `splat` of this word takes it from a local: code does not make the constant again and again. */
  pin(word: number, local: number): this {
    this.splat(word).set(local);
    this.#pinned.set(word, local);
    return this;
  }

  /** A vector of these words. */
  words(values: readonly number[]): this {
    this.bytes.push(0xfd, ...unsigned(0x0c));
    for (const word of values) this.bytes.push(word & 0xff, (word >>> 8) & 0xff, (word >>> 16) & 0xff, word >>> 24);
    return this;
  }

  /** Of the two vectors on the stack, the bytes at these places: the first has 0 to 15. */
  shuffle(places: readonly number[]): this {
    this.bytes.push(0xfd, ...unsigned(0x0d), ...places);
    return this;
  }

  /** A vector of four equal words. */
  splat(word: number): this {
    const pinned = this.#pinned.get(word);
    if (pinned !== undefined) return this.get(pinned);
    return this.words([word, word, word, word]);
  }

  get(local: number): this {
    this.bytes.push(0x20, ...unsigned(local));
    return this;
  }

  set(local: number): this {
    this.bytes.push(0x21, ...unsigned(local));
    return this;
  }

  tee(local: number): this {
    this.bytes.push(0x22, ...unsigned(local));
    return this;
  }

  /** Loads the word at a fixed address. */
  load(address: number): this {
    this.bytes.push(0x41, 0, 0x28, 2, ...unsigned(address));
    return this;
  }

  load16(address: number): this {
    this.bytes.push(0x41, 0, 0x2f, 1, ...unsigned(address));
    return this;
  }

  store16(address: number): this {
    this.bytes.push(0x3b, 1, ...unsigned(address));
    return this;
  }

  /** The address operand of a `store` that follows when the value is there. */
  at(): this {
    this.bytes.push(0x41, 0);
    return this;
  }

  store(address: number): this {
    this.bytes.push(0x36, 2, ...unsigned(address));
    return this;
  }

  /** Loads a vector at the address in a local, plus an offset. */
  loadVectorAt(local: number, offset: number): this {
    this.bytes.push(0x20, ...unsigned(local), 0xfd, 0x00, 0, ...unsigned(offset));
    return this;
  }

  /** Stores the vector on the stack at the address below it, plus an offset. */
  storeVectorAt(offset: number): this {
    this.bytes.push(0xfd, 0x0b, 0, ...unsigned(offset));
    return this;
  }

  loadVector(address: number): this {
    this.bytes.push(0x41, 0, 0xfd, 0x00, 4, ...unsigned(address));
    return this;
  }

  storeVector(address: number): this {
    this.bytes.push(0xfd, 0x0b, 4, ...unsigned(address));
    return this;
  }

  loop(): this {
    this.bytes.push(0x03, 0x40);
    return this;
  }

  if(): this {
    this.bytes.push(0x04, 0x40);
    return this;
  }

  branchIf(depth: number): this {
    this.bytes.push(0x0d, ...unsigned(depth));
    return this;
  }

  call(index: number): this {
    this.bytes.push(0x10, ...unsigned(index));
    return this;
  }
}

export interface ModuleOptions {
  readonly code: Code;
  /** Locals after the one parameter: how many of i32, then how many of v128. */
  readonly words: number;
  readonly vectors: number;
  readonly memoryPages: number;
  /** The code leaves an i32. */
  readonly result?: boolean;
}

/**
 * A module with one function `run`, of one i32. It imports the memory `state.memory`, and as function 0
 * `state.transfer`, from i32 to i32.
 */
export function moduleBytes({ code, words, vectors, memoryPages, result }: ModuleOptions): Uint8Array<ArrayBuffer> {
  const types = [
    [0x60, 1, valueType.i32, 0],
    [0x60, 1, valueType.i32, 1, valueType.i32],
  ];
  const imports = [
    [...name('state'), ...name('memory'), 0x02, 0x00, ...unsigned(memoryPages)],
    [...name('state'), ...name('transfer'), 0x00, 1],
  ];
  const locals = vector([
    [...unsigned(words), valueType.i32],
    [...unsigned(vectors), valueType.v128],
  ]);
  const body = [...locals, ...code.bytes, 0x0b];
  return Uint8Array.from([
    ...[0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00],
    ...section(1, vector(types)),
    ...section(2, vector(imports)),
    ...section(3, vector([[result ? 1 : 0]])),
    ...section(7, vector([[...name('run'), 0x00, 1]])),
    ...section(10, vector([[...unsigned(body.length), ...body]])),
  ]);
}
