/**
 * Prepares the guest in the cache folder: QEMU, a stock Debian kernel with the modules that are used, our init and
 * modules (built with Debian's compiler), and the kernel's headers for C programs. An interrupted set-up goes on where it
 * ended.
 */

import { globSync } from 'node:fs';
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { UserError } from '../../sim/errors.ts';
import { Apt, type Package, SUITES } from './apt.ts';
import { BuildTree, type GuestModule, guestModuleNames, makeEnterable } from './build.ts';
import {
  lock,
  type Manifest,
  make,
  megabytes,
  needSpace,
  parts,
  readManifest,
  type Suite,
  sweep,
} from './cache-parts.ts';
import { makeDriverTree } from './driver-tree.ts';
import { uncompressed } from './kernel-image.ts';
import { copyModules, hasModules, NETWORK_MODULES, RDMA_MODULES } from './modules.ts';
import { makeNicDriver, sourcePackage } from './nic-driver.ts';
import { makeRdmaPrograms, rdmaPackages } from './rdma-programs.ts';

export interface SetupOptions {
  /** Which kernel to prepare; default: none, only what any kernel needs. */
  readonly kernel?: Suite | undefined;
  /** Whether to prepare the driver of the EFA NIC for that kernel, and RDMA programs; default false. */
  readonly nic?: boolean | undefined;
  /** Whether to prepare what drivers are built with for that kernel; default false. */
  readonly drivers?: boolean | undefined;
  /** Whether the kernel must have the modules of a network between guests; default false. */
  readonly network?: boolean | undefined;
  /** Whether to prepare a QEMU; default true. */
  readonly qemu?: boolean | undefined;
  /** The cache folder. */
  readonly cache: string;
  /** URI of a Debian archive; default: that of the host's own apt. */
  readonly mirror?: string | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Told each step. */
  readonly say: (line: string) => void;
  /** Told how far something has come, for a line that is written over; empty when it is done. */
  readonly status?: ((text: string) => void) | undefined;
  /** Told the progress of a download: bytes there, bytes in all. */
  readonly progress?: ((done: number, total: number) => void) | undefined;
}

const QEMU = ['qemu-system-x86', 'xz-utils'];
const TOOLS = ['gcc-14', 'binutils', 'make', 'libc6-dev', 'dash', 'coreutils', 'sed', 'grep', 'mawk', 'findutils'];
const TREE = [...TOOLS, 'base-files'];
const DRIVER_TREE = ['patch'];

/** Run-time libraries of gcc's sanitizers and plug-ins, which compiling C does not need. */
const UNUSED = /^(lib(a|hwa|l|t|ub)san\d|libgprofng|libcc1-|libitm)/;

/** Unpacked size per downloaded byte, as seen on the packages of trixie, rounded up. */
const UNPACKED = 4;

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
  const [qemu, uapi, init, rdma, kernel] = await Promise.all([
    readManifest(at.qemu),
    readManifest(at.uapi),
    readManifest(at.init),
    readManifest(at.rdma),
    suite && readManifest(at.kernel(suite)),
  ]);
  const release = kernel?.release;
  const missing: GuestModule[] = [];
  for (const name of guestModuleNames) {
    if (release === undefined || !(await readManifest(at.module(name, release)))) missing.push(name);
  }
  const nic = release === undefined ? undefined : await readManifest(at.nic(release));
  const tree = release === undefined ? undefined : await readManifest(at.driverTree(release));
  // A kernel that an earlier version of ours has prepared lacks them.
  const network = kernel && suite && hasModules(path.join(at.kernel(suite), 'modules'), NETWORK_MODULES);
  return {
    qemu,
    uapi,
    init,
    rdma,
    kernel,
    nic,
    tree,
    network,
    modules: missing.length === 0 ? guestModuleNames : undefined,
  };
}

/** What is to be made. */
interface Plan {
  readonly qemu: readonly Package[];
  readonly uapi: readonly Package[];
  readonly rdma: readonly Package[];
  readonly image: readonly Package[];
  readonly compiler: readonly Package[];
  readonly init: boolean;
  /** Release of the kernel that our modules are built for. */
  readonly modulesFor: string | undefined;
  /** What the driver of the NIC is made of. */
  readonly nic: { readonly release: string; readonly image: readonly Package[]; readonly source: Package } | undefined;
  /** What drivers are built with. */
  readonly tree: { readonly release: string; readonly source: Package } | undefined;
}

async function prepare(options: SetupOptions): Promise<boolean> {
  const { say, kernel: suite, cache, signal } = options;
  const at = parts(cache);
  await sweep(cache);
  const there = await inspect(cache, suite);
  const wanted = [
    ...(options.qemu === false ? [] : [there.qemu]),
    ...(suite === undefined ? [] : [there.kernel, there.modules]),
    ...(suite && options.nic ? [there.nic] : []),
    ...(suite && options.drivers ? [there.tree] : []),
    ...(suite && options.network ? [there.network || undefined] : []),
    ...(options.nic ? [there.rdma] : []),
    there.uapi,
    there.init,
  ];
  if (!wanted.includes(undefined)) {
    const titles = [there.qemu, there.kernel].flatMap((manifest) => manifest?.title ?? []).join(', ');
    say(`The guest is prepared: ${titles} in ${cache}`);
    return false;
  }
  await needSpace(cache, 100e6);
  const apt = await Apt.open(at.apt, options.mirror, signal);
  say(`Fetching Debian's package lists (about 12 MB) into ${cache}`);
  await apt.update();
  const plan = await makePlan(apt, options, there);
  await fetch(apt, options, plan);

  if (plan.qemu.length > 0) {
    await make(at.qemu, async (folder) => {
      for (const pkg of plan.qemu) await apt.unpack(pkg, folder);
      await rm(path.join(folder, 'usr/share/doc'), { recursive: true, force: true });
      return { title: `QEMU ${versionOf(plan.qemu, 'qemu-system-x86')}`, packages: versions(plan.qemu) };
    });
    say(`QEMU ${versionOf(plan.qemu, 'qemu-system-x86')}`);
  }
  if (plan.uapi.length > 0) {
    await make(at.uapi, async (folder) => {
      for (const pkg of plan.uapi) await apt.unpack(pkg, folder);
      return { title: `linux-libc-dev ${versionOf(plan.uapi, 'linux-libc-dev')}`, packages: versions(plan.uapi) };
    });
  }
  if (plan.rdma.length > 0) {
    await make(at.rdma, async (folder) => {
      await makeRdmaPrograms(apt, plan.rdma, folder);
      return { title: `rdma-core ${versionOf(plan.rdma, 'ibverbs-utils')}`, packages: versions(plan.rdma) };
    });
    say(`RDMA programs of Debian: rdma-core ${versionOf(plan.rdma, 'ibverbs-utils')}`);
  }
  if (suite && plan.image.length > 0) await unpackKernel(apt, options, suite, plan.image);
  if (plan.init || plan.modulesFor || plan.nic) await build(apt, options, plan);
  const { tree } = plan;
  if (tree) {
    say(`Unpacking the compiler and the source of the drivers of ${tree.release} (about half a minute)`);
    await make(at.driverTree(tree.release), async (folder) => {
      await makeDriverTree({ apt, packages: plan.compiler, source: tree.source, qemu: at.qemu }, folder);
      const packages = versions([...plan.compiler, tree.source]);
      return { title: `source of the drivers of ${tree.release}`, release: tree.release, packages };
    });
  }
  // The compiler is kept: what it builds changes with each version of ours.
  await apt.prune(plan.compiler.filter((pkg) => !pkg.name.startsWith('linux-')));
  await rm(path.join(at.apt, 'lists'), { recursive: true, force: true });
  return true;
}

async function makePlan(apt: Apt, options: SetupOptions, there: Awaited<ReturnType<typeof inspect>>): Promise<Plan> {
  const { kernel: suite } = options;
  const release = SUITES[suite ?? 'backports'];
  const qemu = there.qemu || options.qemu === false ? [] : await apt.closure(SUITES.backports, QEMU);
  const uapi = there.uapi ? [] : await apt.packages(SUITES.stable, ['linux-libc-dev']);
  const rdma = options.nic && !there.rdma ? await rdmaPackages(apt, SUITES.stable) : [];
  const wantsNic = options.nic === true && there.nic === undefined;
  const wantsTree = options.drivers === true && there.tree === undefined;
  const wantsNetwork = options.network === true && !there.network;
  if (suite === undefined || (there.modules && !wantsNic && !wantsNetwork && !wantsTree)) {
    const compiler = there.init ? [] : await compilerPackages(apt, release, []);
    const none = { modulesFor: undefined, nic: undefined, tree: undefined };
    return { qemu, uapi, rdma, image: [], compiler, init: !there.init, ...none };
  }
  const headers = await headerPackages(apt, release, wantsTree ? DRIVER_TREE : []);
  // Modules can be built only for the kernel that the archive has now: an older one is replaced.
  const replaced = there.kernel?.release !== headers.release || wantsNetwork;
  const kept = path.join(parts(options.cache).kernel(suite), 'modules');
  const all = replaced || (wantsNic && !hasModules(kept, RDMA_MODULES)) ? await imagePackages(apt, release) : [];
  const [source] = wantsNic || wantsTree ? await apt.packages(release, [sourcePackage(headers.release)]) : [];
  return {
    qemu,
    uapi,
    rdma,
    image: replaced ? all : [],
    compiler: headers.packages,
    init: !there.init,
    modulesFor: there.kernel?.release !== headers.release || !there.modules ? headers.release : undefined,
    nic: source && wantsNic ? { release: headers.release, image: replaced ? [] : all, source } : undefined,
    tree: source && wantsTree ? { release: headers.release, source } : undefined,
  };
}

async function imagePackages(apt: Apt, release: string): Promise<Package[]> {
  const whole = await apt.closure(release, ['linux-image-amd64']);
  return whole.filter((pkg) => /^linux-(image|binary|modules|base)-\d/.test(pkg.name));
}

/** What compiles C, and `more`. @param release of the archive: `SUITES` */
export async function compilerPackages(apt: Apt, release: string, more: readonly string[]): Promise<Package[]> {
  return (await apt.closure(release, [...TREE, ...more])).filter((pkg) => !UNUSED.test(pkg.name));
}

/** What compiles a module for the suite's kernel, and that kernel's release. */
async function headerPackages(
  apt: Apt,
  suite: string,
  more: readonly string[],
): Promise<{ packages: Package[]; release: string }> {
  const whole = await apt.closure(suite, ['linux-headers-amd64']);
  // Some suites' headers depend on the kernel image and all that it needs to boot: leave that out.
  const kbuild = whole.filter((pkg) => pkg.name.startsWith('linux-kbuild-')).map((pkg) => pkg.name);
  const headers = whole.filter((pkg) => /^linux-headers-\d/.test(pkg.name));
  const release = headers.map((pkg) => /^linux-headers-(.*-amd64)$/.exec(pkg.name)?.[1]).find((name) => name);
  if (!release) throw new UserError(`${suite} has no kernel headers where they are expected: please report it`);
  return { packages: unique([...(await compilerPackages(apt, suite, [...kbuild, ...more])), ...headers]), release };
}

/** Says what is to be downloaded, and does it. */
async function fetch(apt: Apt, options: SetupOptions, plan: Plan): Promise<void> {
  const { cache, say } = options;
  const groups: Readonly<Record<string, readonly Package[]>> = {
    QEMU: plan.qemu,
    'the kernel and its modules': plan.image,
    'a compiler, to build what runs in the guest': plan.compiler,
    'the kernel interface, for C programs': plan.uapi,
    'RDMA programs, for guests with a NIC': plan.rdma,
    'more modules of the kernel, for the driver of the EFA NIC': plan.nic?.image ?? [],
    "the kernel's source, of which drivers are built": [plan.nic, plan.tree].flatMap((part) => part?.source ?? []),
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
  await needSpace(cache, missing + total * UNPACKED);
  await apt.download(all, (done) => options.progress?.(done, total));
}

async function unpackKernel(apt: Apt, options: SetupOptions, suite: Suite, image: readonly Package[]): Promise<void> {
  const at = parts(options.cache);
  let title = '';
  await make(at.kernel(suite), async (target) => {
    const unpacked = path.join(target, 'packages');
    await mkdir(unpacked);
    for (const pkg of image) await apt.unpack(pkg, unpacked);
    const release = await pickKernel(unpacked, target, at.qemu);
    await rm(unpacked, { recursive: true });
    title = `Linux ${release}`;
    return { title, release, packages: versions(image) } satisfies Manifest;
  });
  options.say(title);
}

/** Builds the init and our modules, in a tree that is removed afterwards. */
async function build(apt: Apt, options: SetupOptions, plan: Plan): Promise<void> {
  const at = parts(options.cache);
  const tree = new BuildTree(at.build, options.signal);
  try {
    for (const pkg of plan.compiler) await apt.unpack(pkg, at.build);
    await makeEnterable(at.build);
    if (plan.init) {
      await make(at.init, async (target) => {
        await tree.buildInit(path.join(target, 'init'));
        return { title: 'init', packages: versions(plan.compiler) };
      });
    }
    const { modulesFor: release } = plan;
    if (release) {
      for (const name of guestModuleNames) {
        await make(at.module(name, release), async (target) => {
          await tree.buildModule(name, release, path.join(target, `${name}.ko`));
          return { title: `${name} for ${release}`, release, packages: versions(plan.compiler) };
        });
      }
      options.say(`The modules ${guestModuleNames.join(' and ')} for ${release}`);
    }
    const { nic } = plan;
    if (nic) {
      options.say(`Building the driver of the EFA NIC for ${nic.release} (about a minute)`);
      await make(at.nic(nic.release), async (target) => {
        const modules = path.join(at.kernel(options.kernel as Suite), 'modules');
        await makeNicDriver({ apt, tree, ...nic, modules, qemuTree: at.qemu }, target);
        return { title: `efa for ${nic.release}`, release: nic.release, packages: versions([nic.source]) };
      });
    }
  } finally {
    await rm(at.build, { recursive: true, force: true });
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

function unique(packages: readonly Package[]): Package[] {
  return [...new Map(packages.map((pkg) => [pkg.file, pkg])).values()];
}

function versionOf(packages: readonly Package[], name: string): string {
  return packages.find((pkg) => pkg.name === name)?.version ?? 'of unknown version';
}

function versions(packages: readonly Package[]): Record<string, string> {
  return Object.fromEntries(packages.map((pkg) => [pkg.name, pkg.version]));
}
