/** An event in words: its fields with their units, packets disassembled, calls with the members of their arguments. */

import { gaudiQman } from '../../../specs/gaudi-qman.ts';
import { gaudiSymbols } from '../../../specs/gaudi-symbols.ts';
import { describeIoctl, show } from '../../exercise/agreement/calls.ts';
import { disassemblePackets } from '../../isa/disassembler.ts';
import type { SymbolTable } from '../../isa/symbols.ts';
import { type EventName, type EventRow, type FieldRow, traceEvents } from '../../trace/events.ts';
import { bytesText, type Field } from './store.ts';
import type { TraceData } from './trace-data.ts';

export interface Described {
  /** Meaning of the kind of event. */
  readonly doc: string;
  readonly fields: readonly { readonly name: string; readonly value: string; readonly doc: string }[];
  /** Pieces of text of several lines. */
  readonly texts: readonly { readonly title: string; readonly text: string }[];
}

export function describe(data: TraceData, event: number): Described {
  const category = data.categories[data.category[event] as number] ?? '';
  const row: EventRow | undefined = Object.hasOwn(traceEvents, category)
    ? traceEvents[category as EventName]
    : undefined;
  const all = data.fields(event);
  const rows: Readonly<Record<string, FieldRow>> = { ...row?.fields, ...row?.results };
  const fields = all
    .filter(({ value }) => !(value instanceof Uint8Array))
    .map(({ name, value }) => ({ name, value: fieldText(value, rows[name]), doc: rows[name]?.doc ?? '' }));
  return { doc: row?.doc ?? '', fields, texts: textsOf(category, all) };
}

function fieldText(value: Field['value'], row: FieldRow | undefined): string {
  if (typeof value === 'bigint') return `0x${value.toString(16)}`;
  if (typeof value !== 'number') return value instanceof Uint8Array ? hex(value) : String(value);
  if (row?.kind === 'address' || row?.kind === 'word') return `0x${value.toString(16)}`;
  if (row?.unit === 'bytes')
    return value < 1024 ? `${value} B` : `${value.toLocaleString('en')} B (${bytesText(value)})`;
  return row?.unit === undefined ? String(value) : `${value.toLocaleString('en')} ${row.unit}`;
}

function textsOf(category: string, fields: readonly Field[]): { title: string; text: string }[] {
  const values = new Map(fields.map(({ name, value }) => [name, value]));
  const raw = (name: string) => {
    const value = values.get(name);
    return value instanceof Uint8Array ? value : undefined;
  };
  if (category === 'packet') {
    const words = raw('words');
    return words ? [{ title: 'Disassembled', text: `${disassembled(words)}\n\n${wordsText(words)}` }] : [];
  }
  if (category === 'ioctl') {
    const [before, after] = [raw('argument'), raw('after')];
    if (!before) return [];
    const call = { request: Number(values.get('request') ?? 0), before, after: after ?? before };
    return [{ title: 'Call', text: callText(call) }];
  }
  return fields
    .filter(({ value }) => value instanceof Uint8Array && value.length > 0)
    .map(({ name, value }) => ({ title: name, text: hex(value as Uint8Array) }));
}

let symbols: SymbolTable | undefined;

function disassembled(words: Uint8Array): string {
  symbols ??= gaudiSymbols();
  return disassemblePackets(gaudiQman, symbols, words, { data: true }).trimEnd();
}

/** As they lie in memory, for who reads the manual. */
function wordsText(bytes: Uint8Array): string {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const words = Array.from({ length: bytes.length >> 2 }, (_, n) =>
    view
      .getUint32(n * 4, true)
      .toString(16)
      .padStart(8, '0'),
  );
  return `words: ${words.join(' ')}`;
}

function callText(call: Parameters<typeof describeIoctl>[0]): string {
  try {
    const { name, takes, gives } = describeIoctl(call);
    return `${name}\ntakes${show(takes) || ' nothing'}\ngives${show(gives) || ' nothing'}`;
  } catch {
    // a file that somebody else made may have any bytes here
    return hex(call.before);
  }
}

function hex(bytes: Uint8Array): string {
  const digits = Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0'));
  const lines: string[] = [];
  for (let at = 0; at < digits.length; at += 16) lines.push(digits.slice(at, at + 16).join(' '));
  return lines.join('\n');
}
