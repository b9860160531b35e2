/** What the tests under the real drivers share: a C program of ours, built against Debian's headers of verbs, and its output. */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import path from 'node:path';
import { parts } from '../../src/machine/vm/cache-parts.ts';
import { setup } from '../../src/machine/vm/setup.ts';
import { bootVm, type Vm, type VmOptions } from '../../src/machine/vm/vm.ts';
import { cacheFolder } from '../../src/os/cache.ts';

/** Boots a machine as a user would. */
export function boot(machine: string, options: Partial<VmOptions> = {}): Promise<Vm> {
  return bootVm({ machine, kernel: 'backports', cache: cacheFolder(), say: () => {}, ...options });
}

/** What a command says; it must succeed. */
export async function output(vm: Vm, command: readonly string[], expected = 0): Promise<string> {
  const out: Buffer[] = [];
  const take = (data: Buffer) => void out.push(Buffer.from(data));
  const status = await vm.run(command, { onStdout: take, onStderr: take });
  const text = Buffer.concat(out).toString();
  assert.equal(status, expected, text);
  return text;
}

/** Lines of a command's output. */
export async function lines(vm: Vm, command: readonly string[], expected = 0): Promise<string[]> {
  return (await output(vm, command, expected)).trim().split('\n');
}

/** The program that moves bytes between the NIC and a card (gaudi-rdma.c), as a guest finds it. */
export class GaudiRdma implements Disposable {
  /** Command to which a task is added. */
  readonly command: readonly string[];
  readonly #folder: string;

  private constructor(folder: string) {
    this.#folder = folder;
    this.command = ['rdma-run', path.join(folder, 'gaudi-rdma')];
  }

  /** @returns undefined where the host has no C compiler */
  static async build(): Promise<GaudiRdma | undefined> {
    if (spawnSync('cc', ['--version']).status !== 0) return undefined;
    const cache = cacheFolder();
    await setup({ cache, kernel: 'backports', nic: true, say: () => {} });
    const root = path.join(parts(cache).rdma, 'root');
    // /tmp of the guest is its own.
    const folder = mkdtempSync(path.join(process.env.XDG_RUNTIME_DIR ?? '/var/tmp', 'sagrada-'));
    const built = spawnSync(
      'cc',
      [
        ...['-O2', '-Wall', '-Wextra', '-Werror', '-o', path.join(folder, 'gaudi-rdma')],
        path.join(import.meta.dirname, 'gaudi-rdma.c'),
        ...['-I', path.join(root, 'usr/include'), '-idirafter', path.join(parts(cache).uapi, 'usr/include')],
        ...['-L', path.join(root, 'usr/lib/x86_64-linux-gnu'), '-l:libibverbs.so.1', '-l:libefa.so.1'],
        // The C library of the tree is newer than that of the host.
        '-Wl,--unresolved-symbols=ignore-in-shared-libs',
      ],
      { encoding: 'utf8' },
    );
    assert.equal(built.status, 0, built.stderr);
    return new GaudiRdma(folder);
  }

  [Symbol.dispose](): void {
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
