/**
 * Whether QEMU may use KVM. That /dev/kvm can be opened proves little (nested virtualization, other users of the CPU's
 * extensions), so a tiny guest is booted with it, once per boot of the host and version of QEMU.
 */

import { accessSync, constants, readFileSync } from 'node:fs';
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { UserError } from '../../sim/errors.ts';
import { Running } from './boot.ts';
import { buildInitramfs } from './initramfs.ts';
import type { GuestKernel } from './kernel.ts';
import { EARLY_MODULES } from './modules.ts';
import type { Accelerator, Qemu } from './qemu.ts';
import { Scratch } from './scratch.ts';

/** Seconds for a guest of a few megabytes to say hello; with KVM it takes one or two. */
const PATIENCE = 6;

export interface ProbeOptions {
  readonly cache: string;
  readonly qemu: Qemu;
  readonly kernel: GuestKernel;
  /** Path of the init. */
  readonly init: string;
  readonly signal?: AbortSignal | undefined;
}

/** @param wanted what the user asked for, if anything. @throws UserError where KVM is asked for and cannot be used. */
export async function chooseAccelerator(wanted: string | undefined, options: ProbeOptions): Promise<Accelerator> {
  if (wanted === 'tcg') return 'tcg';
  if (wanted !== undefined && wanted !== 'kvm') throw new UserError(`no accelerator "${wanted}" (kvm, tcg)`);
  const trouble = await kvmTrouble(options);
  if (trouble === undefined) return 'kvm';
  if (wanted === 'kvm') throw new UserError(`KVM cannot be used here: ${trouble}`);
  return 'tcg';
}

/** Why KVM cannot be used, or undefined where a guest has booted with it. */
export async function kvmTrouble(options: ProbeOptions): Promise<string | undefined> {
  try {
    accessSync('/dev/kvm', constants.R_OK | constants.W_OK);
  } catch (error) {
    return `/dev/kvm: ${(error as NodeJS.ErrnoException).code}`;
  }
  const file = path.join(options.cache, 'kvm.json');
  const key = `${readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()} ${options.qemu.title}`;
  const known = await readFile(file, 'utf8')
    .then((text) => JSON.parse(text) as { key: string; trouble: string | null })
    .catch(() => undefined);
  if (known?.key === key) return known.trouble ?? undefined;
  const trouble = await probe(options);
  await mkdir(options.cache, { recursive: true });
  const temporary = `${file}.${process.pid}`;
  await writeFile(temporary, `${JSON.stringify({ key, trouble: trouble ?? null })}\n`);
  await rename(temporary, file);
  return trouble;
}

async function probe({ qemu, kernel, init, signal }: ProbeOptions): Promise<string | undefined> {
  const early = await kernel.modules.load(EARLY_MODULES);
  const archive = await buildInitramfs({ init, early, files: [], drivers: [], binds: [], hugePages: 0, root: false });
  const scratch = new Scratch();
  try {
    const guest = {
      accelerator: 'kvm' as const,
      memory: 256 * 2 ** 20,
      cpus: 1,
      kernel: kernel.image,
      append: '',
      shares: [],
      devices: [],
    };
    const timeout = AbortSignal.timeout(PATIENCE * 1000);
    const either = signal ? AbortSignal.any([signal, timeout]) : timeout;
    const running = await Running.start(qemu, (paths) => ({ ...guest, ...paths }), archive, scratch, either);
    await running.close();
    return undefined;
  } catch (error) {
    signal?.throwIfAborted();
    if (error instanceof UserError) return error.message;
    if (error instanceof DOMException && error.name === 'TimeoutError') {
      return `a guest has not booted with it within ${PATIENCE} s`;
    }
    throw error;
  } finally {
    scratch.close();
  }
}
