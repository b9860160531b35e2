/** The cache folder: the parts of a guest, each in a folder that gets its name when it is whole. */

import { closeSync, openSync } from 'node:fs';
import { mkdir, readdir, readFile, rename, rm, statfs, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { tryLock } from '../../os/libc.ts';
import { UserError } from '../../sim/errors.ts';
import { type GuestModule, guestModules, initSource, sourceHash } from './build.ts';
import { rdmaKey } from './rdma-programs.ts';

/** Kernels that Debian has. */
export type Suite = 'stable' | 'backports';

/** What a prepared part is made of; `manifest.json` in its folder. */
export interface Manifest {
  /** What the part is, e.g. `QEMU 1:11.1.3+ds-1~bpo13+1`. */
  readonly title: string;
  readonly packages: Readonly<Record<string, string>>;
  /** Kernel release, e.g. `7.3.4+deb13-amd64`. */
  readonly release?: string;
}

/**
 * Where the parts are. What is built from our own sources has their hash in its name, so that several versions of Sagrada can
 * use one cache.
 */
export function parts(cache: string) {
  return {
    qemu: path.join(cache, 'qemu'),
    uapi: path.join(cache, 'uapi'),
    init: path.join(cache, 'init', sourceHash(initSource)),
    kernel: (suite: Suite) => path.join(cache, 'kernels', suite),
    module: (name: GuestModule, release: string) =>
      path.join(cache, 'modules', `${name}-${release}-${sourceHash(guestModules[name])}`),
    /** The NIC's driver for a release, and what it needs. */
    nic: (release: string) => path.join(cache, 'modules', `efa-${release}`),
    /** Debian's RDMA programs, for guests with a NIC. */
    rdma: path.join(cache, 'rdma', rdmaKey()),
    /** Where drivers are built for a release, from the source of its kernel (driver-tree.ts). */
    driverTree: (release: string) => path.join(cache, 'driver-trees', release),
    /** Drivers that were built of patches, or of a source of the user's. */
    drivers: path.join(cache, 'drivers'),
    apt: path.join(cache, 'apt'),
    build: path.join(cache, `build${UNFINISHED}`),
    lock: path.join(cache, 'lock'),
  };
}

/** Makes a part: `fill` fills a folder that takes its final name when it is whole. */
export async function make(target: string, fill: (folder: string) => Promise<Manifest>): Promise<void> {
  const folder = temporary(target);
  await mkdir(folder, { recursive: true });
  try {
    const manifest = await fill(folder);
    await writeFile(path.join(folder, 'manifest.json'), `${JSON.stringify(manifest, undefined, 2)}\n`);
    await rm(target, { recursive: true, force: true });
    await rename(folder, target);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

const UNFINISHED = '.unfinished';

function temporary(target: string): string {
  return `${target}${UNFINISHED}`;
}

/** Removes what an interrupted set-up left half-made. */
export async function sweep(cache: string): Promise<void> {
  for (const folder of ['', 'kernels', 'init', 'modules', 'rdma', 'driver-trees'].map((name) =>
    path.join(cache, name),
  )) {
    for (const name of await readdir(folder).catch(() => [])) {
      if (name.endsWith(UNFINISHED)) await rm(path.join(folder, name), { recursive: true, force: true });
    }
  }
}

export async function readManifest(folder: string): Promise<Manifest | undefined> {
  try {
    return JSON.parse(await readFile(path.join(folder, 'manifest.json'), 'utf8')) as Manifest;
  } catch {
    return undefined;
  }
}

/**
 * Waits until no other set-up works in this cache folder.
 * @param file what is locked, if not the whole folder. @returns the function that gives the lock back.
 */
export async function lock(
  options: {
    readonly cache: string;
    readonly say: (line: string) => void;
    readonly signal?: AbortSignal | undefined;
  },
  file = parts(options.cache).lock,
): Promise<() => void> {
  let fd: number;
  try {
    fd = openSync(file, 'a');
  } catch (error) {
    throw new UserError(`cannot write to ${options.cache}: ${(error as NodeJS.ErrnoException).code}`);
  }
  let told = false;
  try {
    while (!tryLock(fd)) {
      if (!told) options.say(`Another set-up is at work in ${options.cache}: waiting for it`);
      told = true;
      await new Promise((resolve) => setTimeout(resolve, 200));
      options.signal?.throwIfAborted();
    }
  } catch (error) {
    closeSync(fd);
    throw error;
  }
  return () => closeSync(fd);
}

export async function needSpace(folder: string, bytes: number): Promise<void> {
  const { bavail, bsize } = await statfs(folder);
  if (bavail * bsize >= bytes) return;
  throw new UserError(
    `${folder} has ${megabytes(bavail * bsize)} left and ${megabytes(bytes)} are needed: ` +
      'free some space, or choose another folder with --cache DIR',
  );
}

export function megabytes(bytes: number): string {
  return `${Math.ceil(bytes / 1e6)} MB`;
}
