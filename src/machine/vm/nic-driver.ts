/**
 * The driver of the EFA NIC, which Debian's kernels do not have: built from the source of the very kernel, out of its tree.
 * With it come the modules of Debian's kernel that it and programs need.
 */

import { globSync } from 'node:fs';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { findProgram, run } from '../../os/run.ts';
import { UserError } from '../../sim/errors.ts';
import type { Apt, Package } from './apt.ts';
import type { BuildTree } from './build.ts';
import { ModuleFolder, RDMA_MODULES } from './modules.ts';
import { privateCommand } from './private-tree.ts';

/** In the order in which they are loaded, with what they need. */
export const NIC_MODULES = ['ib_uverbs', 'efa'];

/** Folder of the driver in the kernel's source. */
const DRIVER = 'drivers/infiniband/hw/efa';

/** Name of the package with the source of a release, e.g. `linux-source-7.3`. */
export function sourcePackage(release: string): string {
  const version = /^\d+\.\d+/.exec(release)?.[0];
  if (!version) throw new UserError(`no source of a kernel ${release} is known`);
  return `linux-source-${version}`;
}

export interface NicDriverParts {
  readonly apt: Apt;
  /** With the headers of the release. */
  readonly tree: BuildTree;
  readonly release: string;
  /** Folder with those modules of the kernel that set-up keeps. */
  readonly modules: string;
  /** Packages of the kernel, with its modules; needed where those that were kept are without RDMA's. */
  readonly image: readonly Package[];
  readonly source: Package;
  /** Tree of set-up that has xz. */
  readonly qemuTree: string;
}

/** Fills `target` with modules, a folder for `ModuleFolder`. */
export async function makeNicDriver(parts: NicDriverParts, target: string): Promise<void> {
  const { apt, tree, release, modules, image, source, qemuTree } = parts;
  const work = path.join(target, 'work');
  await mkdir(work);
  for (const pkg of image) await apt.unpack(pkg, work);
  const unpacked = globSync('{usr/,}lib/modules/*/kernel', { cwd: work })[0];
  const folder = unpacked === undefined ? modules : path.join(work, path.dirname(unpacked));
  const stock = new ModuleFolder(folder, qemuTree);
  const names = RDMA_MODULES.filter((name) => stock.has(name));
  for (const module of await stock.load(names)) await writeFile(path.join(target, `${module.name}.ko`), module.bytes);
  await writeFile(path.join(target, 'modules.builtin'), await readFile(path.join(folder, 'modules.builtin')));
  await rm(work, { recursive: true });
  await mkdir(work);
  await apt.unpack(source, work);
  const archive = globSync('usr/src/linux-source-*.tar.xz', { cwd: work })[0];
  if (!archive) throw new UserError(`${source.name} has no source where it is expected: please report it`);
  await extractSource(path.join(work, archive), path.join(work, 'source'), qemuTree, [`*/${DRIVER}/*`]);
  await tree.buildForeignModule('efa', release, path.join(work, 'source', DRIVER), path.join(target, 'efa.ko'), [
    'CONFIG_INFINIBAND_EFA=m',
  ]);
  await rm(work, { recursive: true });
}

/** Extracts what matches one of `patterns` of an archive of the kernel's source; the rest only passes by. */
export async function extractSource(
  archive: string,
  target: string,
  qemuTree: string,
  patterns: readonly string[],
): Promise<void> {
  await mkdir(target);
  const xz = privateCommand(qemuTree, 'usr/bin/xz') ?? [findProgram('xz') ?? 'xz'];
  const list = `${target}.files`;
  await writeFile(list, patterns.map((pattern) => `${pattern}\n`).join(''));
  const script =
    'archive=$1; target=$2; shift 2; "$@" -dc "$archive" | tar -x -C "$target" --strip-components=1 --wildcards -T "$0"';
  const result = await run('/bin/sh', ['-c', script, list, archive, target, ...xz]);
  await rm(list);
  if (result.status !== 0) throw new UserError(`cannot extract ${archive}: ${result.stderr.trim().split('\n').at(-1)}`);
}
