/**
 * What a test has left behind in a Linux kernel, as far as the kernel counts it: open files and exports of the driver, its
 * objects, pages of programs that are pinned for devices.
 */

import { globSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';

/** Numbers by what they count. */
export type Counts = ReadonlyMap<string, number>;

const MODULES = ['habanalabs', 'efa'];
/** In the folder of each card in debugfs (Documentation/ABI/testing/debugfs-driver-habanalabs): a table of what there is. */
const TABLES: Readonly<Record<string, string>> = {
  command_buffers: 'command buffers',
  command_submission: 'submissions',
  command_submission_jobs: 'jobs of submissions',
  userptr: 'pieces of memory of programs',
};
const DEBUG_FOLDERS = '/sys/kernel/debug/{accel,habanalabs}/*';

/** What there is now; what the kernel does not tell is not in it. */
export function count(root = '/'): Counts {
  const counts = new Map<string, number>();
  for (const module of MODULES) {
    const users = number(read(path.join(root, 'sys/module', module, 'refcnt')));
    if (users !== undefined) counts.set(`users of the module ${module}`, users);
  }
  for (const folder of globSync(DEBUG_FOLDERS.slice(1), { cwd: root })) {
    for (const [file, name] of Object.entries(TABLES)) {
      const text = read(path.join(root, folder, file));
      if (text !== undefined) counts.set(`${name} of card ${path.basename(folder)}`, rows(text));
    }
  }
  const pinned = pinnedPages(root);
  if (pinned !== undefined) counts.set('pages pinned for devices', pinned);
  return counts;
}

/** What there is more of, each in a few words. */
export function remains(before: Counts, now: Counts): string[] {
  return [...now].flatMap(([name, value]) => {
    const more = value - (before.get(name) ?? 0);
    return more > 0 ? [`${more} ${name}`] : [];
  });
}

/** Rows of a table: what follows the line that is ruled. */
function rows(text: string): number {
  const lines = text.split('\n').filter((line) => line.trim() !== '');
  return lines.slice(lines.findIndex((line) => /^-{10,}$/.test(line)) + 1).length;
}

/** Processors count for themselves until they are asked (Documentation/admin-guide/sysctl/vm.rst, stat_refresh). */
function pinnedPages(root: string): number | undefined {
  read(path.join(root, 'proc/sys/vm/stat_refresh'));
  const text = read(path.join(root, 'proc/vmstat')) ?? '';
  const field = (name: string) => number(new RegExp(`^${name} (\\d+)$`, 'm').exec(text)?.[1]);
  const taken = field('nr_foll_pin_acquired');
  const released = field('nr_foll_pin_released');
  return taken === undefined || released === undefined ? undefined : taken - released;
}

function read(file: string): string | undefined {
  try {
    return statSync(file).isFile() ? readFileSync(file, 'latin1') : undefined;
  } catch {
    return undefined;
  }
}

function number(text: string | undefined): number | undefined {
  return text !== undefined && /^\d+\s*$/.test(text) ? Number(text) : undefined;
}
