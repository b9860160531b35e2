/** Programs of Debian that tests judge by, fetched once into the cache folder and run from there. Nothing is installed. */

import { mkdir, rm } from 'node:fs/promises';
import path from 'node:path';
import { Apt, SUITES } from '../src/machine/vm/apt.ts';
import { lock, make, needSpace, parts, readManifest } from '../src/machine/vm/cache-parts.ts';
import { cacheFolder } from '../src/os/cache.ts';

export interface PrivatePackages {
  /** Of the folder in the cache. */
  readonly name: string;
  readonly packages: readonly string[];
  /** Packages that they ask for and that are not needed here. */
  readonly unused: RegExp;
  /** Bytes, unpacked, rounded up. */
  readonly space: number;
}

/** The folder into which they are unpacked, with what they need, the C library included. */
export async function privatePackages({ name, packages, unused, space }: PrivatePackages): Promise<string> {
  const cache = cacheFolder();
  const target = path.join(cache, name);
  await mkdir(cache, { recursive: true });
  const unlock = await lock({ cache, say: () => {} });
  try {
    const there = await readManifest(target);
    if (there && packages.every((one) => Object.hasOwn(there.packages, one))) return target;
    await needSpace(cache, space);
    const apt = await Apt.open(parts(cache).apt, undefined);
    await apt.update();
    const all = (await apt.closure(SUITES.stable, packages)).filter((pkg) => !unused.test(pkg.name));
    await apt.download(all, () => {});
    await make(target, async (folder) => {
      for (const pkg of all) await apt.unpack(pkg, folder);
      return { title: packages.join(', '), packages: Object.fromEntries(all.map((pkg) => [pkg.name, pkg.version])) };
    });
    for (const pkg of all) await rm(apt.file(pkg), { force: true });
    await rm(path.join(parts(cache).apt, 'lists'), { recursive: true, force: true });
    return target;
  } finally {
    unlock();
  }
}
