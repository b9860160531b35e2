/** System calls in words, from the rows of the interface: which ioctl and operation, with what, and what it answered. */

import { type Interface, interfaces } from '../../uapi/habanalabs/index.ts';
import type { InfoOperation } from '../../uapi/habanalabs/info.ts';
import type { Operation } from '../../uapi/rows.ts';
import { describeVerbs } from './verbs-calls.ts';

type Values = Readonly<Record<string, unknown>>;
const input = (argument: Values) => argument.in as Values;
const byRequest = new Map(interfaces.map((row) => [row.ioctl.request, row]));

/** The operation that an argument selects. */
function operationOf({ operations, selects }: Interface, argument: Values): string | undefined {
  const path = selects.member.split('.');
  const value = Number(path.reduce<unknown>((values, name) => (values as Values)[name], argument));
  const names = Object.keys(operations);
  if (selects.by === 'number') return names.find((name) => operations[name]?.value === value);
  return names.reverse().find((name) => ((operations[name] as Operation).value & value) !== 0) ?? names.at(-1);
}

/** An ioctl that was made: argument bytes before and after. */
export interface RawIoctl {
  readonly request: number;
  readonly before: Uint8Array;
  readonly after: Uint8Array;
  /** INFO: the answer, where it was kept. */
  readonly answer?: Uint8Array | undefined;
}

/** One in words. */
export interface DescribedIoctl {
  /** e.g. `MEMORY HL_MEM_OP_MAP` */
  readonly name: string;
  /** Members it takes that are not zero, by path. */
  readonly takes: Values;
  /** Members it gives, by path; of INFO those of the answer. */
  readonly gives: Values;
}

export function describeIoctl(call: RawIoctl): DescribedIoctl {
  return describeVerbs(call) ?? describeAccelerator(call);
}

function describeAccelerator({ request, before, after, answer }: RawIoctl): DescribedIoctl {
  const known = byRequest.get(request);
  if (!known || before.length < known.ioctl.argument.size)
    return { name: `ioctl 0x${request.toString(16)}`, takes: {}, gives: {} };
  const argument = known.ioctl.argument.decode(before) as Values;
  const result = known.ioctl.argument.decode(after) as Values;
  const operation = operationOf(known, argument);
  const row = operation === undefined ? undefined : known.operations[operation];
  const call = known.ioctl.name.replace('DRM_IOCTL_HL_', '');
  const name = `${call} ${operation ?? `operation ${String(input(argument)?.op ?? argument.op)}`}`;
  const takes = pick(argument, row?.takes ?? [], (value) => value !== 0 && value !== 0n);
  const flags = input(argument)?.flags ?? input(argument)?.cs_flags;
  return {
    name,
    takes: { ...takes, ...(flags === undefined || flags === 0 ? {} : { flags }) },
    gives: { ...pick(result, row?.gives ?? [], () => true), ...answered(row as InfoOperation | undefined, answer) },
  };
}

function answered(row: InfoOperation | undefined, bytes: Uint8Array | undefined): Values {
  if (row?.answer === undefined || bytes === undefined) return {};
  const whole = new Uint8Array(row.answer.size);
  whole.set(bytes.subarray(0, whole.length));
  const value = row.answer.read(new DataView(whole.buffer), 0);
  if (typeof value !== 'object' || value === null) return { value };
  // of an answer that is cut off, what the caller has no room for was not told
  const cut = (row.answer.members ?? []).filter(({ offset, field }) => offset + field.size > bytes.length);
  const missing = new Set(cut.map((member) => member.name));
  return Object.fromEntries(Object.entries(value).filter(([name]) => !missing.has(name)));
}

/** Members by the paths of C, without `in.` and `out.`. */
function pick(values: Values, paths: readonly string[], keep: (value: unknown) => boolean): Values {
  const picked: Record<string, unknown> = {};
  for (const path of paths) {
    let value: unknown = values;
    for (const part of path.split('.')) value = (value as Values | undefined)?.[part];
    if (typeof value === 'object' && value !== null && !ArrayBuffer.isView(value))
      Object.assign(picked, Object.fromEntries(Object.entries(value).filter(([, v]) => keep(v))));
    else if (keep(value)) picked[path.replace(/^(in|out)\./, '')] = value;
  }
  return picked;
}

/** `{seq: 3, mem_size: 0x200000}`; nothing for nothing. */
export function show(values: Values): string {
  const parts = Object.entries(values).map(([key, value]) => `${key}: ${showValue(value)}`);
  return parts.length === 0 ? '' : ` {${parts.join(', ')}}`;
}

function showValue(value: unknown): string {
  if (typeof value === 'bigint' || typeof value === 'number')
    return value > 0xffff ? `0x${value.toString(16)}` : String(value);
  if (typeof value === 'string') return JSON.stringify(value);
  if (value instanceof Uint8Array) return value.every((byte) => byte === 0) ? '0' : value.toHex();
  if (Array.isArray(value)) {
    const last = value.findLastIndex((item) => item !== 0 && item !== 0n);
    return `[${value
      .slice(0, last + 1)
      .map(showValue)
      .join(', ')}]`;
  }
  return String(value);
}
