/** The registers that were touched: a list for a person, or JSON. */

import { writeFileSync } from 'node:fs';
import type { DeviceReport } from '../machine/vm/device-server.ts';
import { failure } from './failure.ts';

type Report = Pick<DeviceReport, 'devices'>;

/**
 * Every register that was touched; plain storage is the list of what remains to be modelled.
 * @param reports of each guest @param file where JSON goes; without, text goes to standard error
 * @throws UserError when the file cannot be written
 */
export function tellRegisters(reports: readonly Report[], file: string | undefined): void {
  const devices = reports.flatMap((report, guest) =>
    report.devices.map(({ name, registers }) => ({
      ...(reports.length > 1 ? { guest } : {}),
      device: name,
      registers,
    })),
  );
  if (file !== undefined) {
    try {
      writeFileSync(file, `${JSON.stringify(devices, undefined, 2)}\n`);
    } catch (error) {
      throw failure(`--registers ${file}`, error);
    }
    return;
  }
  for (const { device, registers } of devices) {
    const storage = registers.filter(({ kind }) => kind === 'storage').length;
    console.error(`${device}: ${registers.length} registers touched, ${storage} of them plain storage`);
    for (const { name, kind, reads, writes } of registers)
      console.error(`  ${name.padEnd(48)} ${kind.padEnd(8)} ${reads} reads, ${writes} writes`);
  }
}
