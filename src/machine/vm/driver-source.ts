/** The drivers that can be built out of the kernel's tree, and to which of them a file of a patch belongs. */

import { UserError } from '../../sim/errors.ts';
import { type FilePatch, readPatch } from './patch-file.ts';

export interface DriverSource {
  /** Of the module. */
  readonly name: 'habanalabs' | 'efa';
  /** In the kernel's source. */
  readonly folder: string;
  /** What only this driver and its programs include: files, and folders with a slash at their end. */
  readonly headers: readonly string[];
  /** Symbol of the kernel's configuration (Kconfig of the folder). */
  readonly config: string;
}

export const driverSources: readonly DriverSource[] = [
  {
    name: 'habanalabs',
    folder: 'drivers/accel/habanalabs/',
    headers: ['include/linux/habanalabs/', 'include/trace/events/habanalabs.h', 'include/uapi/drm/habanalabs_accel.h'],
    config: 'CONFIG_DRM_ACCEL_HABANALABS',
  },
  {
    name: 'efa',
    folder: 'drivers/infiniband/hw/efa/',
    headers: ['include/uapi/rdma/efa-abi.h'],
    config: 'CONFIG_INFINIBAND_EFA',
  },
];

/** @param file in the kernel's source */
export function ownerOf(file: string): DriverSource | undefined {
  const inside = (place: string) => (place.endsWith('/') ? file.startsWith(place) : file === place);
  return driverSources.find(({ folder, headers }) => [folder, ...headers].some(inside));
}

/** First folders of the kernel's source, and files beside them. */
const TOP =
  /^(arch|block|certs|crypto|Documentation|drivers|fs|include|init|io_uring|ipc|kernel|lib|mm|net|rust|samples|scripts|security|sound|tools|usr|virt|CREDITS|Kbuild|Kconfig|MAINTAINERS|Makefile)(\/|$)/;
/** What changes nothing of a module. */
const UNUSED = /^(Documentation|samples|tools|CREDITS|MAINTAINERS)(\/|$)|(^|\/)(Kconfig|\.gitignore)$/;

/** A patch with the names of files as they are in the kernel's source. */
export interface PlacedPatch {
  readonly name: string;
  /** In the order of the patch; only what the drivers are built of. */
  readonly parts: readonly { readonly file: string; readonly text: string }[];
  /** Number of leading parts of names to take off, for `patch -p`, and the folder that the names then count from. */
  readonly strip: number;
  readonly base: string;
  /** Drivers that it changes. */
  readonly drivers: readonly DriverSource[];
  /** Files that are left out, because a driver is not built of them. */
  readonly unused: readonly string[];
}

/**
 * Finds out where a patch's files are: it may have been made at the top of the kernel's source or in a driver's folder, with
 * prefixes or without.
 * @param exists whether the kernel's source, as far as it belongs to drivers, has this file
 * @throws UserError where it changes what is not part of a driver
 */
export function placePatch(text: string, name: string, exists: (file: string) => boolean): PlacedPatch {
  const all = readPatch(text, name);
  const { strip, base } = placeOf(all, name, exists);
  const parts: { file: string; text: string }[] = [];
  const unused: string[] = [];
  const drivers = new Set<DriverSource>();
  for (const part of all) {
    const names = [part.before, part.after].filter((known) => known !== undefined).map((known) => cut(known, strip));
    const files = names.map((known) => base + known);
    for (const file of files) checkName(file, name);
    const owners = files.map(ownerOf);
    const foreign = files.find((file, i) => !owners[i] && !UNUSED.test(file));
    if (foreign !== undefined) {
      throw new UserError(
        `${name} changes ${foreign}, which is not part of a driver that is built alone: build a kernel with it, and name its folder with --kernel`,
      );
    }
    const file = files.at(-1) as string;
    const owner = owners.find((found) => found !== undefined);
    if (!owner || UNUSED.test(file)) unused.push(file);
    else {
      drivers.add(owner);
      parts.push({ file, text: part.text });
    }
  }
  if (drivers.size === 0) throw new UserError(`${name} changes no driver: ${unused.join(', ')}`);
  return { name, parts, strip, base, drivers: [...drivers], unused };
}

function placeOf(all: readonly FilePatch[], name: string, exists: (file: string) => boolean) {
  const names = all.flatMap(({ before, after }) => before ?? after ?? []);
  const most = Math.max(...names.map((known) => known.split('/').length));
  for (const base of ['', ...driverSources.map(({ folder }) => folder)]) {
    for (let strip = 0; strip < most; strip++) {
      if (names.some((known) => exists(base + cut(known, strip)))) return { strip, base };
    }
  }
  // Nothing of it is there: new files, or files of another part of the kernel.
  for (let strip = 0; strip < most; strip++) {
    if (names.every((known) => TOP.test(cut(known, strip)))) return { strip, base: '' };
  }
  throw new UserError(
    `${name} names no file that the drivers have (${names.slice(0, 3).join(', ')}): make it at the top of the kernel's source, or in ${driverSources[0]?.folder}`,
  );
}

function cut(name: string, strip: number): string {
  return name.split('/').slice(strip).join('/');
}

function checkName(file: string, name: string): void {
  if (file.split('/').some((part) => part === '..' || part === '.' || part === '') || /[\0\n]/.test(file))
    throw new UserError(`${name}: not the name of a file of the kernel's source: ${JSON.stringify(file)}`);
}
