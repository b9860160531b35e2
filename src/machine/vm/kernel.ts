/** Which kernel the guest runs: one of set-up, or one of the user's. */

import { createHash } from 'node:crypto';
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, statSync } from 'node:fs';
import path from 'node:path';
import { findProgram, run } from '../../os/run.ts';
import { UserError } from '../../sim/errors.ts';
import { type GuestModule, guestFile, guestModules } from './build.ts';
import { parts, readManifest, type Suite } from './cache-parts.ts';
import { Elf } from './elf.ts';
import type { Drivers } from './given-drivers.ts';
import { releaseOf, uncompressed } from './kernel-image.ts';
import { type Module, ModuleFolder } from './modules.ts';

/** A tree in which drivers are built (driver-tree.ts). */
export interface DriverPlace {
  readonly folder: string;
  readonly release: string;
  /** Locked while it is used. */
  readonly lock: string;
  /** Variables of make. */
  readonly settings: readonly string[];
  /** Changes when a driver that was built before does not fit the kernel any more. */
  readonly version: string;
}

export interface GuestKernel {
  /** Path of a bzImage, or of a vmlinux with a PVH entry. */
  readonly image: string;
  /** The kernel inside `image`, where it can be started directly and that is not what `image` is. */
  readonly unpacked?: Buffer | undefined;
  readonly title: string;
  readonly modules: ModuleFolder;
  /** Where the driver of the EFA NIC is: set-up builds it where the kernel has none. */
  readonly nicModules: () => ModuleFolder;
  /** Added to its command line. */
  readonly append?: string;
  /** Where drivers are built for it, where that is not a tree of set-up's for its release. */
  readonly tree?: DriverPlace;
  /** Folders with what the compiler wrote of the files whose runs are counted (`.gcno`), by their paths in the source. */
  readonly notes?: readonly string[];
  /** A module of ours for this kernel; undefined where it could not be made, which is said then. */
  guestModule(name: GuestModule): Promise<Module | undefined>;
}

/** A kernel with other drivers. */
export function withDrivers(
  kernel: GuestKernel,
  { modules: drivers, title, notes }: Pick<Drivers, 'modules' | 'title' | 'notes'>,
): GuestKernel {
  const nicModules = () => kernel.nicModules().with(drivers);
  const modules = kernel.modules.with(drivers);
  return {
    ...kernel,
    title: `${kernel.title}, ${title}`,
    modules,
    nicModules,
    notes: [...notes, ...(kernel.notes ?? [])],
  };
}

/** A kernel that set-up has prepared. */
export async function preparedKernel(cache: string, suite: Suite): Promise<GuestKernel> {
  const at = parts(cache);
  const folder = at.kernel(suite);
  const manifest = await readManifest(folder);
  return {
    image: ['vmlinux', 'vmlinuz'].map((name) => path.join(folder, name)).find((file) => existsSync(file)) ?? folder,
    title: manifest?.title ?? `Linux of ${suite}`,
    modules: new ModuleFolder(path.join(folder, 'modules'), at.qemu),
    nicModules: () => new ModuleFolder(at.nic(manifest?.release ?? ''), at.qemu),
    guestModule: async (name) => ({
      name,
      bytes: readFileSync(path.join(at.module(name, manifest?.release ?? ''), `${name}.ko`)),
    }),
  };
}

const BOOT = 'arch/x86/boot/bzImage';

/**
 * A kernel of the user's.
 * @param kernel an image, or the folder in which a kernel was built.
 * @param modulesPath folder of its modules; default: the folder in which it was built, or /lib/modules/RELEASE.
 * @throws UserError where there is no kernel, or it has no modules.
 */
export function givenKernel(
  kernel: string,
  modulesPath: string | undefined,
  cache: string,
  say: (line: string) => void,
): GuestKernel {
  const given = path.resolve(kernel);
  if (!existsSync(given)) throw new UserError(`no kernel at ${given} (--kernel stable, backports, or a path)`);
  const folder = statSync(given).isDirectory() ? given : buildFolderOf(given);
  const image = given === folder ? path.join(given, BOOT) : given;
  if (!existsSync(image))
    throw new UserError(`${given} has no ${BOOT}: build the kernel first ("make bzImage modules")`);
  const bytes = readFileSync(image);
  const release = releaseOf(bytes);
  if (release === null) throw new UserError(`${image} is no kernel image (bzImage, or vmlinux with CONFIG_PVH)`);
  const modules =
    modulesPath ??
    folder ??
    [path.join(path.dirname(image), 'modules'), `/lib/modules/${release}`].find((p) => existsSync(p));
  if (!modules || !existsSync(modules)) {
    throw new UserError(
      `no modules for ${given}${release ? ` (${release})` : ''}: name their folder with --modules PATH`,
    );
  }
  const resolved = modulesFolder(path.resolve(modules), release);
  const own = new ModuleFolder(resolved, parts(cache).qemu);
  return {
    image,
    unpacked: uncompressed(bytes),
    title: `Linux ${release ?? ''} (${given})`,
    modules: own,
    nicModules: () => own,
    guestModule: async (name) => {
      const build = folder ?? path.join(resolved, 'build');
      const ready = path.join(parts(cache).module(name, release ?? ''), `${name}.ko`);
      // A kernel of Debian that lies elsewhere, e.g. in /boot: set-up has built our modules for it.
      if (!existsSync(build) && existsSync(ready)) return { name, bytes: readFileSync(ready) };
      return buildModule(name, build, cache, say);
    },
  };
}

/** `modules_install` puts them under lib/modules/RELEASE of the folder that it is given. */
function modulesFolder(folder: string, release: string | undefined): string {
  if (release === undefined) return folder;
  const inside = [path.join(folder, 'lib/modules', release), path.join(folder, release)];
  return inside.find((candidate) => existsSync(candidate)) ?? folder;
}

/** The folder in which an image was built, where it still lies there. */
function buildFolderOf(image: string): string | undefined {
  for (const suffix of [BOOT, 'arch/x86_64/boot/bzImage', 'vmlinux']) {
    if (!image.endsWith(`/${suffix}`)) continue;
    const folder = image.slice(0, -suffix.length - 1);
    if (existsSync(path.join(folder, 'Kbuild'))) return folder;
  }
  return undefined;
}

/** Offset of fop_flags in struct file_operations, behind the owner (include/linux/fs.h). */
const FOP_FLAGS_OFFSET = 8;
const FOP_UNSIGNED_OFFSET = 1 << 5;

/**
 * Whether the driver's compute node can be opened as it is: its file operations, read from the module's file, have
 * FOP_UNSIGNED_OFFSET (docs/findings/0001). False where that cannot be seen; the helper looks again in the guest.
 */
export function driverIsFixed(driver: Module): boolean {
  const operations = new Elf(driver.bytes).object('hl_fops');
  if (!operations || operations.length < FOP_FLAGS_OFFSET + 4) return false;
  return (operations.readUInt32LE(FOP_FLAGS_OFFSET) & FOP_UNSIGNED_OFFSET) !== 0;
}

/** What cannot be done without a module of ours. */
const CONSEQUENCES: Readonly<Record<GuestModule, string>> = {
  sagrada_helper: 'the compute node cannot be opened, see docs/findings/0001',
  sagrada_importer: 'no card can use the memory of another, see docs/importer.md',
};

/** Builds a module for a kernel of the user's with the compiler of the host, once for each state of the build folder. */
async function buildModule(
  name: GuestModule,
  folder: string,
  cache: string,
  say: (line: string) => void,
): Promise<Module | undefined> {
  const without = (why: string) => {
    say(`without the module ${name} (${why}): ${CONSEQUENCES[name]}`);
    return undefined;
  };
  if (!existsSync(path.join(folder, 'Makefile'))) return without(`${folder} is no folder in which a kernel was built`);
  const make = findProgram('make');
  if (!make) return without('there is no make');
  const sources = guestModules[name];
  const hash = createHash('sha256').update(folder);
  for (const file of sources) hash.update(readFileSync(guestFile(file)));
  for (const file of ['.config', 'Module.symvers', 'include/generated/utsrelease.h', 'include/generated/compile.h']) {
    const stat = statSync(path.join(folder, file), { throwIfNoEntry: false });
    hash.update(`${file} ${stat?.mtimeMs} ${stat?.size}`);
  }
  const target = path.join(cache, 'modules', `${name}-${hash.digest('hex').slice(0, 16)}.ko`);
  if (!existsSync(target)) {
    mkdirSync(path.dirname(target), { recursive: true });
    const work = mkdtempSync(path.join(cache, 'modules', 'build-'));
    try {
      for (const file of sources) copyFileSync(guestFile(file), path.join(work, path.basename(file)));
      const result = await run(make, ['-C', folder, `M=${work}`, 'modules']);
      if (result.status !== 0) {
        const output = result.stdout.toString() + result.stderr;
        return without(output.split('\n').find((line) => /error/i.test(line)) ?? `make ended with ${result.status}`);
      }
      renameSync(path.join(work, `${name}.ko`), target);
    } finally {
      rmSync(work, { recursive: true, force: true });
    }
  }
  return { name, bytes: readFileSync(target) };
}
