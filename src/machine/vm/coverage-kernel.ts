/**
 * Builds the kernel of `--kernel coverage` in the cache, once, with Debian's compiler of Debian's source. It takes its time: it goes
 * on where it was interrupted.
 */

import { createHash } from 'node:crypto';
import { existsSync, globSync } from 'node:fs';
import { cp, mkdir, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import path from 'node:path';
import { UserError } from '../../sim/errors.ts';
import { Apt, type Package, SUITES } from './apt.ts';
import { BuildTree, type GuestModule, guestModuleNames, makeEnterable } from './build.ts';
import { lock, make, megabytes, needSpace, parts, readManifest } from './cache-parts.ts';
import { COVERAGE_SUFFIX, countedFolders, coverageConfig, instrumented, leftOutOfSource } from './coverage-config.ts';
import { keepDrivers } from './driver-tree.ts';
import type { GuestKernel } from './kernel.ts';
import { ModuleFolder } from './modules.ts';
import { extractSource } from './nic-driver.ts';
import { privateCommand } from './private-tree.ts';
import { compilerPackages, type SetupOptions } from './setup.ts';

/** Compiled files of the kernel, of which the time that is left is told: of Linux 7.3. */
const FILES = 1350;
/**
 * Seconds of a processor (two thirds of the files took 424), and bytes on the disk, while it is built and after.
 */
const COST = { seconds: 900, building: 2.6e9, kept: 0.6e9 };

/** What builds a kernel, besides a compiler. */
const KERNEL_TOOLS = ['flex', 'bison', 'bc', 'libelf-dev', 'gzip', 'tar', 'diffutils', 'xz-utils', 'patch'];
const COMPILERS = ['CC=gcc-14', 'HOSTCC=gcc-14'];
/** A driver that is built alone is counted and checked like those that are built with the kernel. */
const DRIVER_SETTINGS = ['GCOV_PROFILE=y', 'KCOV_INSTRUMENT=y'];
/**
 * Each report counts, not only the first (mm/kasan/report.c); and caches that are checked go without sheaves (mm/slub.c), whose
 * slots keep what has been taken out of them: kmemleak finds it there and believes that it is in use.
 */
const COMMAND_LINE = 'kasan_multi_shot slab_debug=F';
/** The program that evaluates counts, in the tree. */
const GCOV = 'usr/bin/x86_64-linux-gnu-gcov-14';

/** Parts of the source that modules are built with. */
const FOR_MODULES = [
  'Makefile',
  'Kbuild',
  '.config',
  'Module.symvers',
  'include',
  'scripts',
  'arch/x86',
  'tools/objtool/objtool',
];

function lockOf(cache: string): string {
  return path.join(cache, 'lock-coverage');
}

export function coverageParts(cache: string) {
  const folder = path.join(cache, 'kernels', 'coverage');
  return {
    folder,
    image: path.join(folder, 'vmlinux'),
    modules: path.join(folder, 'modules'),
    /** What the compiler says of each counted file, by its path in the kernel's source. */
    notes: path.join(folder, 'notes'),
    /** What the kernel was built with: `configured`. */
    config: path.join(folder, 'config'),
    /** Tree in which it is built, and afterwards our modules for it and changed drivers; the source is in `src`. */
    tree: path.join(cache, 'coverage-tree'),
  };
}

/** What decides how the kernel is built. */
const configured = JSON.stringify([coverageConfig, instrumented], undefined, 1);

/** Release of the kernel, where it has been built with the present configuration. */
async function builtRelease(cache: string): Promise<string | undefined> {
  const at = coverageParts(cache);
  const config = await readFile(at.config, 'utf8').catch(() => undefined);
  return config === configured ? (await readManifest(at.folder))?.release : undefined;
}

/** The kernel of set-up that counts. @throws UserError where it has not been built */
export async function coverageKernel(options: SetupOptions): Promise<GuestKernel> {
  const at = coverageParts(options.cache);
  const release = await builtRelease(options.cache);
  if (release === undefined) {
    const what = (await readManifest(at.folder)) ? 'is an older one' : 'has not been built';
    throw new UserError(`that kernel ${what}: "sagrada vm setup --kernel coverage" builds it (${costs()})`);
  }
  const modules = new ModuleFolder(at.modules);
  return {
    image: at.image,
    title: `Linux ${release}`,
    modules,
    nicModules: () => modules,
    notes: [at.notes],
    append: COMMAND_LINE,
    tree: {
      folder: at.tree,
      release,
      lock: lockOf(options.cache),
      settings: [...COMPILERS, ...DRIVER_SETTINGS],
      version: ` ${createHash('sha256').update(configured).digest('hex')}`,
    },
    guestModule: async (name) => ({ name, bytes: await readFile(await guestModule(name, release, options)) }),
  };
}

function costs(): string {
  const minutes = Math.ceil(COST.seconds / 60 / availableParallelism());
  return `about ${minutes} minutes of all processors, ${megabytes(COST.building)} on the disk meanwhile and ${megabytes(COST.kept)} then`;
}

/** Builds it, where that has not been done. */
export async function buildCoverageKernel(options: SetupOptions): Promise<void> {
  const { cache, say, signal } = options;
  const at = coverageParts(cache);
  const unlock = await lock(options, lockOf(cache));
  try {
    let release = await builtRelease(cache);
    if (release === undefined) {
      say(`Building a kernel that counts what runs of the drivers, and watches them: ${costs()}`);
      await needSpace(cache, COST.building);
      const source = await prepareTree(options);
      const tree = new BuildTree(at.tree, signal);
      await compile(tree, options);
      release = await keep(options, source);
    } else say(`The kernel that counts is built: Linux ${release}`);
    for (const name of guestModuleNames) await guestModule(name, release, options);
  } finally {
    unlock();
  }
}

/** In the tree when it is whole: a `Source`. */
const SOURCE_MARK = 'source.json';

/** What the tree is made of. */
interface Source {
  readonly packages: Readonly<Record<string, string>>;
  /** `configured`, of when it was unpacked. */
  readonly configured: string;
}

/** Compiler and source, fetched where they are not there. */
async function prepareTree(options: SetupOptions): Promise<Source> {
  const { cache, say, signal } = options;
  const at = coverageParts(cache);
  const whole = path.join(at.tree, SOURCE_MARK);
  const begun = await readFile(whole, 'utf8').then(JSON.parse, () => undefined);
  if ((begun as Source | undefined)?.configured === configured) {
    say('Going on where it was interrupted');
    return begun as Source;
  }
  await rm(at.tree, { recursive: true, force: true });
  await mkdir(at.tree, { recursive: true });
  const apt = await Apt.open(path.join(cache, 'apt-coverage'), options.mirror, signal);
  say("Fetching Debian's package lists (about 12 MB)");
  await apt.update();
  const suite = SUITES.backports;
  const tools = await compilerPackages(apt, suite, KERNEL_TOOLS);
  const name = await sourceName(apt, suite);
  const sources = await apt.packages(suite, [name]);
  const all = [...tools, ...sources];
  const total = all.reduce((sum, pkg) => sum + pkg.size, 0);
  say(`${all.length} packages, ${megabytes(total)}: a compiler, and the kernel's source`);
  await apt.download(all, (done) => options.progress?.(done, total));
  for (const pkg of tools) await apt.unpack(pkg, at.tree);
  await makeEnterable(at.tree);
  say('Unpacking the source (about a minute)');
  const unpacked = path.join(at.tree, 'archive');
  await mkdir(unpacked);
  for (const pkg of sources) await apt.unpack(pkg, unpacked);
  const archive = globSync('usr/src/linux-source-*.tar.xz', { cwd: unpacked })[0];
  if (!archive) throw new UserError(`${name} has no source where it is expected: please report it`);
  const without = leftOutOfSource(name).map((pattern) => `--exclude=${pattern}`);
  await extractSource(path.join(unpacked, archive), path.join(at.tree, 'src'), parts(cache).qemu, [
    '--anchored',
    ...without,
    '*',
  ]);
  await rm(unpacked, { recursive: true });
  for (const [folder, lines] of Object.entries(instrumented)) {
    const file = path.join(at.tree, 'src', folder, 'Makefile');
    await writeFile(file, `${await readFile(file, 'utf8')}\n${lines.join('\n')}\n`);
  }
  await rm(path.join(cache, 'apt-coverage'), { recursive: true });
  const packages = Object.fromEntries(all.map((pkg: Package) => [pkg.name, pkg.version]));
  const made: Source = { packages, configured };
  await writeFile(whole, JSON.stringify(made));
  return made;
}

/** Of the newest source that the suite has, e.g. `linux-source-7.3`. */
async function sourceName(apt: Apt, suite: string): Promise<string> {
  const needed = await apt.closure(suite, ['linux-source']);
  const found = needed.map((pkg) => pkg.name).find((name) => /^linux-source-\d/.test(name));
  if (!found) throw new UserError(`${suite} has no source of a kernel where it is expected: please report it`);
  return found;
}

async function compile(tree: BuildTree, options: SetupOptions): Promise<void> {
  const at = coverageParts(options.cache);
  const config = path.join(at.tree, 'src', 'sagrada.config');
  const text = `${coverageConfig.join('\n')}\n`;
  const known = await readFile(config, 'utf8').catch(() => '');
  if (known !== text || !existsSync(path.join(at.tree, 'src', '.config'))) {
    await writeFile(config, text);
    await runMake(tree, ['KCONFIG_ALLCONFIG=/src/sagrada.config', 'allnoconfig']);
  }
  const status = options.status ?? (() => {});
  const before = globSync('**/*.o', { cwd: path.join(at.tree, 'src') }).length;
  const began = performance.now();
  let compiled = 0;
  // code that is not instrumented by its own Makefile is left alone: the emulated processor has enough to do
  const wanted = ['KASAN_SANITIZE=n', 'UBSAN_SANITIZE=n', `-j${availableParallelism()}`, 'vmlinux', 'modules'];
  await runMake(tree, wanted, (output) => {
    compiled += output.match(/^ {2}(CC|AS)(?: \[M\])? /gm)?.length ?? 0;
    const left = FILES - before - compiled;
    const seconds = ((performance.now() - began) / 1000 / Math.max(1, compiled)) * left;
    const time = compiled < 20 || left <= 0 ? '' : `, ${Math.ceil(seconds / 60)} minutes left`;
    status(`  ${before + compiled} of about ${FILES} files compiled${time}`);
  });
  status('');
}

async function runMake(tree: BuildTree, words: readonly string[], onOutput?: (text: string) => void): Promise<void> {
  const builder = ['KBUILD_BUILD_USER=sagrada', 'KBUILD_BUILD_HOST=sagrada'];
  const result = await tree.run(['make', '-C', '/src', ...COMPILERS, ...builder, ...words], onOutput);
  if (result.status === 0) return;
  const said = `${result.stdout}\n${result.stderr}`.split('\n');
  const line = said.find((text) => /\berror\b|can't open|No space|\*\*\*/i.test(text)) ?? said.at(-1) ?? '';
  throw new UserError(`cannot build the kernel: ${line.trim()}`);
}

/** Takes from the tree what guests and the evaluation need, and removes what was only needed to build. */
async function keep(options: SetupOptions, { packages }: Source): Promise<string> {
  const at = coverageParts(options.cache);
  const source = path.join(at.tree, 'src');
  const release = (await readFile(path.join(source, 'include/config/kernel.release'), 'utf8')).trim();
  if (!release.endsWith(COVERAGE_SUFFIX)) throw new UserError(`the kernel has an unexpected name: ${release}`);
  await make(at.folder, async (folder) => {
    await cp(path.join(source, 'vmlinux'), path.join(folder, 'vmlinux'));
    await mkdir(path.join(folder, 'modules'));
    const order = await readFile(path.join(source, 'modules.order'), 'utf8');
    for (const line of order.split('\n').filter(Boolean)) {
      const file = line.replace(/\.o$/, '.ko');
      await cp(path.join(source, file), path.join(folder, 'modules', path.basename(file)));
    }
    await cp(path.join(source, 'modules.builtin'), path.join(folder, 'modules/modules.builtin'));
    for (const counted of countedFolders)
      for (const note of globSync(`${counted}/**/*.gcno`, { cwd: source })) {
        await mkdir(path.join(folder, 'notes', path.dirname(note)), { recursive: true });
        await cp(path.join(source, note), path.join(folder, 'notes', note));
      }
    await writeFile(path.join(folder, path.basename(at.config)), configured);
    return { title: `Linux ${release}`, release, packages };
  });
  // what another build would go on with is about to go
  await rm(path.join(at.tree, SOURCE_MARK), { force: true });
  for (const name of guestModuleNames)
    await rm(parts(options.cache).module(name, release), { recursive: true, force: true });
  await keepDrivers(source, at.tree);
  const kept = path.join(at.tree, 'kept');
  await rm(kept, { recursive: true, force: true });
  for (const part of FOR_MODULES) {
    await mkdir(path.dirname(path.join(kept, part)), { recursive: true });
    await rename(path.join(source, part), path.join(kept, part));
  }
  await rm(source, { recursive: true });
  await rename(kept, source);
  const headers = path.join(at.tree, 'usr/src', `linux-headers-${release}`);
  await rm(headers, { force: true });
  await symlink('../../src', headers);
  options.say(`Linux ${release}`);
  return release;
}

/** Path of a module of ours for that kernel, which is built where it is not there. */
async function guestModule(name: GuestModule, release: string, options: SetupOptions): Promise<string> {
  const at = coverageParts(options.cache);
  const folder = parts(options.cache).module(name, release);
  const file = path.join(folder, `${name}.ko`);
  if (await readManifest(folder)) return file;
  const tree = new BuildTree(at.tree, options.signal);
  await make(folder, async (target) => {
    await tree.buildModule(name, release, path.join(target, `${name}.ko`), COMPILERS);
    return { title: `${name} for ${release}`, release, packages: {} };
  });
  return file;
}

/** The program that evaluates counts, with its first arguments: of the compiler that the kernel was built with. */
export function gcovCommand(cache: string): readonly string[] {
  const { tree } = coverageParts(cache);
  const command = privateCommand(tree, GCOV);
  if (!command) throw new UserError(`${tree} has no gcov: remove it and run "sagrada vm setup --kernel coverage"`);
  return command;
}
