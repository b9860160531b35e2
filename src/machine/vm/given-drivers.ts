/** Drivers of the user's: built of Debian's source with patches, built of a source of theirs, or given as they are. */

import { createHash } from 'node:crypto';
import { existsSync, globSync, readFileSync, statSync, utimesSync } from 'node:fs';
import { mkdir, rename, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { UserError } from '../../sim/errors.ts';
import { lock, parts } from './cache-parts.ts';
import { type DriverSource, driverSources, ownerOf, type PlacedPatch, placePatch } from './driver-source.ts';
import { DriverTree, driverIn, ownFiles } from './driver-tree.ts';
import type { DriverPlace, GuestKernel } from './kernel.ts';
import { decompress, type Module, moduleInfo } from './modules.ts';

/** Changes whenever the same source would be built otherwise. */
const RECIPE = '1';
/** Drivers that are kept. */
const KEPT = 24;

export interface Circumstances {
  readonly cache: string;
  readonly kernel: GuestKernel;
  /** Of Debian's kernel; undefined: the kernel is the user's. */
  readonly release: string | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly say: (line: string) => void;
  readonly status?: ((text: string) => void) | undefined;
}

export interface Drivers {
  readonly modules: readonly Module[];
  /** What was done, e.g. `own driver habanalabs with fix.patch (1f0c2a77)`. */
  readonly title: string;
  /** Folders with the compiler's notes of those that count what runs. */
  readonly notes: readonly string[];
  /** @throws UserError where one of them is not among those that the guest loads */
  check(loaded: readonly Module[], machine: string): void;
}

export class GivenDrivers {
  readonly #patches: readonly { readonly name: string; readonly text: string }[];
  readonly #folders: readonly string[];
  readonly #modules: readonly { readonly file: string; readonly bytes: Buffer }[];
  #built: Promise<Drivers> | undefined;

  /**
   * Patches and modules are read at once: what happens to the files later does not change what a run is about.
   * @param patches files. @param drivers modules (`.ko`), or folders with source
   * @throws UserError where one cannot be read
   */
  constructor(patches: readonly string[], drivers: readonly string[]) {
    this.#patches = patches.map((file) => ({
      name: path.basename(file),
      text: read('--patch', file).toString('utf8'),
    }));
    this.#folders = drivers.filter(isFolder).map((folder) => path.resolve(folder));
    this.#modules = drivers.filter((file) => !isFolder(file)).map((file) => ({ file, bytes: read('--driver', file) }));
  }

  /** Whether something is to be built. */
  get needTree(): boolean {
    return this.#patches.length > 0 || this.#folders.length > 0;
  }

  /** Once: a guest that is started again has the same drivers. */
  build(circumstances: Circumstances): Promise<Drivers> {
    this.#built ??= this.#build(circumstances);
    return this.#built;
  }

  async #build(circumstances: Circumstances): Promise<Drivers> {
    const { kernel } = circumstances;
    const modules: Module[] = [];
    const titles: string[] = [];
    const vermagic = this.#modules.length > 0 ? await kernel.modules.vermagic() : undefined;
    for (const { file, bytes } of this.#modules) {
      const plain = await decompress(file, bytes, undefined);
      modules.push({ name: checkedName(file, plain, vermagic), bytes: plain });
      titles.push(`own driver ${path.basename(file)} (${digest(plain)})`);
    }
    const notes: string[] = [];
    if (this.needTree) {
      const built = await this.#compile(circumstances);
      modules.push(...built.modules);
      titles.push(...built.titles);
      notes.push(...built.notes);
    }
    const names = modules.map(({ name }) => name);
    const twice = names.find((name, i) => names.indexOf(name) !== i);
    if (twice) throw new UserError(`the driver ${twice} is given twice`);
    const check = (loaded: readonly Module[], machine: string) => {
      const unused = names.find((name) => !loaded.some((module) => module.name === name));
      if (unused === undefined) return;
      const instead = unused === 'efa' ? ': choose one with a network card, e.g. --machine gaudi-efa' : '';
      throw new UserError(`a guest with the machine ${machine} loads no driver ${unused}${instead}`);
    };
    return { modules, title: titles.join(', '), notes, check };
  }

  async #compile(circumstances: Circumstances): Promise<{ modules: Module[]; titles: string[]; notes: string[] }> {
    const { cache, kernel, release, signal, say } = circumstances;
    const place = kernel.tree ?? (release === undefined ? undefined : stockPlace(cache, release));
    if (place === undefined) {
      const option = this.#patches.length > 0 ? '--patch' : '--driver with a folder';
      throw new UserError(
        `${option} goes with the kernels stable, backports and coverage, whose drivers are built alone: change the source of any other, and build it there`,
      );
    }
    const unlock = await lock({ cache, signal, say }, place.lock);
    try {
      const tree = new DriverTree(place.folder, place.release, signal, place.settings);
      const owns = new Map(this.#folders.map((own) => [driverIn(own), own]));
      const ownNames = new Map([...owns].map(([driver, own]) => [driver, ownFiles(driver, own)]));
      const has = (file: string) => {
        const owner = ownerOf(file);
        return (owner && ownNames.get(owner)?.has(file)) ?? tree.has(file);
      };
      const placed = this.#patches.map(({ name, text }) => placePatch(text, name, has));
      for (const { name, unused } of placed)
        if (unused.length > 0) say(`${name}: nothing is built of ${unused.join(', ')}`);
      const wanted = driverSources.filter(
        (driver) => owns.has(driver) || placed.some(({ drivers }) => drivers.includes(driver)),
      );
      const modules: Module[] = [];
      const titles: string[] = [];
      const notes: string[] = [];
      for (const driver of wanted) {
        const own = owns.get(driver);
        const patches = placed.filter(({ drivers }) => drivers.includes(driver));
        const { bytes, key, file } = await fromCache(tree, driver, own, patches, circumstances, place);
        modules.push({ name: driver.name, bytes });
        notes.push(notesOf(file));
        const what = patches.map(({ name }) => name).join(', ');
        titles.push(
          `own driver ${driver.name}${own ? ` of ${own}` : ''}${what ? ` with ${what}` : ''} (${key.slice(0, 8)})`,
        );
      }
      return { modules, titles, notes };
    } finally {
      unlock();
    }
  }
}

/** The tree that set-up has made for a kernel of Debian's. */
function stockPlace(cache: string, release: string): DriverPlace {
  const folder = parts(cache).driverTree(release);
  return { folder, release, lock: `${folder}.lock`, settings: [], version: '' };
}

async function fromCache(
  tree: DriverTree,
  driver: DriverSource,
  own: string | undefined,
  patches: readonly PlacedPatch[],
  { cache, say, status }: Circumstances,
  { release, version }: DriverPlace,
): Promise<{ bytes: Buffer; key: string; file: string }> {
  const hash = createHash('sha256').update(`${RECIPE} ${driver.name} ${release}${version}\0`);
  for (const [name, source] of own === undefined ? [] : ownFiles(driver, own))
    hash.update(`${name}\0`).update(readFileSync(source));
  for (const { parts: changes } of patches)
    for (const { file, text } of changes) if (ownerOf(file) === driver) hash.update(`\0${file}\0${text}`);
  const key = hash.digest('hex');
  const folder = parts(cache).drivers;
  const file = path.join(folder, `${driver.name}-${release}-${key.slice(0, 16)}.ko`);
  if (existsSync(file)) {
    const now = new Date();
    utimesSync(file, now, now);
    return { bytes: readFileSync(file), key, file };
  }
  const begin = performance.now();
  say(`Building the driver ${driver.name} for ${release}; the first time takes minutes, another change much less`);
  const built = await tree.build(driver, own, patches, (compiled) => {
    const seconds = Math.round((performance.now() - begin) / 1000);
    status?.(`  ${compiled} files compiled, ${seconds} s`);
  });
  status?.('');
  for (const warning of built.warnings) say(warning);
  const seconds = ((performance.now() - begin) / 1000).toFixed(1);
  say(`The driver ${driver.name} was built in ${seconds} s: ${built.compiled} files compiled`);
  await mkdir(folder, { recursive: true });
  await rm(notesOf(file), { recursive: true, force: true });
  for (const [name, note] of built.notes) {
    await mkdir(path.dirname(path.join(notesOf(file), name)), { recursive: true });
    await writeFile(path.join(notesOf(file), name), note);
  }
  await writeFile(`${file}.unfinished`, built.bytes);
  await rename(`${file}.unfinished`, file);
  await prune(folder);
  return { bytes: built.bytes, key, file };
}

/** Folder with the compiler's notes of a driver that was built. */
function notesOf(file: string): string {
  return `${file}.notes`;
}

async function prune(folder: string): Promise<void> {
  const files = globSync('*.ko', { cwd: folder }).map((name) => path.join(folder, name));
  const times = new Map(files.map((file) => [file, statSync(file).mtimeMs]));
  const old = files.sort((a, b) => (times.get(b) ?? 0) - (times.get(a) ?? 0)).slice(KEPT);
  for (const file of old) {
    await rm(file, { force: true });
    await rm(notesOf(file), { recursive: true, force: true });
  }
}

/** Name of a module that is given as it is. @throws UserError where it is for another kernel */
function checkedName(file: string, bytes: Buffer, wanted: string | undefined): string {
  const { vermagic, name } = moduleInfo(bytes, file);
  if (name === undefined) throw new UserError(`${file} is not a kernel module: it has no name`);
  if (wanted !== undefined && vermagic?.trim() !== wanted.trim())
    throw new UserError(`${file} is for "${vermagic?.trim()}", and the guest's kernel takes "${wanted.trim()}"`);
  return name.replaceAll('-', '_');
}

function isFolder(file: string): boolean {
  return statSync(file, { throwIfNoEntry: false })?.isDirectory() ?? false;
}

function read(option: string, file: string): Buffer {
  try {
    return readFileSync(file);
  } catch (error) {
    throw new UserError(`${option} ${file}: ${(error as NodeJS.ErrnoException).code}`);
  }
}

function digest(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex').slice(0, 8);
}
