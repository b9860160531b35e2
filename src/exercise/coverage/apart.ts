/** What of the driver's code no test can have run on the machines that there are, and why: it is counted apart. */

import type { FileCoverage } from './code.ts';
import { DRIVER_FOLDER } from './driver-files.ts';

/** What was set apart for one reason. */
export interface Apart {
  readonly reason: string;
  /** Files and folders, and functions of others. */
  readonly names: readonly string[];
  /** Functions. */
  readonly count: number;
}

/** Beginnings of the names of files, and why they do not count. */
const FILES: readonly (readonly [name: string, reason: string])[] = [
  ['goya/', 'the chip Goya'],
  ['gaudi2/', 'the chip Gaudi2'],
  ['common/decoder.c', 'video decoders, which Gaudi2 has'],
  ['common/mmu/mmu_v2', 'the MMU of Gaudi2'],
];

/** Parts of files, and what they consist of. */
export function apartOf(code: readonly FileCoverage[]): {
  readonly kept: readonly FileCoverage[];
  readonly apart: readonly Apart[];
} {
  const kept: FileCoverage[] = [];
  const apart = new Map<string, { names: Set<string>; count: number }>();
  for (const file of code) {
    const found = FILES.find(([name]) => file.file.startsWith(`${DRIVER_FOLDER}${name}`));
    if (!found) {
      kept.push(file);
      continue;
    }
    const [name, reason] = found;
    const entry = apart.get(reason) ?? { names: new Set(), count: 0 };
    apart.set(reason, entry);
    entry.names.add(name.endsWith('/') ? `${DRIVER_FOLDER}${name}` : file.file);
    entry.count += file.functions.length;
  }
  return {
    kept,
    apart: [...apart].map(([reason, { names, count }]) => ({ reason, names: [...names], count })),
  };
}
