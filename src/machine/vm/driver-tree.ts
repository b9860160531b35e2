/**
 * A tree in the cache in which drivers are built: Debian's compiler, the headers of a kernel, and the drivers' part of that
 * kernel's source. What was compiled stays, so that after a small change little is compiled again.
 */

import { existsSync, globSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { copyFile, cp, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import path from 'node:path';
import { UserError } from '../../sim/errors.ts';
import type { Apt, Package } from './apt.ts';
import { BuildTree, makeEnterable } from './build.ts';
import { type DriverSource, driverSources, ownerOf, type PlacedPatch } from './driver-source.ts';
import { extractSource } from './nic-driver.ts';

/** Source as Debian has it, in the tree. */
const PRISTINE = 'pristine';
/** The same as it is to be built. */
const WANTED = 'wanted';
/** Where it is built: what is the same as the last time is not written. */
const BUILD = 'linux';

/** Files that a driver is built of, of all that are in its folder. */
const SOURCE = /(\.[chS]|(^|\/)(Makefile|Kbuild|Kconfig)[^/]*)$/;
/** What the kernel's build makes beside it. */
const MADE = /\.mod\.c$/;

/** Fills a tree. @param packages compiler, patch(1) and headers of the kernel @param source the package with its source */
export async function makeDriverTree(
  parts: { readonly apt: Apt; readonly packages: readonly Package[]; readonly source: Package; readonly qemu: string },
  target: string,
): Promise<void> {
  const { apt, packages, source, qemu } = parts;
  for (const pkg of packages) await apt.unpack(pkg, target);
  await makeEnterable(target);
  for (const unused of ['usr/share/doc', 'usr/share/man', 'usr/share/locale'])
    await rm(path.join(target, unused), { recursive: true, force: true });
  const archive = path.join(target, 'source');
  await mkdir(archive);
  await apt.unpack(source, archive);
  const file = globSync('usr/src/linux-source-*.tar.xz', { cwd: archive })[0];
  if (!file) throw new UserError(`${source.name} has no source where it is expected: please report it`);
  const places = driverSources.flatMap(({ folder, headers }) => [folder, ...headers]);
  const patterns = places.map((place) => (place.endsWith('/') ? `*/${place}*` : `*/${place}`));
  await extractSource(path.join(archive, file), path.join(target, PRISTINE), qemu, patterns);
  await rm(archive, { recursive: true });
}

/** Keeps in a tree what drivers are built of. @param source of the kernel, whole */
export async function keepDrivers(source: string, tree: string): Promise<void> {
  const target = path.join(tree, PRISTINE);
  await rm(target, { recursive: true, force: true });
  for (const { folder, headers } of driverSources) {
    for (const file of sourceFiles(path.join(source, folder)))
      await cp(path.join(source, folder, file), path.join(target, folder, file), { recursive: true });
    for (const place of headers) await cp(path.join(source, place), path.join(target, place), { recursive: true });
  }
}

/** How a build went. */
export interface BuiltDriver {
  /** Without what only debuggers read. */
  readonly bytes: Buffer;
  /** What the compiler wrote of the files whose runs are counted (`.gcno`), by their names in the kernel's source. */
  readonly notes: ReadonlyMap<string, Buffer>;
  /** Files that were compiled. */
  readonly compiled: number;
  /** What the compiler said, each with file and line. */
  readonly warnings: readonly string[];
}

export class DriverTree {
  readonly #folder: string;
  readonly #release: string;
  readonly #tree: BuildTree;
  readonly #settings: readonly string[];

  /** @param settings variables of make that the kernel's own build was given */
  constructor(folder: string, release: string, signal: AbortSignal | undefined, settings: readonly string[] = []) {
    this.#folder = folder;
    this.#release = release;
    this.#tree = new BuildTree(folder, signal);
    this.#settings = settings;
  }

  /** Whether the kernel's source, as far as it belongs to drivers, has this file. */
  has(file: string): boolean {
    const found = statSync(path.join(this.#folder, PRISTINE, file), { throwIfNoEntry: false });
    return found?.isFile() ?? false;
  }

  /**
   * Builds a driver.
   * @param own folder of the kernel's source, or of the driver in it, to take instead of Debian's
   * @param patches in the order in which they are applied
   * @param progress told the files that were compiled
   * @throws UserError that says what the compiler says, or which part of a patch does not apply
   */
  async build(
    driver: DriverSource,
    own: string | undefined,
    patches: readonly PlacedPatch[],
    progress: (compiled: number) => void,
  ): Promise<BuiltDriver> {
    const wanted = path.join(this.#folder, WANTED);
    await rm(wanted, { recursive: true, force: true });
    await cp(path.join(this.#folder, PRISTINE), wanted, { recursive: true });
    if (own !== undefined) await takeOver(driver, own, wanted);
    for (const patch of patches) await this.#apply(patch, driver);
    await this.#bring(driver, wanted);
    await rm(wanted, { recursive: true });
    return this.#make(driver, progress);
  }

  async #apply(patch: PlacedPatch, driver: DriverSource): Promise<void> {
    const { name, base, strip } = patch;
    const text = patch.parts.filter(({ file }) => ownerOf(file) === driver).map((part) => part.text);
    if (text.length === 0) return;
    await writeFile(path.join(this.#folder, 'change.patch'), text.join(''));
    const folder = `/${WANTED}/${base}`;
    const options = ['--batch', '--forward', '--no-backup-if-mismatch', '--reject-file=-', '-i', '/change.patch'];
    const result = await this.#tree.run(['patch', '-d', folder, `-p${strip}`, ...options]);
    if (result.status === 0) return;
    const said = result.stdout.toString() + result.stderr;
    const lines = refusals(said, base, strip);
    const more = lines.length > 0 ? lines.join('\n') : said.trim();
    throw new UserError(`${name} does not apply to the source of ${this.#release}:\n${more}`);
  }

  /** Writes what has changed since the last build, and removes what is not there any more. */
  async #bring(driver: DriverSource, wanted: string): Promise<void> {
    const folder = path.join(this.#folder, BUILD, driver.folder);
    await bringFolder(path.join(wanted, driver.folder), folder);
    const headers = this.#headers();
    for (const place of driver.headers) {
      const from = path.join(wanted, place);
      const to = path.join(headers, place);
      if (place.endsWith('/')) await bringFolder(from, to);
      else if (existsSync(from)) await bringFile(from, to);
    }
  }

  /** The folder of the kernel's headers that has `include/`. */
  #headers(): string {
    const own = path.join(this.#folder, 'usr/src', `linux-headers-${this.#release}`);
    const all = globSync('usr/src/linux-headers-*/include/linux/module.h', { cwd: this.#folder });
    const found = all.map((file) => path.join(this.#folder, file, '..', '..', '..'));
    // a link is not followed by the pattern
    const alone = existsSync(path.join(own, 'include/linux/module.h')) ? own : undefined;
    const folder = found.find((candidate) => candidate !== own) ?? found[0] ?? alone;
    if (!folder)
      throw new UserError(`the headers of ${this.#release} are not where they are expected: please report it`);
    return folder;
  }

  async #make(driver: DriverSource, progress: (compiled: number) => void): Promise<BuiltDriver> {
    const folder = `/${BUILD}/${driver.folder}`.replace(/\/$/, '');
    const file = path.join(this.#folder, folder, `${driver.name}.ko`);
    await rm(file, { force: true });
    const jobs = `-j${availableParallelism()}`;
    const variables = [`${driver.config}=m`, 'KBUILD_MODPOST_WARN=', ...this.#settings];
    const make = ['make', '-k', jobs, '-C', `/usr/src/linux-headers-${this.#release}`, `M=${folder}`, ...variables];
    let compiled = 0;
    const result = await this.#tree.run([...make, 'modules'], (text) => {
      const more = text.match(/^ {2}CC /gm)?.length ?? 0;
      compiled += more;
      if (more > 0) progress(compiled);
    });
    const said = result.stdout.toString() + result.stderr;
    const notes = said.split('\n').filter((line) => COMPLAINT.test(line));
    // it is compiled in the driver's folder
    const relevant = notes.map((line) => {
      const [file = ''] = line.split(':', 1);
      const inside = file.startsWith(`${folder}/`) ? file.slice(folder.length + 1) : file.replace(/^\.\//, '');
      return existsSync(path.join(this.#folder, folder, inside)) && inside !== ''
        ? `${driver.folder}${inside}${line.slice(file.length)}`
        : line;
    });
    if (result.status !== 0) {
      const errors = [...new Set(relevant.filter((line) => ERROR.test(line)))];
      const shown = errors.length > 0 ? errors.slice(0, MOST_ERRORS) : [said.trim().split('\n').at(-1) ?? ''];
      const more = errors.length > MOST_ERRORS ? `\nand ${errors.length - MOST_ERRORS} more` : '';
      throw new UserError(`the driver ${driver.name} cannot be built:\n${shown.join('\n')}${more}`);
    }
    const stripped = await this.#tree.run(['strip', '--strip-debug', `${folder}/${driver.name}.ko`]);
    if (stripped.status !== 0) throw new UserError(`the driver ${driver.name} cannot be stripped: ${stripped.stderr}`);
    const built = path.join(this.#folder, BUILD);
    const counted = new Map<string, Buffer>();
    for (const name of globSync(`${driver.folder}**/*.gcno`, { cwd: built }))
      counted.set(name, await readFile(path.join(built, name)));
    return { bytes: await readFile(file), notes: counted, compiled, warnings: [...new Set(relevant)] };
  }
}

const MOST_ERRORS = 12;
/** Of the compiler, of the linker, and of the kernel's own checks (scripts/mod/modpost.c, objtool). */
const ERROR = /: (fatal )?error: |^ERROR: |undefined reference|No rule to make target/;
const COMPLAINT = new RegExp(`${ERROR.source}|: warning: |^WARNING: modpost: (?!.*BTF)`);

/** What patch(1) could not do: one line for each hunk, with the file as it is in the kernel's source. */
export function refusals(said: string, base: string, strip: number): string[] {
  const lines: string[] = [];
  let file = '';
  for (const line of said.split('\n')) {
    const begun = /^(?:checking|patching) file '?([^']*?)'?(?: \(renamed from .*\))?$/.exec(line);
    if (begun) file = begun[1] ?? '';
    const hunk = /^Hunk #(\d+) FAILED at (\d+)/.exec(line);
    if (hunk) lines.push(`  ${base}${file}: hunk ${hunk[1]}, at line ${hunk[2]}, is not what the source has there`);
    if (/^Reversed \(or previously applied\) patch detected/.test(line))
      lines.push(`  ${base}${file}: it seems to be in the source already`);
    const missing = /^\|(?:\+\+\+|---) (\S+)/.exec(line);
    if (missing && missing[1] !== '/dev/null' && line.startsWith('|---'))
      lines.push(`  ${base}${(missing[1] ?? '').split('/').slice(strip).join('/')}: the source has no such file`);
    if (/malformed patch|Only garbage/.test(line)) lines.push(`  ${line.replace(/^.*?\*{4} /, '')}`);
  }
  return [...new Set(lines)];
}

/** Takes a driver's source from a folder of the user's. */
async function takeOver(driver: DriverSource, own: string, wanted: string): Promise<void> {
  await rm(path.join(wanted, driver.folder), { recursive: true });
  for (const [name, file] of ownFiles(driver, own)) {
    await mkdir(path.dirname(path.join(wanted, name)), { recursive: true });
    await copyFile(file, path.join(wanted, name));
  }
}

/**
 * What a folder of the user's has of a driver: by the names in the kernel's source, where they are.
 * @param own a kernel's source, or the driver's folder in one or by itself
 */
export function ownFiles(driver: DriverSource, own: string): ReadonlyMap<string, string> {
  const suffix = `/${driver.folder.replace(/\/$/, '')}`;
  const above = own.endsWith(suffix) ? own.slice(0, -suffix.length) : undefined;
  const root = existsSync(path.join(own, driver.folder)) ? own : above;
  const folder = root === undefined ? own : path.join(root, driver.folder);
  const files = new Map(sourceFiles(folder).map((file) => [driver.folder + file, path.join(folder, file)]));
  for (const place of root === undefined ? [] : driver.headers) {
    const from = path.join(root ?? own, place);
    if (!existsSync(from)) continue;
    if (place.endsWith('/')) for (const file of sourceFiles(from)) files.set(place + file, path.join(from, file));
    else files.set(place, from);
  }
  return files;
}

/** @returns which driver a folder has the source of. @throws UserError where it has none */
export function driverIn(folder: string): DriverSource {
  for (const driver of driverSources) {
    const makefile = [path.join(folder, driver.folder, 'Makefile'), path.join(folder, 'Makefile')].find((file) => {
      return existsSync(file) && readFileSync(file, 'utf8').includes(`$(${driver.config})`);
    });
    if (makefile) return driver;
  }
  const known = driverSources.map(({ folder: place }) => place).join(', ');
  throw new UserError(`${folder} has no driver's source: a kernel's source is expected, or its ${known}`);
}

/** Files that a driver is built of, below `folder`. */
function sourceFiles(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => path.relative(folder, path.join(entry.parentPath, entry.name)))
    .filter((file) => SOURCE.test(file) && !MADE.test(file))
    .sort();
}

async function bringFolder(from: string, to: string): Promise<void> {
  const wanted = sourceFiles(from);
  for (const file of wanted) await bringFile(path.join(from, file), path.join(to, file));
  if (!existsSync(to)) return;
  const kept = new Set(wanted);
  for (const file of sourceFiles(to)) if (!kept.has(file)) await rm(path.join(to, file));
}

/** A file that is the same keeps its time, by which make(1) knows what to compile. */
async function bringFile(from: string, to: string): Promise<void> {
  const bytes = await readFile(from);
  if (existsSync(to) && bytes.equals(await readFile(to))) return;
  await mkdir(path.dirname(to), { recursive: true });
  await writeFile(to, bytes);
}
