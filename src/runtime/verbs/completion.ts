/** What a completion tells. */

import { COMP } from '../../../specs/efa/io.ts';

export type WorkStatus = keyof typeof COMP;

/** What was done: by this side, or by the other side to this one. */
export type WorkOperation = 'send' | 'read' | 'write' | 'receive' | 'receive-write';

export interface WorkCompletion {
  /** Of the work request; 0 for what no receive was posted for. */
  readonly id: number;
  readonly operation: WorkOperation;
  /** `OK`, or why it failed. */
  readonly status: WorkStatus;
  /** Number of the queue pair. */
  readonly qp: number;
  /** Of what was received. */
  readonly received?: {
    /** Bytes. */
    readonly length: number;
    /** Number of the queue pair that sent it. */
    readonly qp: number;
    /** Number of the sender's address handle, where there is one. */
    readonly ah?: number;
    /** Address of the sender, where there is none and the completion queue was asked for it. */
    readonly address?: Uint8Array;
  };
  readonly immediate?: number;
}

const names = new Map<number, WorkStatus>(Object.entries(COMP).map(([name, value]) => [value, name as WorkStatus]));

/** @throws Error for a status that the public headers do not name */
export function statusOf(value: number): WorkStatus {
  const name = names.get(value);
  if (name === undefined) throw new Error(`completion status ${value} is not known`);
  return name;
}
