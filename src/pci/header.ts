/**
 * The two configuration headers: type 0 of a function with BARs, type 1 of a bridge. Register names are those of
 * linux/pci_regs.h without PCI_; sections are of PCI Express Base 5.0.
 */

import { activeRegister, ConfigBlock, register } from './config-space.ts';
import type { Bar } from './function.ts';

export interface Ids {
  readonly vendor: number;
  readonly device: number;
  readonly revision: number;
  /** 24 bits: base class, sub-class, programming interface. */
  readonly classCode: number;
  readonly subsystemVendor?: number;
  readonly subsystem?: number;
}

/** COMMAND (7.5.1.1.3). */
export const COMMAND = { IO: 0x1, MEMORY: 0x2, MASTER: 0x4, PARITY: 0x40, SERR: 0x100, INTX_DISABLE: 0x400 } as const;

/** STATUS (7.5.1.1.4). */
export const STATUS = { INTERRUPT: 0x8, CAP_LIST: 0x10, REC_MASTER_ABORT: 0x2000 } as const;

/** Error bits of STATUS and SEC_STATUS, cleared by writing one: parity, aborts, SERR. */
const ERROR_BITS = 0xf900;

export const BRIDGE_CTL_BUS_RESET = 0x40;

const BAR_IO = 0x1;
const BAR_64 = 0x4;
const BAR_PREFETCH = 0x8;

interface BarFacts {
  readonly reset: number;
  readonly rw: number;
}

/** Bits of the six BAR registers: type bits are read-only, address bits below the size are zero (7.5.1.2.1). */
function barRegisters(bars: readonly Bar[]): readonly BarFacts[] {
  const facts: (BarFacts | undefined)[] = new Array(6).fill(undefined);
  const take = (index: number, f: BarFacts) => {
    if (index > 5 || facts[index]) throw new Error(`BAR${index}: taken, or beyond the last`);
    facts[index] = f;
  };
  for (const bar of bars) {
    const size = bar.region.size;
    const least = bar.kind === 'io' ? 4 : 16;
    const most = bar.kind === 'io' ? 256 : bar.kind === 'memory32' ? 2 ** 31 : 2 ** 52;
    if (!Number.isInteger(Math.log2(size)) || size < least || size > most) {
      throw new Error(`BAR${bar.index}: ${size} bytes is no size of a ${bar.kind} BAR`);
    }
    const low = size >= 2 ** 32 ? 0 : 2 ** 32 - size;
    if (bar.kind === 'io') take(bar.index, { reset: BAR_IO, rw: low });
    else {
      const type = (bar.kind === 'memory64' ? BAR_64 : 0) | (bar.prefetchable ? BAR_PREFETCH : 0);
      take(bar.index, { reset: type, rw: low });
      if (bar.kind === 'memory64') {
        take(bar.index + 1, { reset: 0, rw: size > 2 ** 32 ? 2 ** 32 - size / 2 ** 32 : 0xffff_ffff });
      }
    }
  }
  return facts.map((f) => f ?? { reset: 0, rw: 0 });
}

export interface Type0Options {
  readonly ids: Ids;
  readonly bars: readonly Bar[];
  /** 0 none, 1 to 4 INTA to INTD. */
  readonly interruptPin: number;
  readonly multiFunction: boolean;
  /** Offset of the first capability. */
  readonly firstCapability: number;
}

/** Type 0 (7.5.1.2). */
export function type0Header(options: Type0Options) {
  const { ids, bars } = options;
  const bar = barRegisters(bars);
  const io = bars.some((b) => b.kind === 'io') ? COMMAND.IO : 0;
  const memory = bars.some((b) => b.kind !== 'io') ? COMMAND.MEMORY : 0;
  return new ConfigBlock(
    'header',
    { size: 0x40, source: 'PCI Express Base 5.0, 7.5.1.1 and 7.5.1.2; linux/pci_regs.h' },
    {
      ...commonRows(ids, options.firstCapability, io | memory, options.multiFunction ? 0x80 : 0),
      BASE_ADDRESS_0: register(4, 0x10, 'Base Address 0', bar[0]),
      BASE_ADDRESS_1: register(4, 0x14, 'Base Address 1', bar[1]),
      BASE_ADDRESS_2: register(4, 0x18, 'Base Address 2', bar[2]),
      BASE_ADDRESS_3: register(4, 0x1c, 'Base Address 3', bar[3]),
      BASE_ADDRESS_4: register(4, 0x20, 'Base Address 4', bar[4]),
      BASE_ADDRESS_5: register(4, 0x24, 'Base Address 5', bar[5]),
      SUBSYSTEM_VENDOR_ID: register(2, 0x2c, 'Subsystem Vendor ID', { reset: ids.subsystemVendor ?? 0 }),
      SUBSYSTEM_ID: register(2, 0x2e, 'Subsystem ID', { reset: ids.subsystem ?? 0 }),
      INTERRUPT_LINE: register(1, 0x3c, 'Interrupt Line: for software, the function does not look at it', { rw: 0xff }),
      INTERRUPT_PIN: register(1, 0x3d, 'Interrupt Pin: 0 none, 1 to 4 INTA to INTD', { reset: options.interruptPin }),
    },
    {},
  );
}
export type Type0Header = ReturnType<typeof type0Header>;

/** Type 1 (7.5.1.3). `busReset` is called when software sets and when it clears Secondary Bus Reset. */
export function type1Header(ids: Ids, firstCapability: number, busReset: (asserted: boolean) => void) {
  return new ConfigBlock(
    'bridge header',
    { size: 0x40, source: 'PCI Express Base 5.0, 7.5.1.1 and 7.5.1.3; linux/pci_regs.h' },
    {
      ...commonRows(ids, firstCapability, COMMAND.IO | COMMAND.MEMORY, 1),
      PRIMARY_BUS: register(1, 0x18, 'Primary Bus Number', { rw: 0xff }),
      SECONDARY_BUS: register(1, 0x19, 'Secondary Bus Number', { rw: 0xff }),
      SUBORDINATE_BUS: register(1, 0x1a, 'Subordinate Bus Number', { rw: 0xff }),
      IO_BASE: register(1, 0x1c, 'I/O Base: address bits 15:12; 32-bit', { reset: 1, rw: 0xf0 }),
      IO_LIMIT: register(1, 0x1d, 'I/O Limit', { reset: 1, rw: 0xf0 }),
      SEC_STATUS: register(2, 0x1e, 'Secondary Status', { rw1c: ERROR_BITS }),
      MEMORY_BASE: register(2, 0x20, 'Memory Base: address bits 31:20', { rw: 0xfff0 }),
      MEMORY_LIMIT: register(2, 0x22, 'Memory Limit', { rw: 0xfff0 }),
      PREF_MEMORY_BASE: register(2, 0x24, 'Prefetchable Memory Base; 64-bit', { reset: 1, rw: 0xfff0 }),
      PREF_MEMORY_LIMIT: register(2, 0x26, 'Prefetchable Memory Limit', { reset: 1, rw: 0xfff0 }),
      PREF_BASE_UPPER32: register(4, 0x28, 'Prefetchable Base, upper half', { rw: 0xffff_ffff }),
      PREF_LIMIT_UPPER32: register(4, 0x2c, 'Prefetchable Limit, upper half', { rw: 0xffff_ffff }),
      IO_BASE_UPPER16: register(2, 0x30, 'I/O Base, upper half', { rw: 0xffff }),
      IO_LIMIT_UPPER16: register(2, 0x32, 'I/O Limit, upper half', { rw: 0xffff }),
      INTERRUPT_LINE: register(1, 0x3c, 'Interrupt Line', { rw: 0xff }),
      INTERRUPT_PIN: register(1, 0x3d, 'Interrupt Pin', {}),
      BRIDGE_CONTROL: activeRegister(2, 0x3e, 'Bridge Control: bit 6 resets everything below', { rw: 0x5f }),
    },
    {
      BRIDGE_CONTROL: {
        written(value, before) {
          if ((value ^ before) & BRIDGE_CTL_BUS_RESET) busReset((value & BRIDGE_CTL_BUS_RESET) !== 0);
        },
      },
    },
  );
}

function commonRows(ids: Ids, firstCapability: number, spaces: number, headerType: number) {
  return {
    VENDOR_ID: register(2, 0x00, 'Vendor ID', { reset: ids.vendor }),
    DEVICE_ID: register(2, 0x02, 'Device ID', { reset: ids.device }),
    COMMAND: register(2, 0x04, 'Command: I/O and memory decode, bus master, INTx disable', {
      rw: spaces | COMMAND.MASTER | COMMAND.PARITY | COMMAND.SERR | COMMAND.INTX_DISABLE,
    }),
    STATUS: register(2, 0x06, 'Status: INTx asserted, capability list, errors', {
      reset: firstCapability === 0 ? 0 : STATUS.CAP_LIST,
      rw1c: ERROR_BITS,
    }),
    REVISION_ID: register(1, 0x08, 'Revision ID', { reset: ids.revision }),
    CLASS_PROG: register(1, 0x09, 'Programming interface', { reset: ids.classCode & 0xff }),
    CLASS_DEVICE: register(2, 0x0a, 'Class and sub-class', { reset: ids.classCode >>> 8 }),
    CACHE_LINE_SIZE: register(1, 0x0c, 'Cache Line Size: without effect', { rw: 0xff }),
    LATENCY_TIMER: register(1, 0x0d, 'Latency Timer: zero on PCI Express'),
    HEADER_TYPE: register(1, 0x0e, 'Header Type; bit 7: multi-function', { reset: headerType }),
    CAPABILITY_LIST: register(1, 0x34, 'Offset of the first capability', { reset: firstCapability }),
  } as const;
}

/** Where the host has put the BAR, decoded or not: the register's address bits. */
export function barValue(header: Type0Header, bar: Bar): number {
  const at = (i: number) => header.get(`BASE_ADDRESS_${i}` as 'BASE_ADDRESS_0');
  if (bar.kind === 'io') return at(bar.index) - (at(bar.index) % 4);
  const low = at(bar.index) - (at(bar.index) % 16);
  return bar.kind === 'memory32' ? low : at(bar.index + 1) * 2 ** 32 + low;
}
