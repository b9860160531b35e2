/** Finds accelerators (Documentation/ABI/testing/sysfs-driver-habanalabs) and RDMA devices (stable/sysfs-class-infiniband) in sysfs. */

import { existsSync, readdirSync, readFileSync, readlinkSync, realpathSync } from 'node:fs';
import { basename, join } from 'node:path';
import type { Accelerator, Holder, RdmaDevice } from '../driver.ts';

const DRIVER = 'habanalabs';

/**
 * @param sysfs where sysfs is mounted. @param dev where the nodes are.
 * @returns the accelerators bound to the driver, by the number of their node; none when there is no such class.
 */
export function discover(sysfs = '/sys', dev = '/dev/accel'): Accelerator[] {
  const folder = join(sysfs, 'class/accel');
  if (!existsSync(folder)) return [];
  return readdirSync(folder)
    .flatMap((name) => {
      const number = /^accel(\d+)$/.exec(name)?.[1];
      return number === undefined ? [] : [Number(number)];
    })
    .sort((a, b) => a - b)
    .flatMap((number) => {
      const device = join(folder, `accel${number}/device`);
      if (driverOf(device) !== DRIVER) return [];
      return [
        {
          path: join(dev, `accel${number}`),
          controlPath: join(dev, `accel_controlD${number}`),
          pciAddress: basename(realpathSync(device)),
          bridges: bridgesOf(realpathSync(device)),
          sensors: () => sensorsOf(join(sysfs, 'bus/pci/devices', basename(realpathSync(device)))),
          status: () => attribute(join(device, 'status')),
        },
      ];
    });
}

/**
 * @param sysfs where sysfs is mounted. @param dev where the nodes are.
 * @returns the devices of PCI that have verbs, by the number of their node; none when there is no such class.
 */
export function discoverRdma(sysfs = '/sys', dev = '/dev/infiniband'): RdmaDevice[] {
  const folder = join(sysfs, 'class/infiniband_verbs');
  if (!existsSync(folder)) return [];
  return readdirSync(folder)
    .flatMap((name) => {
      const number = /^uverbs(\d+)$/.exec(name)?.[1];
      return number === undefined ? [] : [Number(number)];
    })
    .sort((a, b) => a - b)
    .flatMap((number) => {
      const place = join(folder, `uverbs${number}`);
      const device = join(place, 'device');
      if (!existsSync(device)) return [];
      const pciFolder = realpathSync(device);
      return [
        {
          name: attribute(join(place, 'ibdev')),
          path: join(dev, `uverbs${number}`),
          pciAddress: basename(pciFolder),
          bridges: bridgesOf(pciFolder),
        },
      ];
    });
}

/** A device's folder lies in those of the bridges above it: .../pci0000:00/0000:00:10.0/0000:01:00.0 */
function bridgesOf(folder: string): string[] {
  const names = folder.split('/');
  return names.slice(names.findIndex((name) => /^pci[\da-f]+:[\da-f]{2}$/.test(name)) + 1, -1);
}

/** The hwmon device of one of PCI. */
function sensorsOf(device: string): string | undefined {
  const folder = join(device, 'hwmon');
  if (!existsSync(folder)) return undefined;
  const name = readdirSync(folder).find((entry) => entry.startsWith('hwmon'));
  return name && join(folder, name);
}

function driverOf(device: string): string | undefined {
  try {
    return basename(readlinkSync(join(device, 'driver')));
  } catch {
    return undefined;
  }
}

function attribute(file: string): string {
  return readFileSync(file, 'latin1').trim();
}

/** Programs that have `path` open, from /proc. Those of other users are seen by root only. */
export function holders(path: string, proc = '/proc'): Holder[] {
  return readdirSync(proc)
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => {
      try {
        const folder = join(proc, pid, 'fd');
        if (!readdirSync(folder).some((fd) => linkOf(join(folder, fd)) === path)) return [];
        return [{ pid: Number(pid), command: attribute(join(proc, pid, 'comm')) }];
      } catch {
        return []; // ended meanwhile, or not ours to look at
      }
    });
}

function linkOf(file: string): string | undefined {
  try {
    return readlinkSync(file);
  } catch {
    return undefined;
  }
}
