/**
 * The browser in which the tests look at pages: Debian's headless Chromium, fetched once into the cache folder (about 120 MB) and
 * run from there. Nothing is installed.
 */

import { mkdir, readdir, rm } from 'node:fs/promises';
import path from 'node:path';
import { type Browser, chromium } from 'playwright-core';
import { Apt, type Package, SUITES } from '../../src/machine/vm/apt.ts';
import { lock, make, needSpace, parts, readManifest } from '../../src/machine/vm/cache-parts.ts';
import { privateCommand } from '../../src/machine/vm/private-tree.ts';
import { cacheFolder } from '../../src/os/cache.ts';
import { run } from '../../src/os/run.ts';

const PACKAGES = ['chromium-headless-shell', 'fonts-dejavu-core', 'base-files', 'patchelf'];
/** What the packages ask for and a browser without a screen never loads: drivers of graphics cards, and the set-up of a system. */
const UNUSED =
  /^(libllvm|libz3-|mesa-|xkb-data|x11-|libgl1-|libglx-mesa|libvulkan|debconf|perl|dpkg|tzdata|adduser|passwd|systemd|libpam)/;
const PROGRAM = 'usr/lib/chromium/chromium-headless-shell';
const LIBRARIES = 'usr/lib/x86_64-linux-gnu';

/** A headless browser; the caller closes it. */
export async function launchBrowser(): Promise<Browser> {
  const tree = await browserTree(cacheFolder());
  const libraries = [`${LIBRARIES}/pulseaudio`, LIBRARIES].map((folder) => path.join(tree, folder)).join(':');
  return await chromium.launch({
    executablePath: path.join(tree, PROGRAM),
    // Its sandbox needs privileges that not every machine gives, and it sees only pages of ours.
    args: ['--no-sandbox'],
    env: { ...process.env, LD_LIBRARY_PATH: libraries, FONTCONFIG_PATH: path.join(tree, 'etc/fonts') },
  });
}

async function browserTree(cache: string): Promise<string> {
  const target = path.join(cache, 'browser');
  await mkdir(cache, { recursive: true });
  const unlock = await lock({ cache, say: () => {} });
  try {
    if (await readManifest(target)) return target;
    await needSpace(cache, 700e6);
    const apt = await Apt.open(parts(cache).apt, undefined);
    await apt.update();
    const packages = (await apt.closure(SUITES.stable, PACKAGES)).filter((pkg) => !UNUSED.test(pkg.name));
    await apt.download(packages, () => {});
    await make(target, (folder) => fill(apt, packages, folder, target));
    for (const pkg of packages) await rm(apt.file(pkg), { force: true });
    await rm(path.join(parts(cache).apt, 'lists'), { recursive: true, force: true });
    return target;
  } finally {
    unlock();
  }
}

/** @param target the name that the folder will have: the program's loader is named in the program. */
async function fill(apt: Apt, packages: readonly Package[], folder: string, target: string) {
  for (const pkg of packages) await apt.unpack(pkg, folder);
  await rm(path.join(folder, 'usr/share/doc'), { recursive: true, force: true });
  const loader = (await readdir(path.join(folder, 'lib64'))).find((name) => name.startsWith('ld-linux'));
  // The browser starts itself again, so it cannot be started as an argument of its loader, as other private programs are.
  const [command = '', ...args] = privateCommand(folder, 'usr/bin/patchelf') ?? [];
  const interpreter = path.join(target, 'lib64', loader ?? '');
  const result = await run(command, [...args, '--set-interpreter', interpreter, path.join(folder, PROGRAM)]);
  if (result.status !== 0) throw new Error(`patchelf: ${result.stderr}`);
  const version = packages.find((pkg) => pkg.name === PACKAGES[0])?.version ?? '';
  return { title: `Chromium ${version}`, packages: Object.fromEntries(packages.map((pkg) => [pkg.name, pkg.version])) };
}
