/**
 * Pairs of calls whose order matters: a call, and later another on the same thing. Things are what calls make and take: an open
 * file, a handle, a mapping, a submission.
 */

import { DRM_IOCTL_HL_CB } from '../../uapi/habanalabs/cb.ts';
import { csFlags, DRM_IOCTL_HL_CS } from '../../uapi/habanalabs/cs.ts';
import { DRM_IOCTL_HL_DEBUG } from '../../uapi/habanalabs/debug.ts';
import { DRM_IOCTL_HL_MEMORY } from '../../uapi/habanalabs/memory.ts';
import { DRM_IOCTL_HL_WAIT_CS, waitStatus } from '../../uapi/habanalabs/wait-cs.ts';
import type { Ioctl } from '../../uapi/rows.ts';
import { type Reader, reader } from './members.ts';
import { chunkReader } from './memory.ts';
import type { Point } from './points.ts';

export const thingKinds = ['node', 'file', 'cb', 'mapping', 'submission', 'reservation', 'dmabuf', 'import'] as const;
export type ThingKind = (typeof thingKinds)[number];

/** A pair: `CALL OPERATION` each, with the outcome of the second. */
interface Row {
  readonly first: string;
  readonly then: string;
  readonly outcome: string;
  readonly doc: string;
  /** A call that undoes the first. */
  readonly unless?: string;
}

const pair = (first: string, then: string, outcome: string, doc: string, unless?: string): Row => ({
  first,
  then,
  outcome,
  doc,
  ...(unless === undefined ? {} : { unless }),
});

/** By the kind of the thing that both are about; at most 31 of a kind. */
const rows: Readonly<Record<ThingKind, readonly Row[]>> = {
  node: [
    pair('FILE OPEN', 'FILE OPEN', 'EBUSY', 'a second user is refused', 'FILE CLOSE'),
    pair('FILE OPEN', 'FILE OPEN_CONTROL', 'ok', 'the control node opens beside a user', 'FILE CLOSE'),
    pair('FILE CLOSE', 'FILE OPEN', 'ok', 'the next user opens'),
  ],
  file: [
    pair('MEMORY MAP', 'MEMORY EXPORT_DMABUF_FD', 'ok', 'map, then export'),
    pair('MEMORY EXPORT_DMABUF_FD', 'MEMORY MAP', 'ok', 'export, then map'),
    pair('MEMORY ALLOC', 'MEMORY FREE', 'ok', 'allocate, then free'),
    pair('MEMORY MAP', 'FILE CLOSE', 'ok', 'close before unmap', 'MEMORY UNMAP'),
    pair('MEMORY ALLOC', 'FILE CLOSE', 'ok', 'close before free', 'MEMORY FREE'),
    pair('CB CREATE', 'FILE CLOSE', 'ok', 'close before destroy', 'CB DESTROY'),
    pair(
      'MEMORY EXPORT_DMABUF_FD',
      'FILE CLOSE',
      'ok',
      'close of the node before that of its dma-buf',
      'FILE CLOSE_DMABUF',
    ),
    pair('MEMORY EXPORT_DMABUF_FD', 'MEMORY FREE', 'ok', 'free memory that is exported', 'FILE CLOSE_DMABUF'),
    pair('CS EXECUTE', 'FILE CLOSE', 'ok', 'close before any wait', 'WAIT_CS ONE_CS'),
    pair('CS RESERVE_SIGNALS_ONLY', 'FILE CLOSE', 'ok', 'close with signals reserved', 'CS UNRESERVE_SIGNALS_ONLY'),
    pair('INFO REGISTER_EVENTFD', 'INFO REGISTER_EVENTFD', 'EINVAL', 'register twice', 'INFO UNREGISTER_EVENTFD'),
    pair('INFO REGISTER_EVENTFD', 'INFO UNREGISTER_EVENTFD', 'ok', 'register, then unregister'),
    pair('INFO UNREGISTER_EVENTFD', 'INFO UNREGISTER_EVENTFD', 'EINVAL', 'unregister twice', 'INFO REGISTER_EVENTFD'),
    pair('INFO UNREGISTER_EVENTFD', 'INFO REGISTER_EVENTFD', 'ok', 'register again'),
    pair('INFO REGISTER_EVENTFD', 'FILE CLOSE', 'ok', 'close with an eventfd registered', 'INFO UNREGISTER_EVENTFD'),
    pair('DEBUG SET_MODE on', 'DEBUG SET_MODE on', 'EFAULT', 'enter debug mode twice', 'DEBUG SET_MODE off'),
    pair('DEBUG SET_MODE on', 'DEBUG BMON on', 'ok', 'enter debug mode, then a unit', 'DEBUG SET_MODE off'),
    pair('DEBUG BMON on', 'DEBUG BMON off', 'ok', 'a unit on, then off'),
    pair('DEBUG BMON on', 'DEBUG SET_MODE off', 'ok', 'leave debug mode with a unit on', 'DEBUG BMON off'),
    pair('DEBUG SET_MODE off', 'DEBUG SET_MODE off', 'EFAULT', 'leave debug mode twice', 'DEBUG SET_MODE on'),
    pair('DEBUG SET_MODE off', 'DEBUG BMON on', 'EFAULT', 'a unit after debug mode', 'DEBUG SET_MODE on'),
    pair('DEBUG SET_MODE off', 'DEBUG SET_MODE on', 'ok', 'enter debug mode again'),
    pair('DEBUG SET_MODE on', 'FILE CLOSE', 'ok', 'close in debug mode', 'DEBUG SET_MODE off'),
    pair('DEBUG ETR on', 'DEBUG ETR off', 'ok', 'trace router on, then off'),
  ],
  cb: [
    pair('CB CREATE', 'FILE MMAP_CB', 'ok', 'create, then mmap'),
    pair('FILE MMAP_CB', 'FILE MMAP_CB', 'EINVAL', 'mmap twice'),
    pair('FILE MMAP_CB', 'CB DESTROY', 'ok', 'destroy while it is mapped'),
    pair('CB DESTROY', 'FILE MMAP_CB', 'EINVAL', 'mmap after destroy'),
    pair('CB DESTROY', 'CB DESTROY', 'EINVAL', 'destroy twice'),
    pair('CB DESTROY', 'CB INFO', 'EINVAL', 'ask after destroy'),
    pair('CB DESTROY', 'CS EXECUTE', 'EINVAL', 'submit after destroy'),
    pair('CS EXECUTE', 'CB DESTROY', 'ok', 'submit, then destroy'),
    pair('CS EXECUTE', 'CB INFO', 'ok', 'submit, then ask'),
    pair('CS EXECUTE', 'CS EXECUTE', 'ok', 'submit twice'),
  ],
  mapping: [
    pair('MEMORY MAP', 'MEMORY UNMAP', 'ok', 'map, then unmap'),
    pair('MEMORY UNMAP', 'MEMORY UNMAP', 'EINVAL', 'unmap twice', 'MEMORY MAP'),
    pair('MEMORY UNMAP', 'MEMORY MAP', 'ok', 'map again where it was'),
  ],
  submission: [
    pair('CS EXECUTE', 'WAIT_CS ONE_CS', 'ok', 'submit, then wait'),
    pair('CS EXECUTE', 'WAIT_CS MULTI_CS', 'ok', 'submit, then wait for several'),
    pair('WAIT_CS ONE_CS', 'WAIT_CS ONE_CS', 'ok', 'wait again for what has ended'),
    pair('WAIT_CS ONE_CS busy', 'WAIT_CS ONE_CS', 'ok', 'look, then wait'),
    pair('CS SIGNAL', 'CS WAIT', 'ok', 'signal, then let a queue wait'),
    pair('WAIT_CS ONE_CS', 'CS WAIT', 'ok', 'let a queue wait for a signal that has come'),
    pair('CS EXECUTE', 'CS WAIT', 'EINVAL', 'let a queue wait for what is no signal'),
    pair('CS EXECUTE first', 'CS EXECUTE later', 'ok', 'first part of a staged submission, then another'),
    pair('CS EXECUTE first', 'CS EXECUTE last', 'ok', 'first part of a staged submission, then the last'),
    pair('CS EXECUTE last', 'CS EXECUTE later', 'EINVAL', 'a part after the last'),
    pair('CS EXECUTE first', 'WAIT_CS ONE_CS', 'ok', 'wait for a staged submission'),
  ],
  reservation: [
    pair('CS RESERVE_SIGNALS_ONLY', 'CS EXECUTE encapsulated', 'ok', 'reserve, then make the signals'),
    pair('CS RESERVE_SIGNALS_ONLY', 'CS UNRESERVE_SIGNALS_ONLY', 'ok', 'reserve, then give back'),
    pair('CS UNRESERVE_SIGNALS_ONLY', 'CS UNRESERVE_SIGNALS_ONLY', 'EINVAL', 'give back twice'),
    pair('CS UNRESERVE_SIGNALS_ONLY', 'CS EXECUTE encapsulated', 'EINVAL', 'make signals that were given back'),
  ],
  dmabuf: [
    pair('MEMORY EXPORT_DMABUF_FD', 'DMABUF ATTACH', 'ok', 'export, then attach'),
    pair('MEMORY EXPORT_DMABUF_FD', 'FILE CLOSE_DMABUF', 'ok', 'close without import', 'DMABUF ATTACH'),
    pair('DMABUF ATTACH', 'FILE CLOSE_DMABUF', 'ok', 'close while it is attached'),
  ],
  import: [
    pair('DMABUF ATTACH', 'DMABUF MAP', 'ok', 'attach, then map'),
    pair('DMABUF MAP', 'DMABUF MAP', 'EBUSY', 'map twice', 'DMABUF UNMAP'),
    pair('DMABUF MAP', 'DMABUF UNMAP', 'ok', 'map, then unmap'),
    pair('DMABUF UNMAP', 'DMABUF UNMAP', 'EINVAL', 'unmap twice', 'DMABUF MAP'),
    pair('DMABUF MAP', 'DMABUF DETACH', 'EBUSY', 'detach while it is mapped', 'DMABUF UNMAP'),
    pair('DMABUF UNMAP', 'DMABUF DETACH', 'ok', 'unmap, then detach'),
    pair('DMABUF UNMAP', 'DMABUF MAP', 'ok', 'map again'),
    pair('DMABUF DETACH', 'DMABUF MAP', 'EINVAL', 'map after detach'),
  ],
};

/** What is to be done on a call about a thing of some kind. */
export interface OrderStep {
  /** Bits of the pairs that it begins, if it succeeds. */
  begins: number;
  /** Bits of the pairs that it undoes, if it succeeds. */
  undoes: number;
  /** Pairs that it ends. */
  readonly ends: { readonly bit: number; readonly outcome: string; readonly point: Point }[];
}

const id = (kind: ThingKind, { first, then, outcome }: Row) =>
  `ORDER ${kind} ${first} > ${then}${outcome === 'ok' ? '' : ` ${outcome}`}`;

const steps = new Map<string, OrderStep>();
export const orderPoints: readonly Point[] = thingKinds.flatMap((kind) =>
  rows[kind].map((row, i) => {
    const point: Point = {
      id: id(kind, row),
      call: 'ORDER',
      operation: kind,
      kind: 'order',
      what: `${row.first}, ${row.then}${row.outcome === 'ok' ? '' : ` (${row.outcome})`}`,
      doc: row.doc,
    };
    const bit = 1 << i;
    stepOf(kind, row.first).begins |= bit;
    if (row.unless !== undefined) stepOf(kind, row.unless).undoes |= bit;
    stepOf(kind, row.then).ends.push({ bit, outcome: row.outcome, point });
    return point;
  }),
);

function stepOf(kind: ThingKind, name: string): OrderStep {
  const key = `${kind} ${name}`;
  let step = steps.get(key);
  if (!step) {
    step = { begins: 0, undoes: 0, ends: [] };
    steps.set(key, step);
  }
  return step;
}

/** @param name `CALL OPERATION`. */
export function orderStep(kind: ThingKind, name: string): OrderStep | undefined {
  return steps.get(`${kind} ${name}`);
}

/** What a call means to the order on its file and on the things that it names. */
export interface Plan {
  readonly file: OrderStep | undefined;
  readonly things: readonly { readonly use: Use; readonly step: OrderStep }[];
}

const plans = new Map<string, Plan>();

/** @param name `CALL OPERATION`, or a variant. */
export function planOf(name: string): Plan {
  let plan = plans.get(name);
  if (!plan) {
    const things = (uses[name] ?? []).flatMap((use) => {
      const step = orderStep(use.kind, name);
      return step === undefined ? [] : [{ use, step }];
    });
    plan = { file: orderStep('file', name), things };
    plans.set(name, plan);
  }
  return plan;
}

/** Where an operation names a thing: in the argument before or after the call, in its first chunk, or where one of these points to. */
interface Use {
  readonly kind: ThingKind;
  readonly in: 'before' | 'after' | 'chunk';
  readonly read: Reader;
  /** The number is a pointer to the thing's. */
  readonly pointer?: boolean;
}

const at = (kind: ThingKind, ioctl: Ioctl, side: 'before' | 'after', path: string, pointer = false): Use => ({
  kind,
  in: side,
  read: reader(ioctl.argument, path),
  pointer,
});

/** By `CALL OPERATION`. */
const uses: Readonly<Record<string, readonly Use[]>> = {
  'CB CREATE': [at('cb', DRM_IOCTL_HL_CB, 'after', 'out.cb_handle')],
  'CB DESTROY': [at('cb', DRM_IOCTL_HL_CB, 'before', 'in.cb_handle')],
  'CB INFO': [at('cb', DRM_IOCTL_HL_CB, 'before', 'in.cb_handle')],
  'MEMORY MAP': [at('mapping', DRM_IOCTL_HL_MEMORY, 'after', 'out.device_virt_addr')],
  'MEMORY UNMAP': [at('mapping', DRM_IOCTL_HL_MEMORY, 'before', 'in.unmap.device_virt_addr')],
  'CS EXECUTE': [
    { kind: 'cb', in: 'chunk', read: chunkReader('cb_handle') },
    at('submission', DRM_IOCTL_HL_CS, 'after', 'out.seq'),
  ],
  'CS EXECUTE first': [at('submission', DRM_IOCTL_HL_CS, 'after', 'out.seq')],
  'CS EXECUTE later': [at('submission', DRM_IOCTL_HL_CS, 'before', 'in.seq')],
  'CS EXECUTE last': [at('submission', DRM_IOCTL_HL_CS, 'before', 'in.seq')],
  'CS EXECUTE encapsulated': [at('reservation', DRM_IOCTL_HL_CS, 'before', 'in.encaps_sig_handle_id')],
  'CS SIGNAL': [at('submission', DRM_IOCTL_HL_CS, 'after', 'out.seq')],
  'CS WAIT': [{ kind: 'submission', in: 'chunk', read: chunkReader('signal_seq_arr'), pointer: true }],
  'CS RESERVE_SIGNALS_ONLY': [at('reservation', DRM_IOCTL_HL_CS, 'after', 'out.handle_id')],
  'CS UNRESERVE_SIGNALS_ONLY': [at('reservation', DRM_IOCTL_HL_CS, 'before', 'in.encaps_sig_handle_id')],
  'WAIT_CS ONE_CS': [at('submission', DRM_IOCTL_HL_WAIT_CS, 'before', 'in.seq')],
  'WAIT_CS ONE_CS busy': [at('submission', DRM_IOCTL_HL_WAIT_CS, 'before', 'in.seq')],
  'WAIT_CS MULTI_CS': [at('submission', DRM_IOCTL_HL_WAIT_CS, 'before', 'in.seq', true)],
};

const enabled = reader(DRM_IOCTL_HL_DEBUG.argument, 'enable');
const flags = reader(DRM_IOCTL_HL_CS.argument, 'in.cs_flags');
const status = reader(DRM_IOCTL_HL_WAIT_CS.argument, 'out.status');
const F = csFlags;

/** What else a call is, beyond its operation. */
export function variants(name: string, before: DataView, after: DataView, ok: boolean): readonly string[] {
  if (name === 'CS EXECUTE') {
    const set = flags(before);
    if ((set & (F.HL_CS_FLAGS_STAGED_SUBMISSION.value | F.HL_CS_FLAGS_ENCAP_SIGNALS.value)) === 0) return NONE;
    const found: string[] = [];
    if ((set & F.HL_CS_FLAGS_STAGED_SUBMISSION.value) !== 0) {
      if ((set & F.HL_CS_FLAGS_STAGED_SUBMISSION_FIRST.value) !== 0) found.push('CS EXECUTE first');
      else {
        found.push('CS EXECUTE later');
        if ((set & F.HL_CS_FLAGS_STAGED_SUBMISSION_LAST.value) !== 0) found.push('CS EXECUTE last');
      }
    }
    if ((set & F.HL_CS_FLAGS_ENCAP_SIGNALS.value) !== 0) found.push('CS EXECUTE encapsulated');
    return found;
  }
  if (name === 'WAIT_CS ONE_CS') return ok && status(after) === waitStatus.HL_WAIT_CS_STATUS_BUSY.value ? BUSY : NONE;
  return name.startsWith('DEBUG') ? [`${name} ${enabled(before) === 0 ? 'off' : 'on'}`] : NONE;
}

const NONE: readonly string[] = [];
const BUSY: readonly string[] = ['WAIT_CS ONE_CS busy'];
