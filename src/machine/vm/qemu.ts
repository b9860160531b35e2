/** QEMU: where it is, what it can do, how it is started. */

import { existsSync } from 'node:fs';
import path from 'node:path';
import { findProgram, run } from '../../os/run.ts';
import { UserError } from '../../sim/errors.ts';
import { privateCommand } from './private-tree.ts';

export type Accelerator = 'kvm' | 'tcg';

export interface Qemu {
  /** Program and first arguments. */
  readonly command: readonly string[];
  /** What it is, for messages and as a key: a version or a path. */
  readonly title: string;
}

/** QEMU from a tree of set-up; needs neither root nor the libraries of the host. */
export function privateQemu(tree: string, version: string): Qemu {
  const command = privateCommand(tree, 'usr/bin/qemu-system-x86_64');
  if (!command) throw new UserError(`${tree} has no QEMU: remove it and run "sagrada vm setup"`);
  const data = ['usr/share/qemu', 'usr/share/seabios', 'usr/lib/ipxe/qemu'].map((folder) => path.join(tree, folder));
  return { command: [...command, ...data.flatMap((folder) => ['-L', folder])], title: version };
}

/** A QEMU of the user's. @throws UserError where it cannot serve. */
export async function givenQemu(file: string): Promise<Qemu> {
  const program = file.includes('/') ? path.resolve(file) : findProgram(file);
  if (!program || !existsSync(program)) throw new UserError(`no QEMU at ${file}`);
  const result = await run(program, ['-device', 'help']).catch((error: NodeJS.ErrnoException) => {
    throw new UserError(`cannot run ${program}: ${error.code ?? error.message}`);
  });
  if (result.status !== 0) throw new UserError(`${program} is no QEMU: ${result.stderr.trim().split('\n')[0]}`);
  if (!result.stdout.includes('"vfio-user-pci"')) {
    throw new UserError(
      `${program} has no vfio-user-pci device: QEMU 10.1 or later is needed, built with vfio-user; ` +
        'without --qemu, sagrada fetches one',
    );
  }
  return { command: [program], title: program };
}

export interface Guest {
  readonly accelerator: Accelerator;
  /** Bytes. */
  readonly memory: number;
  readonly cpus: number;
  readonly kernel: string;
  readonly initramfs: string;
  /** Added to the kernel's command line. */
  readonly append: string;
  /** File that receives the kernel's console. */
  readonly console: string;
  /** UNIX socket on which the host waits for the guest's agent. */
  readonly agent: string;
  /** Folders of the host: the root read-only, the others writable. */
  readonly shares: readonly { readonly tag: string; readonly path: string; readonly writable: boolean }[];
  /** Arguments for the machine's ports and devices. */
  readonly devices: readonly string[];
  /** UNIX socket of the switch between guests (ethernet.ts), and this guest's address there. */
  readonly network?: { readonly socket: string; readonly mac: string } | undefined;
}

/**
 * The kernel's command line (Documentation/admin-guide/kernel-parameters.txt). Everything goes to the serial console, and
 * a panic ends the guest (QEMU runs with -no-reboot). The rest leaves out what costs an emulated processor most of a
 * second and has nothing to do with the drivers: tests of the timers and of cryptography, security policies, audit.
 */
const COMMAND_LINE =
  'console=ttyS0 loglevel=8 panic=-1 rdinit=/init no_timer_check tsc=reliable cryptomgr.notests apparmor=0 audit=0';

export function qemuArguments(guest: Guest): string[] {
  const megabytes = Math.ceil(guest.memory / 2 ** 20);
  const accelerator = guest.accelerator === 'tcg' ? 'tcg,thread=multi' : 'kvm';
  return [
    ...['-no-user-config', '-nodefaults', '-no-reboot', '-display', 'none'],
    ...['-machine', 'q35,memory-backend=ram', '-accel', accelerator, '-cpu', 'max', '-smp', String(guest.cpus)],
    // Shared by file descriptor: the device server maps the guest's memory and reads and writes it directly.
    ...['-m', `${megabytes}M`, '-object', `memory-backend-memfd,id=ram,size=${megabytes}M,share=on`],
    ...['-kernel', guest.kernel, '-initrd', guest.initramfs, '-append', `${COMMAND_LINE} ${guest.append}`.trim()],
    ...['-chardev', `file,id=console,path=${comma(guest.console)}`, '-serial', 'chardev:console'],
    ...['-device', 'virtio-serial-pci', '-chardev', `socket,id=agent,path=${comma(guest.agent)}`],
    ...['-device', 'virtserialport,chardev=agent,name=org.sagrada.agent'],
    ...guest.shares.flatMap(({ tag, path: folder, writable }) => [
      '-fsdev',
      `local,id=${tag},path=${comma(folder)},security_model=none,multidevs=remap${writable ? '' : ',readonly=on'}`,
      '-device',
      `virtio-9p-pci,fsdev=${tag},mount_tag=${tag}`,
    ]),
    ...(guest.network
      ? [
          '-netdev',
          `stream,id=network,server=off,addr.type=unix,addr.path=${comma(guest.network.socket)}`,
          ...['-device', `virtio-net-pci,netdev=network,mac=${guest.network.mac},romfile=`],
        ]
      : []),
    ...guest.devices,
  ];
}

/** A value inside an option of QEMU: a comma is written twice. */
function comma(value: string): string {
  return value.replaceAll(',', ',,');
}
