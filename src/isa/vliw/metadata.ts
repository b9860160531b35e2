/**
 * Section .tpc_metadata: what a program uses, for those who load it. Source: HabanaAI/tpc_llvm,
 * llvm/include/llvm/Target/TPCMetadataSection.h, llvm/lib/Target/TPC/MCTargetDesc/TPCMetadataSection.cpp.
 */

import { Fault } from '../expressions.ts';
import { integerValue } from './numbers.ts';
import { scan } from './scanner.ts';

interface MetadataField {
  readonly offset: number;
  /** Bytes of one element. */
  readonly size: number;
  readonly least: number;
  readonly most: number;
  /** Of an array of single bits. */
  readonly length?: number;
  readonly default?: number;
  /** The version of the section that brought it. */
  readonly since: number;
}

export const METADATA_BYTES = 262;
const VERSION = 12;
const TENSORS = 16;

const fields: Readonly<Record<string, MetadataField>> = {
  version: { offset: 0, size: 4, least: 0, most: VERSION, default: VERSION, since: 0 },
  specialfunctionused: { offset: 4, size: 1, least: 0, most: 1, since: 3 },
  printfused: { offset: 5, size: 1, least: 0, most: 1, since: 3 },
  lockunlock: { offset: 6, size: 1, least: 0, most: 1, since: 3 },
  mmioused: { offset: 7, size: 1, least: 0, most: 1, since: 6 },
  march: { offset: 8, size: 2, least: 1, most: 6, default: 1, since: 5 },
  paramsnum: { offset: 12, size: 1, least: 0, most: 255, since: 8 },
  printftensorid: { offset: 13, size: 1, least: 0, most: TENSORS, since: 9 },
  numberofthreads: { offset: 14, size: 1, least: 1, most: 4, default: 1, since: 10 },
  directmmioaccess: { offset: 15, size: 1, least: 0, most: 1, since: 11 },
  dnorm: { offset: 16, size: 1, least: 0, most: 1, since: 12 },
  scalarld: { offset: 26, size: 1, least: 0, most: 1, length: TENSORS, since: 3 },
  rmwstore: { offset: 28, size: 1, least: 0, most: 1, length: TENSORS, since: 4 },
};

const sizes: Readonly<Record<string, number>> = { db: 1, dw: 2, dd: 4, dq: 8, dt: 10, dh: 16 };

/** By field in lower case; elements of arrays as `name[3]`. */
export type MetadataValues = Map<string, number>;

/** Reads `field: DB 1` or `field[3]: DB 1`. False: the line is none of these. @throws Fault */
export function metadataLine(values: MetadataValues, line: string, start: number): boolean {
  const tokens = scan(line, start);
  const [first] = tokens;
  const name = first?.text.toLowerCase() ?? '';
  const field = Object.hasOwn(fields, name) ? fields[name] : undefined;
  if (!first || !field) return false;
  let at = 1;
  let index: number | undefined;
  if (tokens[at]?.text === '[') {
    index = tokens[at + 1]?.kind === 'integer' ? Number(tokens[at + 1]?.text) : undefined;
    if (index === undefined || index >= (field.length ?? 0) || tokens[at + 2]?.text !== ']') {
      throw new Fault(tokens[at + 1] ?? first, `an index below ${field.length ?? 0} is expected`);
    }
    at += 3;
  }
  const [colon, type, value] = tokens.slice(at);
  if (colon?.text !== ':') throw new Fault(colon ?? first, '":" is expected');
  const expected = field.length !== undefined && index === undefined ? field.length : field.size;
  if (!type || sizes[type.text.toLowerCase()] !== expected) {
    const word = Object.keys(sizes)
      .find((key) => sizes[key] === expected)
      ?.toUpperCase();
    throw new Fault(type ?? first, `${word} is expected`);
  }
  if (!value || tokens.length > at + 3) throw new Fault(tokens[at + 3] ?? first, 'one value is expected');
  if (expected === TENSORS) {
    if (!/^[01]{16}$/.test(value.text)) throw new Fault(value, 'sixteen digits 0 or 1 are expected');
    Array.from(value.text, (digit, i) => values.set(`${name}[${i}]`, Number(digit)));
    return true;
  }
  const number = value.kind === 'integer' ? Number(integerValue(value.text)) : Number.NaN;
  if (!(number >= field.least && number <= field.most)) {
    throw new Fault(value, `a number from ${field.least} to ${field.most} is expected`);
  }
  const key = index === undefined ? name : `${name}[${index}]`;
  if (values.has(key)) throw new Fault(first, `${first.text} is already given`);
  values.set(key, number);
  return true;
}

export function serializeMetadata(values: MetadataValues): Uint8Array {
  const bytes = new Uint8Array(METADATA_BYTES);
  const version = values.get('version') ?? VERSION;
  for (const [name, field] of Object.entries(fields)) {
    if (version < field.since) continue;
    let value = values.get(name) ?? field.default ?? 0;
    for (let i = 0; i < (field.length ?? 0); i++) value |= (values.get(`${name}[${i}]`) ?? 0) << i;
    const size = field.length === undefined ? field.size : field.length / 8;
    for (let i = 0; i < size; i++) bytes[field.offset + i] = value >>> (8 * i);
  }
  return bytes;
}
