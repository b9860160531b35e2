/** Finds what a guest consists of, and has it fetched and built where it is not there. */

import path from 'node:path';
import { UserError } from '../../sim/errors.ts';
import { chooseAccelerator } from './accelerator.ts';
import { buildInitOnHost } from './build.ts';
import { parts, type Suite } from './cache-parts.ts';
import { buildCoverageKernel, coverageKernel } from './coverage-kernel.ts';
import { type GuestKernel, givenKernel, preparedKernel } from './kernel.ts';
import { givenQemu, privateQemu, type Qemu } from './qemu.ts';
import { inspect, type SetupOptions, setup } from './setup.ts';

interface Wanted extends Omit<SetupOptions, 'kernel' | 'qemu'> {
  readonly kernel: string;
  readonly modules?: string | undefined;
  readonly qemu?: string | undefined;
}

interface Prepared {
  readonly kernel: GuestKernel;
  readonly qemu: Qemu;
  /** Path of the init's binary. */
  readonly init: string;
  /** Release of a kernel of Debian's; undefined: the kernel is the user's. */
  readonly release: string | undefined;
}

/** Kernel, QEMU and init, fetched first where they are not there. */
export async function prepare(options: Wanted): Promise<Prepared> {
  const { cache } = options;
  const at = parts(cache);
  const suite = options.kernel === 'stable' || options.kernel === 'backports' ? options.kernel : undefined;
  if ((suite || options.kernel === 'coverage') && options.modules)
    throw new UserError('--modules goes with a kernel given by its path');
  const ownQemu = options.qemu === undefined ? undefined : await givenQemu(options.qemu);
  // one of ours, which is not made on the way
  const counting = options.kernel === 'coverage';
  const setupOptions = { ...options, kernel: undefined, qemu: undefined };
  const ownKernel = suite
    ? undefined
    : counting
      ? await coverageKernel(setupOptions)
      : givenKernel(options.kernel, options.modules, cache, options.say);
  const there = await inspect(cache, suite ?? 'backports');
  const suited =
    there.kernel &&
    there.modules &&
    (there.nic || !options.nic) &&
    (there.tree || !options.drivers) &&
    (there.network || !options.network);
  const complete = there.init && (ownQemu || there.qemu) && (!suite || suited) && (there.rdma || !options.nic);
  // With a kernel and a QEMU of the user's, a compiler is all that is needed, and the host may have one.
  const ownInit = !complete && !suite && ownQemu && (await buildInitOnHost(at.init));
  if (!complete && !ownInit) await setup({ ...options, kernel: suite, qemu: ownQemu === undefined });
  const { qemu, kernel } = await inspect(cache, suite ?? 'backports');
  return {
    release: suite && kernel?.release,
    kernel: ownKernel ?? (await preparedKernel(cache, suite as Suite)),
    qemu: ownQemu ?? privateQemu(at.qemu, qemu?.title ?? 'QEMU'),
    init: path.join(at.init, 'init'),
  };
}

/** `sagrada vm setup`: prepares a guest and finds out whether it can run with KVM. */
export async function prepareGuest(
  options: Omit<SetupOptions, 'kernel'> & { readonly kernel: Suite | 'coverage' },
): Promise<void> {
  const { cache, signal, kernel: wanted } = options;
  if (wanted === 'coverage') {
    await setup({ ...options, kernel: undefined });
    await buildCoverageKernel({ ...options, kernel: undefined });
  } else await setup({ ...options, kernel: wanted });
  const { kernel, qemu, init } = await prepare({ ...options, kernel: wanted, qemu: undefined });
  const accelerator = await chooseAccelerator(undefined, { cache, qemu, kernel, init, signal });
  options.say(accelerator === 'kvm' ? 'KVM works here' : 'KVM does not work here: QEMU will emulate the processor');
}
