/** Compiles what runs in the guest with Debian's compiler, inside an unpacked tree of its own. */

import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { copyFile, cp, mkdir, rename, rm, symlink, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { findProgram, type RunResult, run } from '../../os/run.ts';
import { UserError } from '../../sim/errors.ts';

const guest = path.join(import.meta.dirname, '..', '..', '..', 'guest');

export const initSource = ['init.c', 'start.c', 'commands.c', 'wire.c', 'start.h', 'commands.h', 'wire.h'].map(
  (f) => `init/${f}`,
);

const importerSource = ['importer.c', 'pages.c', 'pages.h', 'sagrada_importer.h', 'Kbuild'];

/** Kernel modules of ours, and what they are made of; a module's files are in one folder. */
export const guestModules = {
  /** Lets the compute node be opened (docs/findings/0001). */
  sagrada_helper: ['helper/sagrada_helper.c', 'helper/Kbuild'],
  /** Imports dma-bufs (docs/importer.md). */
  sagrada_importer: importerSource.map((f) => `importer/${f}`),
} satisfies Record<string, readonly string[]>;

export type GuestModule = keyof typeof guestModules;
export const guestModuleNames = Object.keys(guestModules) as GuestModule[];

/** Those of `files` that are compiled. */
function units(files: readonly string[]): string[] {
  return files.filter((file) => file.endsWith('.c'));
}

/** Path of a file of guest/. */
export function guestFile(file: string): string {
  return path.join(guest, file);
}

/** Changes whenever one of `files` in guest/ does. */
export function sourceHash(files: readonly string[]): string {
  const hash = createHash('sha256');
  for (const file of files) hash.update(readFileSync(guestFile(file)));
  return hash.digest('hex').slice(0, 16);
}

/** Flags of the init: static, because nothing but itself is in the initramfs. */
const INIT_FLAGS = ['-std=gnu17', '-Os', '-Wall', '-static'];

/** Compiles the init with the host's compiler. @returns false where there is none, or it cannot link statically. */
export async function buildInitOnHost(folder: string): Promise<boolean> {
  const compiler = findProgram('cc') ?? findProgram('gcc');
  if (!compiler) return false;
  const temporary = `${folder}.${process.pid}`;
  await mkdir(temporary, { recursive: true });
  try {
    const target = path.join(temporary, 'init');
    const result = await run(compiler, [...INIT_FLAGS, '-o', target, ...units(initSource).map(guestFile)]);
    if (result.status !== 0) return false;
    const manifest = { title: 'init', packages: {} };
    await writeFile(path.join(temporary, 'manifest.json'), `${JSON.stringify(manifest)}\n`);
    await rm(folder, { recursive: true, force: true });
    await rename(temporary, folder);
    return true;
  } finally {
    await rm(temporary, { recursive: true, force: true });
  }
}

/** Enters the tree that is `$1` with the host's /dev and /proc in it, and runs the rest of the arguments there. */
const ENTER =
  'mkdir -p "$1/dev" "$1/proc" && mount --rbind /dev "$1/dev" && mount --rbind /proc "$1/proc" && ' +
  'root=$1 && shift && exec chroot "$root" "$@"';
/**
 * The same where mounting is not allowed but making a device is: with the only device that compilers use, and the only file of
 * /proc that objtool reads (tools/objtool/signal.c, read_stack_limit; only to word a message should it crash).
 */
const ENTER_PLAIN =
  'mkdir -p "$1/dev" "$1/proc/self" && { test -c "$1/dev/null" || mknod -m 666 "$1/dev/null" c 1 3; } && ' +
  'cat /proc/self/maps >"$1/proc/self/maps" && root=$1 && shift && exec chroot "$root" "$@"';

/** Ways into a tree, tried in order: as root, as root of a container, and through a user namespace. */
const ways = [
  ['unshare', '--mount', 'sh', '-c', ENTER, 'sh'],
  ['sh', '-c', ENTER_PLAIN, 'sh'],
  ['unshare', '--user', '--map-root-user', '--mount', 'sh', '-c', ENTER, 'sh'],
] as const;

/** Makes of unpacked packages a tree that programs run in. */
export async function makeEnterable(folder: string): Promise<void> {
  // made by a package script, which we do not run
  await symlink('mawk', path.join(folder, 'usr/bin/awk'));
}

export class BuildTree {
  readonly #folder: string;
  readonly #signal: AbortSignal | undefined;
  #way: readonly string[] | undefined;

  constructor(folder: string, signal: AbortSignal | undefined) {
    this.#folder = folder;
    this.#signal = signal;
  }

  async buildInit(target: string): Promise<void> {
    await this.#bring(initSource);
    const files = units(initSource).map((file) => `/guest/${file}`);
    await this.#command('the init', ['gcc-14', ...INIT_FLAGS, '-o', '/guest/init/init', ...files]);
    await rename(path.join(this.#folder, 'guest/init/init'), target);
  }

  /** @param release of the kernel whose headers are in the tree. @param variables of make */
  async buildModule(
    name: GuestModule,
    release: string,
    target: string,
    variables: readonly string[] = [],
  ): Promise<void> {
    const files = guestModules[name];
    await this.#bring(files);
    const folder = path.join('guest', path.dirname(files[0] as string));
    const make = ['make', '-C', `/usr/src/linux-headers-${release}`, `M=/${folder}`, ...variables, 'modules'];
    await this.#command(`the module ${name}`, make);
    await rename(path.join(this.#folder, folder, `${name}.ko`), target);
  }

  /** Builds a module whose source is in `source`, a folder with a Makefile of the kernel's own. */
  async buildForeignModule(
    name: string,
    release: string,
    source: string,
    target: string,
    variables: readonly string[],
  ): Promise<void> {
    const folder = path.join('foreign', name);
    await cp(source, path.join(this.#folder, folder), { recursive: true });
    const make = ['make', '-C', `/usr/src/linux-headers-${release}`, `M=/${folder}`, ...variables, 'modules'];
    await this.#command(`the module ${name}`, make);
    // The kernel does not read what debuggers do, and that is most of it.
    await this.#command(`the module ${name}`, ['strip', '--strip-debug', `/${folder}/${name}.ko`]);
    await rename(path.join(this.#folder, folder, `${name}.ko`), target);
  }

  /** Runs a program of the tree in it. @param onStdout told what it prints, as it comes */
  async run(command: readonly string[], onStdout?: (text: string) => void): Promise<RunResult> {
    this.#way ??= await this.#findWay();
    return this.#run(this.#way, command, onStdout);
  }

  async #bring(files: readonly string[]): Promise<void> {
    for (const file of files) {
      const target = path.join(this.#folder, 'guest', file);
      await mkdir(path.dirname(target), { recursive: true });
      await copyFile(guestFile(file), target);
    }
  }

  async #command(what: string, command: readonly string[]): Promise<void> {
    const result = await this.run(command);
    if (result.status === 0) return;
    const output = result.stdout.toString() + result.stderr;
    const line = output.split('\n').find((text) => /error|cannot|not found/i.test(text)) ?? output.trim();
    throw new UserError(`cannot build ${what}: ${line.trim() || `status ${result.status}`}`);
  }

  async #findWay(): Promise<readonly string[]> {
    const tried: string[] = [];
    for (const way of ways) {
      if (findProgram(way[0]) === undefined) continue;
      const result = await this.#run(way, ['true']);
      if (result.status === 0) return way;
      tried.push(result.stderr.trim().split('\n').at(-1) ?? '');
    }
    throw new UserError(
      `the compiler's tree cannot be entered (${tried.join('; ')}): run "sagrada vm setup" once as root, ` +
        'or allow unprivileged user namespaces',
    );
  }

  #run(way: readonly string[], command: readonly string[], onStdout?: (text: string) => void) {
    const [program = '', ...args] = [...way, this.#folder, ...command];
    return run(findProgram(program) ?? program, args, {
      cwd: '/',
      env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C', HOME: '/' },
      signal: this.#signal,
      onStdout,
    });
  }
}
