/** Tensors and figures as people read them. */

import { elementText } from '../tpc/run/format.ts';
import type { StandTensor } from '../tpc/run/stand.ts';

const EDGE = 4;

/** Name, type, sizes and the first and last elements; all of them where `all`. */
export function printTensor(tensor: StandTensor, elements: Uint8Array, all: boolean): string {
  const { name, type, sizes } = tensor;
  const width = sizes[0] as number;
  const rows = sizes.slice(1).reduce((product, size) => product * size, 1);
  const value = (n: number) => elementText(elements, type, n);
  const row = (r: number): string => {
    const at = (c: number) => value(r * width + c);
    if (all || width <= 2 * EDGE) return `[${Array.from({ length: width }, (_, c) => at(c)).join(' ')}]`;
    const first = Array.from({ length: EDGE }, (_, c) => at(c));
    const last = Array.from({ length: EDGE }, (_, c) => at(width - EDGE + c));
    return `[${first.join(' ')} ... ${last.join(' ')}]`;
  };
  const label = `${name} ${type}[${sizes.join(',')}]`;
  if (rows === 1) return `${label} ${row(0)}\n`;
  const few = all || rows <= 2 * EDGE;
  const shown = few
    ? Array.from({ length: rows }, (_, r) => r)
    : [0, 1, 2, 3, -1, rows - 4, rows - 3, rows - 2, rows - 1];
  const lines = shown.map((r) => (r < 0 ? `  ... ${rows - 2 * EDGE} rows` : `  ${coordinates(r, sizes)} ${row(r)}`));
  return `${label}\n${lines.join('\n')}\n`;
}

/** Where a row is: its place in dimensions 1 and up. */
function coordinates(row: number, sizes: readonly number[]): string {
  let rest = row;
  const at = sizes.slice(1).map((size) => {
    const here = rest % size;
    rest = Math.floor(rest / size);
    return here;
  });
  return `[:,${at.join(',')}]`;
}

/** Figures with their units, a line each, aligned. */
export function printFigures(figures: readonly (readonly [string, string])[]): string {
  const width = Math.max(...figures.map(([name]) => name.length));
  return figures.map(([name, value]) => `${name.padEnd(width)}  ${value}\n`).join('');
}
