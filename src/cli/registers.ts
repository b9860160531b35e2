import type { DeviceReport } from '../machine/vm/device-server.ts';

const say = (line: string) => console.error(line);

/** Every register that was touched; plain storage is the list of what remains to be modelled. */
export function printRegisters(report: Pick<DeviceReport, 'devices'>): void {
  for (const { name, registers } of report.devices) {
    const storage = registers.filter(({ kind }) => kind === 'storage').length;
    say(`${name}: ${registers.length} registers touched, ${storage} of them plain storage`);
    for (const { name: register, kind, reads, writes } of registers) {
      say(`  ${register.padEnd(48)} ${kind.padEnd(8)} ${reads} reads, ${writes} writes`);
    }
  }
}
