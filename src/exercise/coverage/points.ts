/**
 * What there is to show of the driver's interface, as points that a call reaches or does not; all of them follow from the rows
 * of `src/uapi`: success, flags, errnos, limits of members, answers, either node; and the order of calls (`order.ts`).
 */

import { fileOperations } from '../../uapi/habanalabs/files.ts';
import { type Interface, interfaces } from '../../uapi/habanalabs/index.ts';
import type { Errors, Ioctl, Operation } from '../../uapi/rows.ts';
import { importerIoctls } from '../../uapi/sagrada/importer.ts';
import { type Reader, reader } from './members.ts';
import { chunkReader } from './memory.ts';
import { orderPoints } from './order.ts';

export type PointKind = 'success' | 'refusal' | 'flag' | 'errno' | 'limit' | 'answer' | 'node' | 'order';

/** A thing to show. */
export interface Point {
  /** `MEMORY MAP flag USERPTR`: the call, the operation, and what of it; the same in every version that has the point. */
  readonly id: string;
  /** Short name of the ioctl, `FILE` or `DMABUF`. */
  readonly call: string;
  /** Short name; empty for what all operations share. */
  readonly operation: string;
  readonly kind: PointKind;
  /** What of it, e.g. `flag USERPTR`. */
  readonly what: string;
  /** In words. */
  readonly doc: string;
  /** Why a Gaudi1 in good order does not show it. */
  readonly beyond?: string;
}

/** A call that has returned. */
export interface Called {
  readonly before: DataView;
  readonly after: DataView;
  /** Errno, or `ok`. */
  readonly outcome: string;
  readonly control: boolean;
  /** The first chunk of a submission, where it can be read. */
  readonly chunk: DataView | undefined;
}

/** A point of ioctls, and whether a call reaches it. */
export interface Check {
  readonly point: Point;
  reached(called: Called): boolean;
}

/** An operation of an ioctl, as it is watched. */
export interface Watched {
  readonly name: string;
  /** `CALL OPERATION`. */
  readonly id: string;
  readonly row: Operation;
  readonly checks: readonly Check[];
}

/** An ioctl, as it is watched. */
export interface WatchedIoctl {
  readonly call: string;
  readonly request: number;
  readonly size: number;
  /** The operation of an argument; undefined where there is none. */
  choose(before: DataView): Watched | undefined;
  readonly operations: readonly Watched[];
  /** What operations share. */
  readonly shared: readonly Check[];
  /** Whether chunks matter. */
  readonly chunks: boolean;
}

const PREFIXES =
  /^(DRM_IOCTL_HL|HL_INFO|HL_CB_OP|HL_CB_FLAGS|HL_CS_FLAGS|HL_CS|HL_WAIT_CS_FLAGS|HL_MEM_OP|HL_MEM|HL_DEBUG_OP)_/;
const short = (name: string) => name.replace(PREFIXES, '').replace(PREFIXES, '');

type Test = Check['reached'];

class Builder {
  readonly checks: Check[] = [];
  readonly #call: string;
  readonly #operation: string;
  readonly #beyond: Errors;

  constructor(call: string, operation: string, beyond: Errors = {}) {
    this.#call = call;
    this.#operation = operation;
    this.#beyond = beyond;
  }

  /** @param why key of `beyond`, or the reason itself */
  add(kind: PointKind, what: string, doc: string, reached: Test, why: string = what, reason?: string): void {
    const beyond = reason ?? this.#beyond[why];
    const point: Point = {
      id: [this.#call, this.#operation, what].filter((word) => word !== '').join(' '),
      call: this.#call,
      operation: this.#operation,
      kind,
      what,
      doc,
      ...(beyond === undefined ? {} : { beyond }),
    };
    this.checks.push({ point, reached });
  }
}

const succeeds: Test = ({ outcome, control }) => outcome === 'ok' && !control;
const fails =
  (errno: string): Test =>
  ({ outcome }) =>
    outcome === errno;

function watch({ ioctl, operations, selects, flags }: Interface): WatchedIoctl {
  const call = short(ioctl.name);
  const watched = Object.entries(operations).map(([name, row]): Watched => {
    const label = row.label ?? short(name);
    return { name: label, id: `${call} ${label}`, row, checks: operationChecks(call, label, row, ioctl, flags) };
  });
  const select = reader(ioctl.argument, selects.member);
  const shared = new Builder(call, '', ioctl.beyond);
  for (const [errno, doc] of Object.entries(ioctl.errors ?? {})) shared.add('errno', errno, doc, fails(errno));
  limitChecks(shared, ioctl, ioctl);
  const byValue = new Map(watched.map((operation) => [operation.row.value, operation]));
  const byFlags = [...watched].reverse();
  return {
    call,
    request: ioctl.request,
    size: ioctl.argument.size,
    choose: (before) => {
      const value = select(before);
      if (selects.by === 'number') return byValue.get(value);
      return byFlags.find(({ row }) => (row.value & value) !== 0) ?? byValue.get(0);
    },
    operations: watched,
    shared: shared.checks,
    chunks: flags.some(({ member }) => member.startsWith('chunk.')),
  };
}

/** Reads a member of a call's argument, or of its first chunk; undefined where that is unknown. */
function memberOf(ioctl: Ioctl, path: string): (called: Called) => number | undefined {
  if (path.startsWith('chunk.')) {
    const read = chunkReader(path.slice('chunk.'.length));
    return ({ chunk }) => (chunk === undefined ? undefined : read(chunk));
  }
  const read: Reader = reader(ioctl.argument, path);
  return ({ before }) => read(before);
}

function operationChecks(
  call: string,
  name: string,
  row: Operation,
  ioctl: Ioctl,
  flagSets: Interface['flags'],
): readonly Check[] {
  const points = new Builder(call, name, row.beyond);
  if (row.refused === undefined) points.add('success', 'success', 'succeeds', succeeds);
  else points.add('refusal', `refused with ${row.refused}`, 'Gaudi1 does not have it', fails(row.refused));
  if ((row as { nodes?: string }).nodes === 'both' && row.refused === undefined)
    points.add('node', 'control node', 'the control node answers too', (c) => c.outcome === 'ok' && c.control);
  for (const [flag, treatment] of Object.entries(row.flags ?? {})) {
    const set = flagSets.find(({ rows }) => flag in rows);
    if (!set) throw new Error(`${name}: no flag ${flag}`);
    const value = Number(set.rows[flag]?.value);
    const mask = set.mask ?? value;
    const read = memberOf(ioctl, set.member);
    const outcome = treatment === 'accepted' ? 'ok' : treatment.refused;
    const says = treatment === 'accepted' ? '' : ` refused with ${treatment.refused}`;
    const given: Test = (c) => c.outcome === outcome && ((read(c) ?? 0) & mask) >>> 0 === value >>> 0;
    points.add('flag', `flag ${short(flag)}${says}`, set.rows[flag]?.doc ?? '', given, flag);
  }
  for (const [errno, doc] of Object.entries(row.errors ?? {})) {
    if (ioctl.errors?.[errno] === doc || errno === row.refused) continue;
    const never = row.refused === undefined ? undefined : `Gaudi1 refuses all of it with ${row.refused}`;
    points.add('errno', errno, doc, fails(errno), errno, never);
  }
  if (row.refused === undefined) limitChecks(points, row, ioctl);
  for (const [answer, { member, value, mask }] of Object.entries(row.answers ?? {})) {
    const read = reader(ioctl.argument, member);
    const same = mask === undefined ? (v: number) => v === value : (v: number) => (v & mask) >>> 0 === value;
    points.add('answer', `answer ${answer}`, member, (c) => c.outcome === 'ok' && same(read(c.after)));
  }
  return points.checks;
}

function limitChecks(points: Builder, row: Pick<Operation, 'limits' | 'errors'>, ioctl: Ioctl): void {
  for (const [path, { least, most, unit, also = {} }] of Object.entries(row.limits ?? {})) {
    const read = memberOf(ioctl, path);
    const member = path.split('.').at(-1) ?? path;
    const taken = (what: string, value: number) =>
      points.add('limit', `${member} ${what}`, `${path} is ${value}`, (c) => c.outcome === 'ok' && read(c) === value);
    const refused = (what: string, doc: string, wrong: (value: number) => boolean) =>
      points.add('limit', `${member} ${what}`, doc, (c) => {
        const value = read(c);
        return c.outcome !== 'ok' && row.errors?.[c.outcome] !== undefined && value !== undefined && wrong(value);
      });
    if (least !== undefined) taken('smallest', least);
    if (most !== undefined && most > 0) taken('largest', most);
    if (least !== undefined && least > 0) refused('too small', `${path} below ${least} is refused`, (v) => v < least);
    if (most !== undefined) refused('too large', `${path} above ${most} is refused`, (v) => v > most);
    if (unit !== undefined)
      refused('misaligned', `${path} not a multiple of ${unit} is refused`, (v) => v % unit !== 0);
    for (const [what, value] of Object.entries(also)) taken(what, value);
  }
}

/** The importer's ioctls, through which a test reaches what the driver does for other drivers. */
function watchImporter(): WatchedIoctl[] {
  return Object.entries(importerIoctls).map(([name, ioctl]) => {
    const row: Operation = { value: 0, doc: ioctl.doc, errors: ioctl.errors, source: ioctl.source };
    const points = new Builder('DMABUF', name, ioctl.beyond);
    points.add('success', 'success', 'succeeds', succeeds);
    for (const [errno, doc] of Object.entries<string>(ioctl.errors)) points.add('errno', errno, doc, fails(errno));
    const watched: Watched = { name, id: `DMABUF ${name}`, row, checks: points.checks };
    return {
      call: 'DMABUF',
      request: ioctl.request,
      size: ioctl.argument.size,
      choose: () => watched,
      operations: [watched],
      shared: [],
      chunks: false,
    };
  });
}

export const watchedIoctls: readonly WatchedIoctl[] = [...interfaces.map(watch), ...watchImporter()];

/** Of files, by name and outcome: `OPEN EBUSY`. */
export const filePoints: ReadonlyMap<string, Point> = new Map(
  Object.entries(fileOperations).flatMap(([name, row]) => {
    const points = new Builder('FILE', name, 'beyond' in row ? row.beyond : {});
    points.add('success', 'success', row.doc, () => false);
    for (const [errno, doc] of Object.entries<string>(row.errors)) points.add('errno', errno, doc, () => false);
    return points.checks.map(
      ({ point }) => [`${name} ${point.what === 'success' ? 'ok' : point.what}`, point] as const,
    );
  }),
);

/** All points, in the order of the report. */
export const points: readonly Point[] = [
  ...watchedIoctls.flatMap(({ operations, shared }) =>
    [...operations.flatMap(({ checks }) => checks), ...shared].map(({ point }) => point),
  ),
  ...filePoints.values(),
  ...orderPoints,
];

/** What an operation is for. */
export function operationDoc(call: string, operation: string): string {
  for (const ioctl of watchedIoctls) {
    if (ioctl.call !== call) continue;
    const found = ioctl.operations.find(({ name }) => name === operation);
    if (found) return found.row.doc;
  }
  return call === 'FILE' ? (fileOperations[operation as keyof typeof fileOperations]?.doc ?? '') : '';
}
