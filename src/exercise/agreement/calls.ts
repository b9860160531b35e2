/** System calls in words, from the rows of the interface: which ioctl and operation, with what, and what it answered. */

import { cbOperations, DRM_IOCTL_HL_CB } from '../../uapi/habanalabs/cb.ts';
import { csOperations, DRM_IOCTL_HL_CS } from '../../uapi/habanalabs/cs.ts';
import { DRM_IOCTL_HL_DEBUG, debugOperations } from '../../uapi/habanalabs/debug.ts';
import { DRM_IOCTL_HL_INFO, type InfoOperation, infoOperations } from '../../uapi/habanalabs/info.ts';
import { DRM_IOCTL_HL_MEMORY, memoryOperations } from '../../uapi/habanalabs/memory.ts';
import { DRM_IOCTL_HL_WAIT_CS, waitOperations } from '../../uapi/habanalabs/wait-cs.ts';
import type { Ioctl, Operation } from '../../uapi/rows.ts';

type Values = Readonly<Record<string, unknown>>;
type Rows = Readonly<Record<string, Operation>>;

/** How an ioctl says which operation it is: by a number, or by flags of which the last that is set counts. */
interface Chooser {
  readonly ioctl: Ioctl;
  readonly rows: Rows;
  choose(argument: Values): string | undefined;
}

const by = (rows: Rows, value: unknown) => Object.keys(rows).find((name) => rows[name]?.value === value);
const kind = (rows: Rows, flags: unknown) =>
  Object.keys(rows)
    .reverse()
    .find((name) => ((rows[name]?.value ?? 0) & Number(flags)) !== 0) ?? Object.keys(rows)[0];
const input = (argument: Values) => argument.in as Values;

const choosers: readonly Chooser[] = [
  { ioctl: DRM_IOCTL_HL_INFO, rows: infoOperations, choose: (a) => by(infoOperations, a.op) },
  { ioctl: DRM_IOCTL_HL_CB, rows: cbOperations, choose: (a) => by(cbOperations, input(a).op) },
  { ioctl: DRM_IOCTL_HL_CS, rows: csOperations, choose: (a) => kind(csOperations, input(a).cs_flags) },
  { ioctl: DRM_IOCTL_HL_WAIT_CS, rows: waitOperations, choose: (a) => kind(waitOperations, input(a).flags) },
  { ioctl: DRM_IOCTL_HL_MEMORY, rows: memoryOperations, choose: (a) => by(memoryOperations, input(a).op) },
  { ioctl: DRM_IOCTL_HL_DEBUG, rows: debugOperations, choose: (a) => by(debugOperations, a.op) },
] as readonly Chooser[];
const byRequest = new Map(choosers.map((chooser) => [chooser.ioctl.request, chooser]));

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

export function describeIoctl({ request, before, after, answer }: RawIoctl): DescribedIoctl {
  const chooser = byRequest.get(request);
  if (!chooser || before.length < chooser.ioctl.argument.size)
    return { name: `ioctl 0x${request.toString(16)}`, takes: {}, gives: {} };
  const argument = chooser.ioctl.argument.decode(before) as Values;
  const result = chooser.ioctl.argument.decode(after) as Values;
  const operation = chooser.choose(argument);
  const row = operation === undefined ? undefined : chooser.rows[operation];
  const call = chooser.ioctl.name.replace('DRM_IOCTL_HL_', '');
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
  return typeof value === 'object' && value !== null ? (value as Values) : { value };
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
  if (value instanceof Uint8Array) return value.every((byte) => byte === 0) ? '0' : Buffer.from(value).toString('hex');
  if (Array.isArray(value)) {
    const last = value.findLastIndex((item) => item !== 0 && item !== 0n);
    return `[${value
      .slice(0, last + 1)
      .map(showValue)
      .join(', ')}]`;
  }
  return String(value);
}
