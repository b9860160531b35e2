/**
 * Debian's RDMA programs (rdma-core, perftest, pyverbs, libfabric) for guests with a NIC. They look for their plug-ins at fixed places,
 * so they run in an unpacked tree of their own; `bin/` has a way in for each.
 */

import { createHash } from 'node:crypto';
import { chmod, mkdir, readdir, symlink, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { Apt, Package } from './apt.ts';

const RDMA_PACKAGES = [
  'base-files',
  'ibverbs-providers',
  'ibverbs-utils',
  'perftest',
  'python3-pyverbs',
  'libfabric-bin',
  // pyverbs asks its program `rdma` for the network device of a port
  'iproute2',
  'dash',
  'coreutils',
] as const;
/** For programs of one's own: the headers, without the C library's, which they need anyway. */
const HEADERS = ['libibverbs-dev'] as const;
/**
 * What packages depend on for their set-up, or as services of a whole system, and no program here needs: a third of all.
 */
const UNUSED =
  /^(rdma-core|systemd|udev|libsystemd-shared|dpkg|tar|passwd|login\.defs|adduser|debconf|base-passwd|mount|libpam|libdb5|libsepol|libsemanage|libsqlite3|libapparmor|libseccomp|openssl-provider-legacy|tzdata|mawk|readline-common|init-system-helpers)/;

/** The packages that the tree is made of. */
export async function rdmaPackages(apt: Apt, suite: string): Promise<Package[]> {
  const whole = await apt.closure(suite, RDMA_PACKAGES);
  const headers = await apt.packages(suite, HEADERS);
  return [...whole.filter((pkg) => !UNUSED.test(pkg.name)), ...headers];
}

/** Programs that get a way in. */
const PROGRAMS = /^(ib_|ibv_|rdma(_|$)|raw_ethernet_|run_perftest|fi_)/;
/** That of the tree's own Python, whose modules are there. */
const PYTHON = 'rdma-python3';
/** For any program of the guest that is linked against the tree's libraries. */
const ANY = 'rdma-run';
/** Where the tree has the guest's own files. */
const HOST = 'host';

/** Enters the tree beside it with the guest's devices and files below it, and runs the program by whose name it was called. */
const ENTER = `#!/bin/sh
# Runs a program of Debian's RDMA packages. The tree is read-only: what it mounts into it is seen by this process alone.
here=$(dirname "$(readlink -f "$0")")
name=$(basename "$0")
case $name in
${PYTHON}) set -- python3 "$@" ;;
${ANY})
  test $# -gt 0 || { echo "usage: ${ANY} PROGRAM [ARGUMENT...]" >&2; exit 2; }
  program=$1
  shift
  case $program in /*) program=/${HOST}$program ;; esac
  set -- "$program" "$@" ;;
*) set -- "$name" "$@" ;;
esac
# The guest's own files are below /${HOST}, and that is where the program starts.
exec unshare --mount sh -c '
  root=$1; shift
  for folder in dev proc sys tmp; do mount --rbind "/$folder" "$root/$folder" || exit 126; done
  test ! -f /etc/hosts || mount --bind /etc/hosts "$root/etc/hosts" || exit 126
  mount --rbind / "$root/${HOST}" || exit 126
  ulimit -l unlimited
  exec chroot "$root" /bin/sh -c "cd \\"/${HOST}\\$0\\" 2>/dev/null || cd /; exec \\"\\$@\\"" "$PWD" "$@"
' sh "$here/../root" "$@"
`;

/** Whether a guest with a NIC has a program of this name, which others have only where the host has it. */
export function isRdmaProgram(name: string): boolean {
  return PROGRAMS.test(name) || name === PYTHON || name === ANY;
}

/** Changes whenever what `makeRdmaPrograms` makes of the same packages does. */
export function rdmaKey(): string {
  return createHash('sha256')
    .update(JSON.stringify([RDMA_PACKAGES, HEADERS, UNUSED.source, PROGRAMS.source, ENTER]))
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
  await mkdir(path.join(root, HOST));
  // The names of the guests are mounted over it.
  await writeFile(path.join(root, 'etc/hosts'), '');
  const enter = path.join(bin, 'enter');
  await writeFile(enter, ENTER);
  await chmod(enter, 0o755);
  const programs = (await readdir(path.join(root, 'usr/bin'))).filter((name) => PROGRAMS.test(name));
  for (const name of [...programs, PYTHON, ANY]) await symlink('enter', path.join(bin, name));
}
