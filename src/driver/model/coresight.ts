/**
 * Trace and performance units: what the debug interface writes to them and reads. Source: gaudi/gaudi_coresight.c
 * (gaudi_debug_coresight, gaudi_config_*, gaudi_etr_validate_address, gaudi_halt_coresight); registers by the names of Arm's
 * manuals where the driver has numbers.
 */

import { bmon, funnel, spmu, stm, tmc } from '../../../specs/gaudi/registers/coresight.ts';
import { psocGlobalConf } from '../../../specs/gaudi/registers/psoc-global-conf.ts';
import { traceUnits } from '../../../specs/gaudi/trace-units.ts';
import type { Steps } from '../../sim/process.ts';
import {
  hl_debug_params_bmon,
  hl_debug_params_etf,
  hl_debug_params_etr,
  hl_debug_params_spmu,
  hl_debug_params_stm,
} from '../../uapi/habanalabs/debug.ts';
import { negative, refuse } from './errno.ts';
import { type Kernel, MS, poll } from './kernel.ts';
import { USER } from './parser.ts';
import type { PciDevice } from './pci.ts';
import { register } from './registers.ts';

/** Writes to LAR that open a unit's registers (gaudi_coresight.c, CORESIGHT_UNLOCK). */
const UNLOCK = 0xc5ac_ce55;
/** gaudiP.h, CORESIGHT_TIMEOUT_USEC. */
const TIMEOUT = 100 * MS;
const TMC = { FLUSH: 6, STOP_ON_FLUSH: 0x1000, READY: 2 } as const;
const STM = { BUSY: 23, ENABLE: 0x23 } as const;
/** PMCR with the identification that the driver writes along: reset of the counters, stopped, running. */
const PMCR = { RESET: 0x4101_3046, STOPPED: 0x4101_3040, RUNNING: 0x4101_3041 } as const;
/** gaudi_coresight.c, SPMU_MAX_COUNTERS; with fewer than three values nothing is counted. */
const COUNTERS = { LEAST: 3, MOST: 6 } as const;
/** gaudi_masks.h, PSOC_ETR_AXICTL_*: not secure, and bursts that the memory takes. */
const AXICTL = { NOT_SECURE: 0x2, BURST: 0x700 } as const;
/** Addresses of the trace buffer have 50 bits, of which ten are in a register of the chip. */
const TRACE_ADDR = { BITS: 50n, MSB: 40n, MASK: 0x3ffn } as const;

export interface TraceRequest {
  /** Number of the unit among those of its kind. */
  readonly unit: number;
  readonly enable: boolean;
  /** Parameters, as many bytes as the operation has; undefined where the program gave none. */
  readonly input: Uint8Array | undefined;
  /** Where the answer goes, undefined where the program has no room for one. */
  readonly output: Uint8Array | undefined;
}

export interface TracePorts {
  readonly kernel: Kernel;
  readonly card: PciDevice;
  /** Of the timestamps, MHz; 0 where it is not known. */
  frequency(): number;
  log(level: 'err', text: string): void;
}

/** Bytes of parameters, by operation (hl_debug_struct_size). */
export const parameterSize = {
  ETR: hl_debug_params_etr.size,
  ETF: hl_debug_params_etf.size,
  STM: hl_debug_params_stm.size,
  FUNNEL: 0,
  BMON: hl_debug_params_bmon.size,
  SPMU: hl_debug_params_spmu.size,
  TIMESTAMP: 0,
} as const;

export type TraceOperation = keyof typeof parameterSize;

type Row<B extends { readonly rows: object }> = keyof B['rows'];

export class TraceUnits {
  readonly #ports: TracePorts;

  constructor(ports: TracePorts) {
    this.#ports = ports;
  }

  /** gaudi_debug_coresight. @throws SystemError EINVAL, EFAULT where a unit does not answer */
  *configure(operation: TraceOperation, request: TraceRequest): Steps {
    switch (operation) {
      case 'STM':
        return yield* this.#systemTrace(request);
      case 'ETF':
        return yield* this.#fifo(request);
      case 'ETR':
        return yield* this.#router(request);
      case 'FUNNEL':
        return this.#funnel(request);
      case 'BMON':
        return this.#busMonitor(request);
      case 'SPMU':
        return this.#performance(request);
      // it was a unit once; the driver still takes the operation
      case 'TIMESTAMP':
    }
  }

  /** gaudi_halt_coresight: debug mode ends. Others than FIFOs and the router go on. */
  *halt(): Steps {
    const off = { enable: false, input: undefined, output: undefined };
    for (let unit = 0; unit < traceUnits.ETF.length; unit++) yield* this.#fifo({ ...off, unit });
    yield* this.#router({ ...off, unit: 0 });
  }

  *#systemTrace({ unit, enable, input }: TraceRequest): Steps {
    const write = this.#writer(stm, this.#find('STM', unit));
    write('LAR', UNLOCK);
    if (enable) {
      const { he_mask, sp_mask, id, frequency } = hl_debug_params_stm.decode(input ?? refuse('EINVAL'));
      write('TCSR', 0x8_0004);
      write('HEMCR', 7);
      write('HEBSR', 0);
      write('HEER', lower(he_mask));
      write('HEBSR', 1);
      write('HEER', upper(he_mask));
      write('SPTRIGCSR', 0x10);
      write('SPSCR', 0);
      write('SPER', lower(sp_mask));
      write('ITATBID', id);
      write('HEMASTR', 0x80);
      write('TSFREQR', this.#ports.frequency() || frequency);
      write('SYNCR', 0x1f00);
      // those of the DMA channels would not write otherwise (a defect of the chip, says the driver)
      if (/^DMA_CH_/.test(traceUnits.STM[unit] as string)) {
        write('SPOVERRIDER', 0xffff_8005);
        write('SPMOVERRIDER', 0);
      }
      write('TCSR', STM.ENABLE | (id << 16));
      return;
    }
    write('TCSR', 4);
    write('HEMCR', 0);
    write('HEBSR', 1);
    write('HEER', 0);
    write('HETER', 0);
    write('HEBSR', 0);
    write('SPTER', 0);
    write('SPER', 0);
    write('HEMASTR', 0x80);
    write('SPTRIGCSR', 0);
    write('SPSCR', 0);
    write('SPMSCR', 0);
    write('TSFREQR', 0);
    const status = register(traceUnits.STM[unit] as string, stm.rows.TCSR);
    if (!(yield* this.#settled(status, STM.BUSY, false))) this.#late('disable STM');
    write('TCSR', 4);
  }

  *#fifo({ unit, enable, input }: TraceRequest): Steps {
    const block = this.#find('ETF', unit);
    if (!(yield* this.#stopped(block, 'ETF', enable))) return;
    const write = this.#writer(tmc, block);
    if (enable) {
      const { sink_mode } = hl_debug_params_etf.decode(input ?? refuse('EINVAL'));
      write('BUFWM', 0x3ffc);
      write('MODE', sink_mode);
      write('FFCR', 0x4001);
      write('PSCR', 0xa);
      write('CTL', 1);
      return;
    }
    write('BUFWM', 0);
    write('MODE', 0);
    write('FFCR', 0);
  }

  *#router({ enable, input, output }: TraceRequest): Steps {
    const { card } = this.#ports;
    const block = 'PSOC_ETR';
    if (!(yield* this.#stopped(block, 'ETR', enable))) return;
    const write = this.#writer(tmc, block);
    const msb = register('PSOC_GLOBAL_CONF', psocGlobalConf.rows.TRACE_ADDR);
    if (enable) {
      const { buffer_address, buffer_size, sink_mode } = hl_debug_params_etr.decode(input ?? refuse('EINVAL'));
      const host = this.#checkBuffer(buffer_address, buffer_size);
      card.write(msb, Number((buffer_address >> TRACE_ADDR.MSB) & TRACE_ADDR.MASK));
      write('BUFWM', 0x3ffc);
      write('RSZ', lower(buffer_size));
      write('MODE', sink_mode);
      write('AXICTL', host ? AXICTL.NOT_SECURE : AXICTL.NOT_SECURE | AXICTL.BURST);
      write('DBALO', lower(buffer_address));
      write('DBAHI', upper(buffer_address));
      write('FFCR', 3);
      write('PSCR', 0xa);
      write('CTL', 1);
      return;
    }
    write('BUFWM', 0);
    write('RSZ', 0x400);
    write('DBALO', 0);
    write('DBAHI', 0);
    write('PSCR', 0);
    write('MODE', 0);
    write('FFCR', 0);
    if (!output || output.length < 8) return;
    const at = (row: Row<typeof tmc>) => BigInt(card.read(register(block, tmc.rows[row])));
    const pointer = at('RWP') | ((at('RWPHI') & 0xffn) << 32n);
    put(output, 0, pointer | ((BigInt(card.read(msb)) & TRACE_ADDR.MASK) << TRACE_ADDR.MSB));
  }

  #funnel({ unit, enable }: TraceRequest): void {
    const write = this.#writer(funnel, this.#find('FUNNEL', unit));
    write('LAR', UNLOCK);
    write('CTRL', enable ? 0x33f : 0);
  }

  #busMonitor({ unit, enable, input }: TraceRequest): void {
    const write = this.#writer(bmon, this.#find('BMON', unit));
    write('RESET', 1);
    const p = enable ? hl_debug_params_bmon.decode(input ?? refuse('EINVAL')) : undefined;
    const wide = (name: 'START_ADDR0' | 'ADDR_MASK0' | 'START_ADDR1' | 'ADDR_MASK1', value: bigint) => {
      write(`${name}_LO`, lower(value));
      write(`${name}_HI`, upper(value));
    };
    const anything = 0xffff_ffff_ffff_ffffn;
    wide('START_ADDR0', p ? p.start_addr0 : 0n);
    wide('ADDR_MASK0', p ? p.addr_mask0 : anything);
    wide('START_ADDR1', p ? p.start_addr1 : 0n);
    wide('ADDR_MASK1', p ? p.addr_mask1 : anything);
    write('ATTR_MATCH', p ? 0 : 0xffff_ffff);
    write('ATTR_MASK', p ? 0 : 0x1_070f);
    write('BANDWIDTH_WINDOW', p ? p.bw_win : 0);
    write('WINDOW_CAPTURE', p ? p.win_capture : 0xffff);
    const source = p ? p.id << 12 : 0;
    write('TRACE_HEADER_0', 0xa00_0b00 | source);
    write('TRACE_HEADER_1', 0xa00_0a00 | source);
    write('TRACE_HEADER_2', 0xa00_0c00 | source);
    write('CTRL', p ? 0x11 : 1);
    write('WINDOW_EN', p ? 1 : 0);
    if (!p) write('RESET', 0);
  }

  #performance({ unit, enable, input, output }: TraceRequest): void {
    const { card } = this.#ports;
    const block = this.#find('SPMU', unit);
    const write = this.#writer(spmu, block);
    const { rows } = spmu;
    if (enable) {
      const { event_types, event_types_num } = hl_debug_params_spmu.decode(input ?? refuse('EINVAL'));
      if (event_types_num < COUNTERS.LEAST) this.#invalid('not enough event types values for SPMU enable');
      if (event_types_num > COUNTERS.MOST) this.#invalid('too many event types values for SPMU enable');
      write('PMCR', PMCR.RESET);
      write('PMCR', PMCR.STOPPED);
      for (let i = 0; i < event_types_num; i++)
        card.write(register(block, rows.PMEVTYPER, i), lower(event_types[i] as bigint));
      write('PMCR', PMCR.RUNNING);
      write('PMCNTENSET', 0x8000_003f);
      return;
    }
    if (!output) refuse('EINVAL');
    // the events, then the overflows, then the cycles
    const values = Math.floor(output.length / 8);
    const events = values - 2;
    if (values < COUNTERS.LEAST) this.#invalid('not enough values for SPMU disable');
    if (events > COUNTERS.MOST) this.#invalid('too many events values for SPMU disable');
    write('PMCR', PMCR.STOPPED);
    for (let i = 0; i < events; i++) put(output, i, BigInt(card.read(register(block, rows.PMEVCNTR, i))));
    put(output, events, BigInt(card.read(register(block, rows.PMOVSSET))));
    const cycles = BigInt(card.read(register(block, rows.PMCCNTR_HI))) << 32n;
    put(output, events + 1, cycles | BigInt(card.read(register(block, rows.PMCCNTR_LO))));
    write('PMOVSSET', 0);
  }

  /** gaudi_etr_validate_address. @returns whether it is memory of the host. @throws SystemError EINVAL */
  #checkBuffer(address: bigint, size: bigint): boolean {
    if (size === 0n) this.#invalid('ETR buffer size should be bigger than 0');
    const { log } = this.#ports;
    const invalid = () => this.#invalid('ETR buffer address is invalid');
    if (address >> TRACE_ADDR.BITS !== 0n) {
      log('err', "ETR buffer address shouldn't exceed 50 bits");
      invalid();
    }
    const end = address + size;
    if (end >= 2n ** 64n) {
      log('err', `ETR buffer size ${size} overflow`);
      invalid();
    }
    const inside = (from: bigint, to: bigint) => address >= from && end <= to;
    if (inside(USER.VIRTUAL, USER.VIRTUAL_END)) return true;
    if (!inside(USER.DRAM, USER.DRAM_END) && !inside(USER.SRAM, USER.SRAM_END)) invalid();
    return false;
  }

  /** Ends a capture before it is set up anew. @returns false when it is as it should be already */
  *#stopped(block: string, kind: 'ETF' | 'ETR', enable: boolean): Steps<boolean> {
    const { card } = this.#ports;
    const at = (row: Row<typeof tmc>) => register(block, tmc.rows[row]);
    card.write(at('LAR'), UNLOCK);
    if ((card.read(at('CTL')) !== 0) === enable) return false;
    const control = card.read(at('FFCR')) | TMC.STOP_ON_FLUSH;
    card.write(at('FFCR'), control);
    card.write(at('FFCR'), control | (1 << TMC.FLUSH));
    const what = `${enable ? 'enable' : 'disable'} ${kind}`;
    if (!(yield* this.#settled(at('FFCR'), TMC.FLUSH, false))) this.#late(what);
    if (!(yield* this.#settled(at('STS'), TMC.READY, true))) this.#late(what);
    card.write(at('CTL'), 0);
    return true;
  }

  /** gaudi_coresight_timeout. @returns false when the bit has not become `up` in time */
  *#settled(offset: number, bit: number, up: boolean): Steps<boolean> {
    const { kernel, card, log } = this.#ports;
    if (yield* poll(kernel, () => ((card.read(offset) & (1 << bit)) !== 0) === up, TIMEOUT)) return true;
    log(
      'err',
      `Timeout while waiting for coresight, addr: 0x${offset.toString(16)}, position: ${bit}, up: ${Number(up)}`,
    );
    return false;
  }

  #find(kind: keyof typeof traceUnits, unit: number): string {
    return traceUnits[kind][unit] ?? this.#invalid(`Invalid register index in ${kind}`);
  }

  #writer<B extends typeof stm | typeof tmc | typeof funnel | typeof bmon | typeof spmu>(table: B, block: string) {
    const rows = table.rows as Readonly<Record<string, typeof stm.rows.LAR>>;
    return (row: Row<B> & string, value: number) =>
      this.#ports.card.write(register(block, rows[row] as typeof stm.rows.LAR), value);
  }

  #late(what: string): never {
    this.#ports.log('err', `Failed to ${what} on timeout, error ${negative('EFAULT')}`);
    refuse('EFAULT');
  }

  #invalid(text: string): never {
    this.#ports.log('err', text);
    refuse('EINVAL');
  }
}

function put(bytes: Uint8Array, index: number, value: bigint): void {
  new DataView(bytes.buffer, bytes.byteOffset).setBigUint64(index * 8, value, true);
}

function lower(value: bigint): number {
  return Number(value & 0xffff_ffffn);
}

function upper(value: bigint): number {
  return Number((value >> 32n) & 0xffff_ffffn);
}
