/**
 * Prepares the guest in the cache folder: QEMU, a stock Debian kernel with the modules that are used, our init and helper
 * module (built with Debian's compiler), and the kernel's headers for C programs. Each part is made in a folder of its
 * own that is renamed into place when it is whole, so that an interrupted set-up goes on where it ended.
 */

import { closeSync, globSync, openSync } from 'node:fs';
import { mkdir, readdir, readFile, rename, rm, statfs, symlink, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { tryLock } from '../../os/libc.ts';
import { UserError } from '../../sim/errors.ts';
import { Apt, type Package, SUITES } from './apt.ts';
import { BuildTree, helperSource, initSource, sourceHash } from './build.ts';
import { uncompressed } from './kernel-image.ts';
import { copyModules } from './modules.ts';

export type Suite = keyof typeof SUITES;

export interface SetupOptions {
  /** Which kernel to prepare; default: none, only what any kernel needs. */
  readonly kernel?: Suite | undefined;
  /** Whether to prepare a QEMU; default true. */
  readonly qemu?: boolean | undefined;
  /** The cache folder. */
  readonly cache: string;
  /** URI of a Debian archive; default: that of the host's own apt. */
  readonly mirror?: string | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Told each step. */
  readonly say: (line: string) => void;
  /** Told the progress of a download: bytes there, bytes in all. */
  readonly progress?: ((done: number, total: number) => void) | undefined;
}

/** What a prepared part is made of; `manifest.json` in its folder. */
export interface Manifest {
  /** What the part is, e.g. `QEMU 1:11.1.3+ds-1~bpo13+1`. */
  readonly title: string;
  readonly packages: Readonly<Record<string, string>>;
  /** Hash of our own sources in it. */
  readonly source?: string;
  /** Kernel release, e.g. `7.3.4+deb13-amd64`. */
  readonly release?: string;
}

/** Where the parts of the cache folder are. */
export function parts(cache: string) {
  return {
    qemu: path.join(cache, 'qemu'),
    uapi: path.join(cache, 'uapi'),
    init: path.join(cache, 'init'),
    kernel: (suite: Suite) => path.join(cache, 'kernels', suite),
    apt: path.join(cache, 'apt'),
    lock: path.join(cache, 'lock'),
  };
}

const QEMU = ['qemu-system-x86', 'xz-utils'];
const TOOLS = ['gcc-14', 'binutils', 'make', 'libc6-dev', 'dash', 'coreutils', 'sed', 'grep', 'mawk', 'findutils'];
const TREE = [...TOOLS, 'base-files'];

/** Run-time libraries of gcc's sanitizers and plug-ins, which compiling C does not need. */
const UNUSED = /^(lib(a|hwa|l|t|ub)san\d|libgprofng|libcc1-|libitm)/;

/** Unpacked size per downloaded byte, as seen on the packages of trixie, rounded up. */
const UNPACKED = 5;

/** @returns true when something was done, false when everything was there. */
export async function setup(options: SetupOptions): Promise<boolean> {
  await mkdir(options.cache, { recursive: true }).catch((error: NodeJS.ErrnoException) => {
    throw new UserError(`cannot make the cache folder ${options.cache}: ${error.code}`);
  });
  const unlock = await lock(options);
  try {
    return await prepare(options);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOSPC') throw new UserError(`no space left in ${options.cache}`);
    if (code === 'EACCES' || code === 'EROFS') throw new UserError(`cannot write to ${options.cache}: ${code}`);
    throw error;
  } finally {
    unlock();
  }
}

/** What of the guest is prepared: the manifest of each part, or undefined. */
export async function inspect(cache: string, suite: Suite | undefined) {
  const at = parts(cache);
  const [qemu, uapi, init, kernel] = await Promise.all([
    readManifest(at.qemu),
    readManifest(at.uapi),
    readManifest(at.init),
    suite && readManifest(at.kernel(suite)),
  ]);
  return {
    qemu,
    uapi,
    init: init?.source === (await sourceHash(initSource)) ? init : undefined,
    kernel: kernel?.source === (await sourceHash(helperSource)) ? kernel : undefined,
  };
}

async function prepare(options: SetupOptions): Promise<boolean> {
  const { say, kernel: suite, cache, signal } = options;
  const at = parts(cache);
  await sweep(cache);
  const there = await inspect(cache, suite);
  const needed = {
    qemu: !there.qemu && options.qemu !== false,
    uapi: !there.uapi,
    init: !there.init,
    kernel: suite !== undefined && !there.kernel,
  };
  if (!Object.values(needed).includes(true)) {
    const titles = [there.qemu, there.kernel].flatMap((manifest) => manifest?.title ?? []).join(', ');
    say(`The guest is prepared: ${titles} in ${cache}`);
    return false;
  }
  await needSpace(cache, 100e6);
  const apt = await Apt.open(at.apt, options.mirror, signal);
  say(`Fetching Debian's package lists (about 12 MB) into ${cache}`);
  await apt.update();

  const release = SUITES[suite ?? 'backports'];
  const qemu = !needed.qemu ? [] : await apt.closure(SUITES.backports, QEMU);
  const uapi = !needed.uapi ? [] : await apt.packages(SUITES.stable, ['linux-libc-dev']);
  const image = !needed.kernel
    ? []
    : (await apt.closure(release, ['linux-image-amd64'])).filter((p) =>
        /^linux-(image|binary|modules|base)-\d/.test(p.name),
      );
  const compiler = needed.kernel || needed.init ? await compilerPackages(apt, release, needed.kernel) : [];

  const groups = {
    QEMU: qemu,
    'the kernel and its modules': image,
    'a compiler, to build what runs in the guest': compiler,
    'the kernel interface, for C programs': uapi,
  };
  const all = unique(Object.values(groups).flat());
  const total = all.reduce((sum, pkg) => sum + pkg.size, 0);
  const missing = await apt.missing(all);
  say(
    `${all.length} packages, ${megabytes(total)}, of which ${megabytes(missing)} are to be downloaded into ${cache}:`,
  );
  for (const [name, list] of Object.entries(groups)) {
    const size = list.reduce((sum, pkg) => sum + pkg.size, 0);
    if (size > 0) say(`  ${megabytes(size).padStart(7)}  ${name}`);
  }
  await needSpace(cache, total * UNPACKED);
  await apt.download(all, (done) => options.progress?.(done, total));

  if (needed.qemu) {
    await make(at.qemu, async (folder) => {
      for (const pkg of qemu) await apt.unpack(pkg, folder);
      await rm(path.join(folder, 'usr/share/doc'), { recursive: true, force: true });
      return { title: `QEMU ${versionOf(qemu, 'qemu-system-x86')}`, packages: versions(qemu) };
    });
    say(`QEMU ${versionOf(qemu, 'qemu-system-x86')}`);
  }
  if (needed.uapi) {
    await make(at.uapi, async (folder) => {
      for (const pkg of uapi) await apt.unpack(pkg, folder);
      return { title: `linux-libc-dev ${versionOf(uapi, 'linux-libc-dev')}`, packages: versions(uapi) };
    });
  }
  if (needed.kernel || needed.init) await build(options, apt, compiler, image);
  await apt.prune(compiler.filter((pkg) => !pkg.name.startsWith('linux-')));
  await rm(path.join(at.apt, 'lists'), { recursive: true, force: true });
  return true;
}

/** What compiles the init and, with `headers`, a module for the suite's kernel. */
async function compilerPackages(apt: Apt, release: string, headers: boolean): Promise<Package[]> {
  if (!headers) return (await apt.closure(release, TREE)).filter((pkg) => !UNUSED.test(pkg.name));
  const whole = await apt.closure(release, [...TREE, 'linux-headers-amd64']);
  // Some suites' headers depend on the kernel image and all that it needs to boot: leave that out.
  const kbuild = whole.filter((pkg) => pkg.name.startsWith('linux-kbuild-')).map((pkg) => pkg.name);
  const tools = await apt.closure(release, [...TREE, ...kbuild]);
  return unique([...tools, ...whole.filter((pkg) => /^linux-headers-\d/.test(pkg.name))]).filter(
    (pkg) => !UNUSED.test(pkg.name),
  );
}

/** Makes the kernel's part and the init, in a tree that is removed afterwards. */
async function build(options: SetupOptions, apt: Apt, compiler: readonly Package[], image: readonly Package[]) {
  const { say, cache, kernel: suite } = options;
  const at = parts(cache);
  const folder = temporary(path.join(cache, 'build'));
  const tree = new BuildTree(folder, options.signal);
  try {
    for (const pkg of compiler) await apt.unpack(pkg, folder);
    // made by a package script, which we do not run
    await symlink('mawk', path.join(folder, 'usr/bin/awk'));
    if (!(await inspect(cache, suite)).init) {
      await make(at.init, async (target) => {
        await tree.buildInit(path.join(target, 'init'));
        return { title: 'init', packages: {}, source: await sourceHash(initSource) };
      });
    }
    if (suite && image.length > 0) {
      let title = '';
      await make(at.kernel(suite), async (target) => {
        const unpacked = path.join(folder, 'image');
        await mkdir(unpacked);
        for (const pkg of image) await apt.unpack(pkg, unpacked);
        const release = await pickKernel(unpacked, target, at.qemu);
        await tree.buildHelper(release, path.join(target, 'sagrada_helper.ko'));
        title = `Linux ${release}`;
        return { title, release, packages: versions(image), source: await sourceHash(helperSource) };
      });
      say(`${title}, with the helper module of docs/findings/0001`);
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Takes the kernel and the modules that are used from unpacked packages. @returns the kernel's release. */
async function pickKernel(unpacked: string, target: string, qemuTree: string): Promise<string> {
  // The image is in /boot, or (since 7.x) beside its modules.
  const image = globSync(['boot/vmlinuz-*', '{usr/,}lib/modules/*/vmlinuz'], { cwd: unpacked })[0];
  const modules = globSync('{usr/,}lib/modules/*/kernel', { cwd: unpacked })[0];
  if (!image || !modules)
    throw new UserError("Debian's kernel packages have no kernel where it is expected: please report it");
  const kernel = uncompressed(await readFile(path.join(unpacked, image)));
  if (kernel) await writeFile(path.join(target, 'vmlinux'), kernel);
  else await rename(path.join(unpacked, image), path.join(target, 'vmlinuz'));
  const folder = path.dirname(modules);
  await copyModules(path.join(unpacked, folder), path.join(target, 'modules'), qemuTree);
  return path.basename(folder);
}

/** Makes a part: `fill` fills a folder that takes its final name when it is whole. */
async function make(target: string, fill: (folder: string) => Promise<Manifest>): Promise<void> {
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
async function sweep(cache: string): Promise<void> {
  for (const folder of [cache, path.join(cache, 'kernels')]) {
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

/** Waits until no other set-up works in this cache folder. @returns the function that gives the lock back. */
async function lock(options: SetupOptions): Promise<() => void> {
  const file = parts(options.cache).lock;
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

async function needSpace(folder: string, bytes: number): Promise<void> {
  const { bavail, bsize } = await statfs(folder);
  if (bavail * bsize >= bytes) return;
  throw new UserError(
    `${folder} has ${megabytes(bavail * bsize)} left and ${megabytes(bytes)} are needed: ` +
      'free some space, or choose another folder with --cache DIR',
  );
}

function megabytes(bytes: number): string {
  return `${Math.ceil(bytes / 1e6)} MB`;
}

function unique(packages: readonly Package[]): Package[] {
  return [...new Map(packages.map((pkg) => [pkg.file, pkg])).values()];
}

function versionOf(packages: readonly Package[], name: string): string {
  return packages.find((pkg) => pkg.name === name)?.version ?? 'of unknown version';
}

function versions(packages: readonly Package[]): Record<string, string> {
  return Object.fromEntries(packages.map((pkg) => [pkg.name, pkg.version]));
}
