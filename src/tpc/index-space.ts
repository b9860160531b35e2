/** The index space of a kernel: how many members it has in each dimension, and how it is shared out among cores. */

import { DIMENSIONS } from './layout.ts';

/** A part of an index space: from `offset` on, `size` members, in each of five dimensions. */
export interface Box {
  readonly offset: readonly number[];
  readonly size: readonly number[];
}

/**
 * Cuts an index space into boxes of much the same size that share no member: the largest is halved, along its last dimension
 * of more than one member, until there are enough.
 * @param size members of each dimension, one to five. @param count boxes, at most: there are no more than members
 * @throws RangeError
 */
export function cutIndexSpace(size: readonly number[], count: number): Box[] {
  if (size.length < 1 || size.length > DIMENSIONS)
    throw new RangeError(`an index space of ${size.length} dimensions: one to ${DIMENSIONS} are possible`);
  for (const members of size)
    if (!Number.isInteger(members) || members < 1 || members > 0x7fff_ffff)
      throw new RangeError(`${members} members of an index space`);
  if (!Number.isInteger(count) || count < 1) throw new RangeError(`an index space cut into ${count}`);
  const whole = Array.from({ length: DIMENSIONS }, (_, d) => size[d] ?? 1);
  const boxes: Box[] = [{ offset: whole.map(() => 0), size: whole }];
  while (boxes.length < count) {
    const largest = boxes.reduce((a, b) => (volume(b) > volume(a) ? b : a));
    const d = largest.size.findLastIndex((members) => members > 1);
    if (d < 0) break;
    const members = largest.size[d] as number;
    const first = Math.ceil(members / 2);
    boxes.splice(
      boxes.indexOf(largest),
      1,
      { offset: largest.offset, size: largest.size.with(d, first) },
      {
        offset: largest.offset.with(d, (largest.offset[d] as number) + first),
        size: largest.size.with(d, members - first),
      },
    );
  }
  return boxes;
}

function volume({ size }: Box): number {
  return size.reduce((product, members) => product * members, 1);
}
