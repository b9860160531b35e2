/** Local memories, configuration space, global memory and tensors: what LOAD and STORE do. */

import type { Instruction } from '../../isa/vliw/bundle.ts';
import { type LaneType, laneTypes, type Values } from '../lanes.ts';
import * as layout from '../layout.ts';
import { type Body, CONFIG, type Machine, refuse } from '../machine.ts';
import { add, maximum, minimum } from '../numbers/float.ts';
import { type IntegerType, wrap } from '../numbers/integer.ts';
import {
  addressReader,
  bytesReader,
  constant,
  destination,
  indexReader,
  laneBits,
  operand,
  optional,
  register,
  wordReader,
  wordWriter,
} from '../operands.ts';
import { entryOffset, LINE_BYTES, placeOf, type TableClass } from '../tables/layout.ts';
import {
  addressOf,
  elementBytes,
  inside,
  type RmwOperation,
  rmwOperations,
  type Tensor,
  type TensorType,
  tensorTypes,
} from '../tensor.ts';
import { flagOf } from './elementwise.ts';

const HALF = layout.VECTOR_BYTES / 2;
const hex = (n: number) => `0x${n.toString(16)}`;

/** Offset in the state of a word of scalar local memory. */
function scalarLocal(i: Instruction, m: Machine, address: number): number {
  if (address + 4 > layout.SLM_BYTES) {
    m.interrupt('address_exceed_slm');
    refuse(i, 'guest', `address ${hex(address)} exceeds the ${layout.SLM_BYTES} bytes of scalar local memory`);
  }
  if (address % 4 !== 0) refuse(i, 'undefined', `address ${hex(address)} is not a multiple of 4`);
  return layout.SLM + address;
}

/** Offset in the state of `bytes` bytes of vector local memory. */
function vectorLocal(i: Instruction, m: Machine, address: number, bytes: number): number {
  if (address + bytes > m.vlmBytes) {
    refuse(i, 'guest', `address ${hex(address)} exceeds the ${m.vlmBytes} bytes of vector local memory`);
  }
  if (address % bytes !== 0) refuse(i, 'undefined', `address ${hex(address)} is not a multiple of ${bytes}`);
  return layout.VLM + address;
}

function configOffset(i: Instruction, address: number): number {
  return address % 4 === 0 ? address : refuse(i, 'undefined', `address ${hex(address)} is not a multiple of 4`);
}

const loadLocal: Body = (i, m) => {
  const address = wordReader(i, 'addr', m);
  const write = wordWriter(i, m);
  const bit = register(i, 'dest').file === 'SP';
  const mmio = flagOf(i, 'mmio');
  return () => {
    const at = address();
    const value = mmio ? m.config.read(configOffset(i, at)) : (m.state.u32[scalarLocal(i, m, at) >> 2] as number);
    write(bit ? value & 1 : value);
  };
};

const storeLocal: Body = (i, m) => {
  const address = wordReader(i, 'addr', m);
  const value = wordReader(i, 'value', m);
  const mmio = flagOf(i, 'mmio');
  return () => {
    const at = address();
    if (!mmio) {
      m.state.u32[scalarLocal(i, m, at) >> 2] = value();
      return;
    }
    m.config.write(configOffset(i, at), value());
    m.configChanged = true;
  };
};

type Half = 'all' | 'low' | 'high';

/** Bytes of a transfer, and where in the vector they lie; a vector predicate is always whole. */
function partOf(i: Instruction, role: string, half: Half): { bytes: number; at: number; whole: number } {
  if (register(i, role).file === 'VP') {
    if (half !== 'all') refuse(i, 'undefined', 'what half a vector predicate is');
    return { bytes: layout.PREDICATE_BYTES, at: 0, whole: layout.PREDICATE_BYTES };
  }
  const bytes = half === 'all' ? layout.VECTOR_BYTES : HALF;
  return { bytes, at: half === 'high' ? HALF : 0, whole: layout.VECTOR_BYTES };
}

function writtenPart(whole: number, at: number, bytes: number): Uint8Array | undefined {
  if (bytes === whole) return undefined;
  return new Uint8Array(whole).fill(1, at, at + bytes);
}

const loadVectorLocal =
  (half: Half): Body =>
  (i, m) => {
    const { bytes, at, whole } = partOf(i, 'dest', half);
    const written = writtenPart(whole, at, bytes);
    const address = wordReader(i, 'addr', m);
    const to = destination(i, m, whole, laneBits(1, whole));
    return () => {
      const from = vectorLocal(i, m, address(), bytes);
      const room = to.begin();
      m.state.bytes.copyWithin(room + at, from, from + bytes);
      to.finish(room, written);
    };
  };

const storeVectorLocal =
  (half: Half): Body =>
  (i, m) => {
    const { bytes, at, whole } = partOf(i, 'value', half);
    const address = wordReader(i, 'addr', m);
    const value = bytesReader(i, 'value', m, whole);
    return () => {
      const target = vectorLocal(i, m, address(), bytes);
      const from = value() + at;
      m.state.bytes.copyWithin(target, from, from + bytes);
    };
  };

/** The tensor that an instruction names: a number in it, or in a scalar register. */
function tensorReader(i: Instruction, m: Machine): () => Tensor {
  const named = operand(i, 'tensor');
  if (named.kind === 'register') {
    const word = wordReader(i, 'tensor', m);
    return () => m.tensor(word());
  }
  return () => m.tensor(named.value);
}

export const generateAddress: Body = (i, m) => {
  const tensor = tensorReader(i, m);
  const coordinates = indexReader(i, 'coords', m);
  const to = destination(i, m, layout.ADDRESS_BYTES);
  return () => {
    const found = tensor();
    const address = addressOf(found, coordinates());
    const at = to.begin() >> 2;
    m.state.u32[at] = address >>> 0;
    m.state.u32[at + 1] = Math.floor(address / 2 ** 32);
    m.state.u32[at + 2] = tensorTypes.indexOf(found.type);
    m.state.u32[at + 3] = 0;
    to.finish(at << 2);
  };
};

const loadGlobal: Body = (i, m) => {
  const address = addressReader(i, 'addr', m);
  const file = register(i, 'dest').file;
  const vector = file === 'V' ? destination(i, m, layout.VECTOR_BYTES) : undefined;
  const word = vector ? undefined : wordWriter(i, m);
  return () => {
    const { address: from, type: number } = address();
    const type = tensorTypes[number] as TensorType;
    const lanes: LaneType = laneTypes[type];
    const at = m.pipeline.room(16);
    m.state.u32[at >> 2] = 0;
    m.load(from, lanes.bytes, at);
    const value = m.state.u32[at >> 2] as number;
    if (vector) {
      const out = vector.begin();
      for (let byte = 0; byte < layout.VECTOR_BYTES; byte++) {
        m.state.bytes[out + byte] = m.state.bytes[at + (byte % lanes.bytes)] as number;
      }
      vector.finish(out);
    } else if (file === 'SP') word?.(value & 1);
    else word?.(lanes.float ? value : lanes.toWord(lanes.fromWord(value)));
  };
};

const storeGlobal: Body = (i, m) => {
  const address = addressReader(i, 'addr', m);
  const value = wordReader(i, 'value', m);
  return () => {
    const { address: to, type } = address();
    const at = m.pipeline.room(16);
    m.state.u32[at >> 2] = value();
    m.store(to, elementBytes[tensorTypes[type] as TensorType], at);
  };
};

/** Size and offset of a partial transfer, in elements. */
function partReader(i: Instruction, m: Machine, number: number): () => { size: number; offset: number } {
  const word = wordReader({ ...i, operands: [{ kind: 'register', file: 'S', number }], roles: ['part'] }, 'part', m);
  return () => {
    const value = word();
    return { size: (value & 0xff) + 1, offset: (value >>> 8) & 0xff };
  };
}

const laneBitsOf = { 1: laneBits(1), 2: laneBits(2), 4: laneBits(4) } as const;

const loadTensor =
  (half: Half): Body =>
  (i, m) => {
    const { bytes, at, whole } = partOf(i, 'dest', half);
    const tensor = tensorReader(i, m);
    const coordinates = indexReader(i, 'coords', m);
    const to = destination(i, m, whole);
    const part = flagOf(i, 'partial') ? partReader(i, m, layout.LOAD_PARTIAL) : undefined;
    const halfWritten = writtenPart(whole, at, bytes);
    return () => {
      const found = tensor();
      const width = found.elementBytes;
      const where = coordinates();
      let first = at;
      let count = bytes / width;
      let written = halfWritten;
      if (part) {
        const { size, offset } = part();
        if (offset + size > count) refuse(i, 'undefined', `elements ${offset} to ${offset + size - 1} of ${count}`);
        first = offset * width;
        count = size;
        written = writtenPart(whole, first, count * width);
      }
      const room = to.begin();
      const { from, to: end } = inside(found, where, count);
      pad(m, found, room + first, from);
      pad(m, found, room + first + end * width, count - end);
      if (end > from) {
        const start = addressOf(found, where) + from * width;
        m.load(start, (end - from) * width, room + first + from * width);
      }
      to.finish(room, written, whole === layout.VECTOR_BYTES ? laneBitsOf[width] : undefined);
    };
  };

function pad(m: Machine, tensor: Tensor, at: number, count: number): void {
  for (let n = 0; n < count * tensor.elementBytes; n++) {
    m.state.bytes[at + n] = tensor.padding >>> (8 * (n % tensor.elementBytes));
  }
}

/** What a store with RMW does: the operation and the type it is done in. */
interface Modify {
  readonly operation: RmwOperation;
  readonly type: TensorType;
}

/** S29: type 3:0, operation 6:4 of which 5:4, enable 6, type from the descriptor 7 (tpc-defs.h, MkRMW). */
function modifyOf(i: Instruction, tensor: Tensor, word: number | undefined): Modify | undefined {
  if (word === undefined) return tensor.rmw ? { operation: tensor.rmw, type: tensor.type } : undefined;
  if (!((word >>> 6) & 1)) return undefined;
  const type = (word >>> 7) & 1 ? tensor.type : tensorTypes[word & 0xf];
  if (!type) refuse(i, 'unsupported', `S29 names data type ${word & 0xf}`);
  if (elementBytes[type] !== tensor.elementBytes) {
    refuse(i, 'undefined', `S29 says ${type}, the tensor has elements of ${tensor.elementBytes} bytes`);
  }
  return { operation: rmwOperations[(word >>> 4) & 3] as RmwOperation, type };
}

const old: Values = new Float64Array(layout.VECTOR_BYTES);
const given: Values = new Float64Array(layout.VECTOR_BYTES);

/** Combines what is in memory (at `memory` in the state) with the elements at `source`, into `source`. */
function combine(m: Machine, modify: Modify, memory: number, source: number, count: number): void {
  const lanes: LaneType = laneTypes[modify.type];
  lanes.read(m.state, memory, count, old);
  lanes.read(m.state, source, count, given);
  for (let n = 0; n < count; n++) old[n] = combined(lanes, modify.operation, old[n] as number, given[n] as number);
  lanes.write(m.state, source, count, old);
}

function combined(lanes: LaneType, operation: RmwOperation, before: number, value: number): number {
  if (operation === 'min') return lanes.float ? minimum(before, value) : Math.min(before, value);
  if (operation === 'max') return lanes.float ? maximum(before, value) : Math.max(before, value);
  const term = operation === 'add' ? value : -value;
  // The memory side knows nothing of the core's ROUND_CSR.
  if (lanes.float) return add(lanes.float, before, term, 'rhne');
  return wrap(lanes.integer as IntegerType, before + term);
}

const storeTensor =
  (half: Half): Body =>
  (i, m) => {
    const { bytes, at, whole } = partOf(i, 'value', half);
    const tensor = tensorReader(i, m);
    const coordinates = indexReader(i, 'coords', m);
    const value = bytesReader(i, 'value', m, whole);
    const packing = flagOf(i, 'pack');
    const part = flagOf(i, 'partial') ? partReader(i, m, layout.STORE_PARTIAL) : undefined;
    const rmw = flagOf(i, 'rmw_sel')
      ? wordReader(
          { ...i, operands: [{ kind: 'register', file: 'S', number: layout.RMW_INFO }], roles: ['rmw'] },
          'rmw',
          m,
        )
      : undefined;
    return () => {
      const found = tensor();
      const width = found.elementBytes;
      const where = coordinates();
      const copy = m.pipeline.room(layout.VECTOR_BYTES);
      const source = value() + at;
      let count = bytes / width;
      if (packing) {
        if (width !== 2) refuse(i, 'undefined', `packing to elements of ${width} bytes`);
        count /= 2;
        for (let n = 0; n < count; n++) m.state.u16[copy / 2 + n] = m.state.u16[source / 2 + 2 * n] as number;
      } else m.state.bytes.copyWithin(copy, source, source + bytes);
      let first = 0;
      if (part) {
        const { size, offset } = part();
        if (offset + size > count) refuse(i, 'undefined', `elements ${offset} to ${offset + size - 1} of ${count}`);
        first = offset;
        count = size;
      }
      const { from, to } = inside(found, where, count);
      if (to <= from) return;
      const start = copy + (first + from) * width;
      const address = addressOf(found, where) + from * width;
      const modify = modifyOf(i, found, rmw?.());
      if (modify) {
        const before = m.pipeline.room(layout.VECTOR_BYTES);
        m.load(address, (to - from) * width, before);
        combine(m, modify, before, start, to - from);
      }
      m.store(address, (to - from) * width, start);
    };
  };

/** Byte address of the table of function `number`, and its class. */
function tableOf(i: Instruction, m: Machine, number: number): { base: number; kind: TableClass } {
  const place = placeOf(number) ?? refuse(i, 'unsupported', `function ${number}`);
  const at = CONFIG.lutBase + 8 * place.kind.base;
  const base = m.config.read(at) + m.config.read(at + 4) * 2 ** 32;
  return { base: base + place.offset, kind: place.kind };
}

type Lookup = 'lookup' | 'lookup_1c' | 'lookup_2c';

/**
 * Offsets of the values of an entry in its table, for the destination's registers. The index has 8 bits (SynapseAI_Core,
 * getCoefAddrFromOffset); of more entries than the table has room for, those at its begin are taken.
 */
function entryOffsets(kind: Lookup, wide: boolean, table: TableClass, index: number): readonly number[] {
  const entry = index & 0xff;
  const room = table.lines * LINE_BYTES;
  if (kind === 'lookup') return [(entry * 4) % room];
  if (!wide) {
    if (kind === 'lookup_1c') return [(entry * 2) % room];
    const at = (entry * 4) % room;
    return [at, at + 2];
  }
  const at = entryOffset(entry % table.entries);
  return kind === 'lookup_1c' ? [at] : [at + 4, at + 8];
}

const lookup =
  (kind: Lookup): Body =>
  (i, m) => {
    if (flagOf(i, 'upper_half')) refuse(i, 'undefined', 'which entries the upper half are is not public');
    const wide = i.switches.dt !== 'BV16';
    const lanes = wide ? laneTypes.u32 : laneTypes.u16;
    const registers = kind === 'lookup_2c' ? 2 : 1;
    const number = constant(i, optional(i, 'function') ? 'function' : 'b');
    const read = bytesReader(i, 'a', m, layout.VECTOR_BYTES);
    const to = destination(i, m, registers * layout.VECTOR_BYTES);
    return () => {
      if (m.vlmBytes > layout.SMALL_VLM_BYTES) {
        refuse(i, 'guest', 'lookup tables need the small vector local memory (KERNEL_CONFIG.SMALL_VLM)');
      }
      const { base, kind: table } = tableOf(i, m, number);
      lanes.read(m.state, read(), lanes.count, given);
      const out = to.begin();
      for (let lane = 0; lane < lanes.count; lane++) {
        entryOffsets(kind, wide, table, given[lane] as number).forEach((offset, n) => {
          m.load(base + offset, lanes.bytes, out + n * layout.VECTOR_BYTES + lane * lanes.bytes);
        });
      }
      to.finish(out);
    };
  };

/** Memory is coherent here: there is no cache whose content could be late. */
const nothing: Body = () => () => {};

const semaphore: Body = (i, m) => {
  const step = flagOf(i, 'dec') ? -1 : 1;
  return () => m.config.write(CONFIG.semaphore, (m.config.read(CONFIG.semaphore) + step) >>> 0);
};

export const loads = {
  gen_addr: generateAddress,
  lookup: lookup('lookup'),
  lookup_1c: lookup('lookup_1c'),
  lookup_2c: lookup('lookup_2c'),
  ld_l: loadLocal,
  ld_g: loadGlobal,
  prefetch: nothing,
  ld_l_v: loadVectorLocal('all'),
  ld_l_v_low: loadVectorLocal('low'),
  ld_l_v_high: loadVectorLocal('high'),
  ld_tnsr: loadTensor('all'),
  ld_tnsr_low: loadTensor('low'),
  ld_tnsr_high: loadTensor('high'),
} as const;

export const stores = {
  gen_addr: generateAddress,
  st_l: storeLocal,
  st_g: storeGlobal,
  st_l_v: storeVectorLocal('all'),
  st_l_v_low: storeVectorLocal('low'),
  st_l_v_high: storeVectorLocal('high'),
  aso: semaphore,
  st_tnsr: storeTensor('all'),
  st_tnsr_low: storeTensor('low'),
  st_tnsr_high: storeTensor('high'),
  cache_flush: nothing,
  cache_invalidate: nothing,
} as const;
