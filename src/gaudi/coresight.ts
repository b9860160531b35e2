/** Debug and trace components: what their control and status bits do. Nothing feeds them with trace data yet. */

import { bmon, cti, funnel, romTable, spmu, stm, tmc } from '../../specs/gaudi/registers/coresight.ts';
import type { Clock } from '../sim/clock.ts';
import { ModelError } from '../sim/errors.ts';
import { RegisterBlock } from '../sim/registers.ts';
import type { PlacedBlock } from './cfg.ts';

/** Trace memory controller (Arm TMC TRM): STS, CTL and FFCR. */
const TMC_STS = { READY: 1 << 2, FORMATTER_EMPTY: 1 << 3, EMPTY: 1 << 4 } as const;
const TMC_CAPTURE = 1;
const FFCR_FLUSH = 1 << 6;
const FFCR_STOP_ON_FLUSH = 1 << 12;

export function traceMemory(name: string): PlacedBlock {
  /** Capture has been stopped by a flush (FFCR.StopOnFl), though CTL still enables it. */
  let stopped = false;
  const block: RegisterBlock<typeof tmc.rows> = new RegisterBlock(tmc, name, {
    STS: {
      read: () => {
        const capturing = (block.get('CTL') & TMC_CAPTURE) !== 0 && !stopped;
        // Nothing arrives, so the memory is empty and the formatter has nothing to drain.
        return TMC_STS.FORMATTER_EMPTY | TMC_STS.EMPTY | (capturing ? 0 : TMC_STS.READY);
      },
    },
    CTL: {
      write: (value) => {
        block.set('CTL', value & TMC_CAPTURE);
        stopped = false;
        // Capture begins at the start of the buffer; with nothing to write it stays there.
        if (value & TMC_CAPTURE) {
          block.set('RWP', block.get('DBALO'));
          block.set('RWPHI', block.get('DBAHI'));
        }
      },
    },
    FFCR: {
      write: (value) => {
        // With nothing on the way a flush is over at once, and its bit clear again.
        block.set('FFCR', value & ~FFCR_FLUSH);
        if (value & FFCR_FLUSH && value & FFCR_STOP_ON_FLUSH) stopped = true;
      },
    },
  });
  const reset = () => {
    block.reset();
    stopped = false;
  };
  return { block, reset };
}

const STM_BUSY = 1 << 23;

export function systemTrace(name: string): PlacedBlock {
  const block: RegisterBlock<typeof stm.rows> = new RegisterBlock(stm, name, {
    // BUSY says that trace data is still on its way out: there is none.
    TCSR: { write: (value) => block.set('TCSR', value & ~STM_BUSY) },
  });
  return { block };
}

const PMCR = { ENABLE: 1, CLEAR_EVENTS: 2, CLEAR_CYCLES: 4 } as const;
const CYCLES = 0x8000_0000;
const EVENT_COUNTERS = 0x3f;

/**
 * Counts cycles of the clock of `hertz`. Events of the engine are not counted: as long as it has had no work since a
 * counter was enabled, there were none; then reading the counter is refused.
 * @param work a number that grows with the work of the engine; undefined where the model cannot tell
 */
export function performanceMonitor(
  name: string,
  clock: Clock,
  hertz: () => number,
  work: () => number | undefined,
): PlacedBlock {
  let before: number | undefined;
  let count = 0;
  let since: number | undefined;
  const now = () => (since === undefined ? count : count + Math.floor(((clock.now() - since) * hertz()) / 1e9));
  const update = () => {
    const running = (block.get('PMCR') & PMCR.ENABLE) !== 0 && (block.get('PMCNTENSET') & CYCLES) !== 0;
    if (running === (since !== undefined)) return;
    if (running) since = clock.now();
    else {
      count = now();
      since = undefined;
    }
  };
  const half = (upper: boolean) => ({
    read: () => (upper ? Math.floor(now() / 2 ** 32) : now()) >>> 0,
    write: (value: number) => {
      const old = now();
      const low = old % 2 ** 32;
      count = upper ? value * 2 ** 32 + low : old - low + value;
      if (since !== undefined) since = clock.now();
    },
  });
  const block: RegisterBlock<typeof spmu.rows> = new RegisterBlock(spmu, name, {
    PMEVCNTR: {
      read: (index) => {
        const now = work();
        if (block.get('PMCNTENSET') & (1 << index) && (now === undefined || now !== before)) {
          const type = block.get('PMEVTYPER', index);
          throw new ModelError('unimplemented', `${name}.PMEVCNTR[${index}]`, `count of event ${type}`);
        }
        return block.get('PMEVCNTR', index);
      },
    },
    PMCCNTR_LO: half(false),
    PMCCNTR_HI: half(true),
    PMCNTENSET: {
      write: (value) => {
        if (value & EVENT_COUNTERS) before = work();
        block.set('PMCNTENSET', (block.get('PMCNTENSET') | value) >>> 0);
        update();
      },
    },
    PMCNTENCLR: {
      read: () => block.get('PMCNTENSET'),
      write: (value) => {
        block.set('PMCNTENSET', (block.get('PMCNTENSET') & ~value) >>> 0);
        update();
      },
    },
    PMCR: {
      write: (value) => {
        block.set('PMCR', (value & ~(PMCR.CLEAR_EVENTS | PMCR.CLEAR_CYCLES)) >>> 0);
        update();
        if (value & PMCR.CLEAR_CYCLES) {
          count = 0;
          if (since !== undefined) since = clock.now();
        }
        if (value & PMCR.CLEAR_EVENTS) for (let i = 0; i < 6; i++) block.set('PMEVCNTR', 0, i);
      },
    },
  });
  const reset = () => {
    block.reset();
    count = 0;
    since = undefined;
  };
  return { block, reset };
}

/** Components that are registers and nothing else. */
export const plain = {
  bmon: (name: string): PlacedBlock => ({ block: new RegisterBlock(bmon, name, {}) }),
  cti: (name: string): PlacedBlock => ({ block: new RegisterBlock(cti, name, {}) }),
  funnel: (name: string): PlacedBlock => ({ block: new RegisterBlock(funnel, name, {}) }),
  'rom-table': (name: string): PlacedBlock => ({ block: new RegisterBlock(romTable, name, {}) }),
} as const;
