/**
 * Debian's RDMA programs (rdma-core, perftest, pyverbs) for guests with a NIC. They look for their plug-ins at fixed places,
 * so they run in an unpacked tree of their own; `bin/` has a way in for each.
 */

import { createHash } from 'node:crypto';
import { chmod, mkdir, readdir, symlink, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { Apt, Package } from './apt.ts';

export const RDMA_PACKAGES = [
  'base-files',
  'ibverbs-providers',
  'ibverbs-utils',
  'perftest',
  'python3-pyverbs',
  // pyverbs asks its program `rdma` for the network device of a port
  'iproute2',
  'rdma-core',
  'dash',
  'coreutils',
] as const;

/** Programs that get a way in. */
const PROGRAMS = /^(ib_|ibv_|rdma_|raw_ethernet_|run_perftest)/;
/** That of the tree's own Python, whose modules are there. */
const PYTHON = 'rdma-python3';

/** Enters the tree beside it with the guest's devices and files below it, and runs the program by whose name it was called. */
const ENTER = `#!/bin/sh
# Runs a program of Debian's RDMA packages. The tree is read-only: what it mounts into it is seen by this process alone.
here=$(dirname "$(readlink -f "$0")")
name=$(basename "$0")
test "$name" = ${PYTHON} && name=python3
exec unshare --mount sh -c '
  root=$1; shift
  for folder in dev proc sys tmp; do mount --rbind "/$folder" "$root/$folder" || exit 126; done
  ulimit -l unlimited
  exec chroot "$root" "$@"
' sh "$here/../root" "$name" "$@"
`;

/** Changes whenever what `makeRdmaPrograms` makes of the same packages does. */
export function rdmaKey(): string {
  return createHash('sha256')
    .update(JSON.stringify([RDMA_PACKAGES, ENTER]))
    .digest('hex')
    .slice(0, 16);
}

/** Fills `target` with the tree and its ways in. */
export async function makeRdmaPrograms(apt: Apt, packages: readonly Package[], target: string): Promise<void> {
  const root = path.join(target, 'root');
  const bin = path.join(target, 'bin');
  await mkdir(root);
  await mkdir(bin);
  for (const pkg of packages) await apt.unpack(pkg, root);
  const enter = path.join(bin, 'enter');
  await writeFile(enter, ENTER);
  await chmod(enter, 0o755);
  const programs = (await readdir(path.join(root, 'usr/bin'))).filter((name) => PROGRAMS.test(name));
  for (const name of [...programs, PYTHON]) await symlink('enter', path.join(bin, name));
}
