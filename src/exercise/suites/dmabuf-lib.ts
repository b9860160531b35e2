/** What the tests of imports share. */

import { type Driver, O_CLOEXEC, O_RDONLY, O_RDWR, SystemError } from '../../driver/driver.ts';
import { CommandStream, type Place } from '../../runtime/command-stream.ts';
import type { Device } from '../../runtime/device.ts';
import type { DmaBuf } from '../../runtime/memory.ts';
import { type AttachOptions, type Import, Importer } from '../../runtime/peer.ts';
import type { TestContext } from '../suite.ts';
import { run } from './lib.ts';

/** Queues of the DMA engines that are for the way to the chip, and from it. */
export const DOWN = 'DMA_0_0';
export const UP = 'DMA_1_0';

/** The PCI address of a card. */
export function addressOf(t: TestContext, index: number): string {
  return t.target.driver.accelerators()[index]?.pciAddress ?? '';
}

/** Exports memory of a card. @param offset bytes from the start of what belongs to user space */
export function exported(t: TestContext, device: Device, size: number, offset = 0): DmaBuf {
  return t.use(device.exportDmaBuf(device.dram.base + BigInt(offset), size));
}

export function importerOf(t: TestContext): Importer {
  return t.use(new Importer(t.target.driver));
}

/** Attaches a card to a dma-buf, with an importer of its own. */
export function attached(
  t: TestContext,
  buffer: { readonly fd: number },
  index = 1,
  options: AttachOptions = {},
): Import {
  return t.use(importerOf(t).attach(buffer.fd, addressOf(t, index), options));
}

/** Where a BAR of a card begins on the bus (Documentation/PCI/sysfs-pci.rst, `resource`). */
export function barAddress(driver: Driver, pciAddress: string, bar: number): bigint {
  const fd = driver.open(`/sys/bus/pci/devices/${pciAddress}/resource`, O_RDONLY);
  try {
    const bytes = new Uint8Array(4096);
    const length = driver.read(fd, bytes);
    const lines = new TextDecoder().decode(bytes.subarray(0, length)).split('\n');
    return BigInt(lines[bar]?.split(' ')[0] ?? 0);
  } finally {
    driver.close(fd);
  }
}

/** Device memory of a card, filled with `bytes` by its own DMA. */
export async function write(t: TestContext, device: Device, to: Place, bytes: Uint8Array): Promise<void> {
  using host = device.allocHost(bytes.length);
  host.bytes.set(bytes);
  await run(t, DOWN, new CommandStream().dma(to, host, bytes.length), device);
}

/** What is in device memory of a card, read by its own DMA. */
export async function read(t: TestContext, device: Device, from: Place, length: number): Promise<Uint8Array> {
  using host = device.allocHost(length);
  await run(t, UP, new CommandStream().dma(host, from, length), device);
  return host.bytes.slice();
}

/** Tries again for a minute while the call ends with one of these errnos, which something in the background will change. */
export function eventually<T>(t: TestContext, codes: readonly string[], call: () => T): T {
  const { driver } = t.target;
  for (const end = driver.now() + 60e9; ; ) {
    try {
      return call();
    } catch (error) {
      const { code } =
        (error as Error).cause instanceof SystemError
          ? (error as Error & { cause: SystemError }).cause
          : (error as NodeJS.ErrnoException);
      if (!codes.includes(code ?? '') || driver.now() >= end) throw error;
      driver.sleep(5e6);
    }
  }
}

/** An import of the first card's memory for the second, with pages. */
export function held(t: TestContext, size: number): Import {
  const buffer = exported(t, t.open(0), size);
  const one = importerOf(t).attach(buffer.fd, addressOf(t, 1));
  one.map({ pages: true });
  return one;
}

/** Whether a card's compute node can be opened, once the driver has cleaned up. */
export function opens(t: TestContext, index: number): void {
  eventually(t, ['EBUSY', 'EAGAIN'], () => t.target.driver.close(openNode(t.target.driver, index)));
}

export function openNode(driver: Driver, index: number): number {
  return driver.open(driver.accelerators()[index]?.path ?? '', O_RDWR | O_CLOEXEC);
}
