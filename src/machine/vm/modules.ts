/** Kernel modules: finds them by name, in the order in which they must be loaded. */

import { existsSync, globSync, readFileSync } from 'node:fs';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import zlib from 'node:zlib';
import { findProgram, run } from '../../os/run.ts';
import { UserError } from '../../sim/errors.ts';
import { Elf } from './elf.ts';
import { privateCommand } from './private-tree.ts';

/** Loaded before the guest's agent can speak: the port to the host. */
export const EARLY_MODULES = ['virtio_console'];
/** The host's files, a writable layer over /tmp, and the driver. `overlay` may be missing. */
export const FILE_MODULES = ['9pnet_virtio', '9p'];
export const OPTIONAL_MODULES = ['overlay'];
export const DRIVER_MODULES = ['habanalabs'];
/** The network between several guests. */
export const NETWORK_MODULES = ['virtio_net'];
/** What the driver of the NIC is linked against, and RDMA's interface of user space. Kept for when that driver is built. */
export const RDMA_MODULES = ['ib_core', 'ib_uverbs', 'crc16'];

export interface Module {
  /** With underscores, as the kernel says it. */
  readonly name: string;
  /** Decompressed. */
  readonly bytes: Buffer;
}

/** A folder with modules: /lib/modules/RELEASE, a kernel's build tree, or what set-up has picked. */
export class ModuleFolder {
  readonly #folder: string;
  readonly #qemuTree: string | undefined;
  readonly #files = new Map<string, string>();
  readonly #builtin = new Set<string>();
  readonly #read = new Map<string, Buffer>();

  /** @param qemuTree a tree of set-up, for its xz. @throws UserError where there are no modules. */
  constructor(folder: string, qemuTree?: string) {
    this.#folder = folder;
    this.#qemuTree = qemuTree;
    const order = path.join(folder, 'modules.order');
    const listed = existsSync(order) ? readFileSync(order, 'utf8').split('\n').filter(Boolean) : [];
    // A build tree lists what it has built; walking all of its files would take long.
    const files = existsSync(path.join(folder, 'Kbuild'))
      ? listed.map((file) => file.replace(/\.o$/, '.ko'))
      : globSync('**/*.ko{,.xz,.gz,.zst}', { cwd: folder });
    for (const file of files) this.#files.set(moduleName(file), file);
    const builtin = path.join(folder, 'modules.builtin');
    if (existsSync(builtin)) {
      for (const line of readFileSync(builtin, 'utf8').split('\n')) if (line) this.#builtin.add(moduleName(line));
    }
    if (this.#files.size === 0 && this.#builtin.size === 0) throw new UserError(`no kernel modules in ${folder}`);
  }

  /** Whether it is a module or part of the kernel image. */
  has(name: string): boolean {
    return this.#files.has(name) || this.#builtin.has(name);
  }

  /** The same folder with other modules in the place of those of their names. */
  with(modules: readonly Module[]): ModuleFolder {
    const other = new ModuleFolder(this.#folder, this.#qemuTree);
    for (const { name, bytes } of modules) {
      if (other.#builtin.has(name))
        throw new UserError(`${name} is part of the kernel of ${this.#folder}, not a module: build that kernel anew`);
      other.#files.set(name, `${name}.ko`);
      other.#read.set(name, bytes);
    }
    return other;
  }

  /** For which kernel the modules are (`vermagic=`), as one of them says it. */
  async vermagic(): Promise<string | undefined> {
    const [first] = this.#files;
    return first && moduleInfo(await this.#bytes(...first), first[1]).vermagic;
  }

  /** The modules for `names` and what they depend on, each after what it needs; what is built in is left out. */
  async load(names: readonly string[]): Promise<Module[]> {
    const loaded = new Map<string, Module>();
    const visit = async (name: string, path: readonly string[]) => {
      if (loaded.has(name) || this.#builtin.has(name) || path.includes(name)) return;
      const file = this.#files.get(name);
      if (file === undefined) {
        const needer = path.at(-1);
        throw new UserError(
          `${this.#folder} has no module ${name}${needer ? ` (needed by ${needer})` : ''}, and its kernel has it not built in`,
        );
      }
      const bytes = await this.#bytes(name, file);
      for (const need of dependencies(bytes, file)) await visit(need, [...path, name]);
      loaded.set(name, { name, bytes });
    };
    for (const name of names) await visit(name, []);
    return [...loaded.values()];
  }

  async #bytes(name: string, file: string): Promise<Buffer> {
    const known = this.#read.get(name);
    if (known) return known;
    const raw = await readFile(path.join(this.#folder, file)).catch((error: NodeJS.ErrnoException) => {
      throw new UserError(`cannot read the module ${path.join(this.#folder, file)}: ${error.code}`);
    });
    const bytes = await decompress(file, raw, this.#qemuTree);
    this.#read.set(name, bytes);
    return bytes;
  }
}

/** Whether `folder`, which may not be there, has these modules, or their kernel has them built in. */
export function hasModules(folder: string, names: readonly string[]): boolean {
  if (!existsSync(folder)) return false;
  const there = new ModuleFolder(folder);
  return names.every((name) => there.has(name));
}

/** Copies the modules that the guest uses, decompressed, and the list of those that are built in. */
export async function copyModules(from: string, to: string, qemuTree: string): Promise<void> {
  const folder = new ModuleFolder(from, qemuTree);
  await mkdir(to, { recursive: true });
  const more = [...RDMA_MODULES, ...NETWORK_MODULES].filter((name) => folder.has(name));
  const names = [...EARLY_MODULES, ...FILE_MODULES, ...OPTIONAL_MODULES, ...DRIVER_MODULES, ...more];
  for (const module of await folder.load(names)) await writeFile(path.join(to, `${module.name}.ko`), module.bytes);
  await writeFile(path.join(to, 'modules.builtin'), await readFile(path.join(from, 'modules.builtin')));
}

function moduleName(file: string): string {
  return path
    .basename(file)
    .replace(/\.ko.*$/, '')
    .replaceAll('-', '_');
}

/** What a module says it needs (`depends=`). */
function dependencies(bytes: Buffer, file: string): string[] {
  return (moduleInfo(bytes, file).depends ?? '')
    .split(',')
    .filter(Boolean)
    .map((name) => name.replaceAll('-', '_'));
}

/** What a module says of itself, in its .modinfo. @throws UserError where the file is none */
export function moduleInfo(bytes: Buffer, file: string): { depends?: string; name?: string; vermagic?: string } {
  try {
    const fields = new Elf(bytes).section('.modinfo')?.toString('latin1').split('\0') ?? [];
    return Object.fromEntries(fields.map((field) => field.split(/=(.*)/s, 2)));
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw new UserError(`${file} is not a kernel module: ${error.message}`);
  }
}

export async function decompress(file: string, bytes: Buffer, qemuTree: string | undefined): Promise<Buffer> {
  if (file.endsWith('.gz')) return zlib.gunzipSync(bytes);
  if (file.endsWith('.zst')) return zlib.zstdDecompressSync(bytes);
  if (!file.endsWith('.xz')) return bytes;
  const [program = '', ...args] = (qemuTree && privateCommand(qemuTree, 'usr/bin/xz')) || [
    findProgram('xz') ?? '',
    '-dc',
  ];
  if (program === '') throw new UserError(`${file}: there is no xz to decompress it with: install xz-utils`);
  const result = await run(program, args.at(-1) === '-dc' ? args : [...args, '-dc'], { stdin: bytes });
  if (result.status !== 0) throw new UserError(`${file} cannot be decompressed: ${result.stderr.trim()}`);
  return result.stdout;
}
