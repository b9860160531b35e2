/**
 * Names for the assembler, made from the chip's rows: memories, registers of blocks (`DMA0_CORE.COMMIT`), the offsets
 * that WREG_32 and WREG_BULK take (`DMA_CORE.COMMIT`: within the engine's own 64 KiB), sync objects and monitors by
 * corner of the chip (`SOB_E_N(12)`, `MON_ARM_W_S(3)`).
 */

import { type SymbolRow, SymbolTable, symbol } from '../src/isa/symbols.ts';
import type { Rows } from '../src/sim/registers.ts';
import { addressMap } from './gaudi/address-map.ts';
import { type BlockInstance, blocks, instances, type RegisterTable } from './gaudi/blocks.ts';
import { dmaCore } from './gaudi/registers/dma-core.ts';
import { mmeCtrl } from './gaudi/registers/mme.ts';
import { pcieCore } from './gaudi/registers/pcie.ts';
import { qmanRegisters } from './gaudi/registers/qman.ts';
import { syncManager } from './gaudi/registers/sync-manager.ts';
import { tpcCfg } from './gaudi/registers/tpc-cfg.ts';

interface Registers {
  readonly source: string;
  readonly rows: Rows;
}

/** Blocks that command streams have business with. */
const tables: Partial<Record<RegisterTable, Registers>> = {
  'dma-core': dmaCore,
  'mme-ctrl': mmeCtrl,
  'pcie-core': pcieCore,
  qman: qmanRegisters,
  'sync-manager': syncManager,
  'tpc-cfg': tpcCfg,
};

const memories = {
  HBM_BASE: 'first byte of HBM',
  SRAM_BASE: 'first byte of SRAM',
  CFG_BASE: 'first register',
  HOST_BASE: 'bus address 0 of the PCIe host, as the chip sees it',
  VIRTUAL_BASE: 'first address that the driver maps through the MMU',
} as const;

type Symbols = Record<string, SymbolRow>;

export function gaudiSymbols(): SymbolTable {
  const symbols: Symbols = {};
  for (const [name, doc] of Object.entries(memories)) {
    const source = 'habanalabs include/gaudi/gaudi.h';
    symbols[name] = symbol(addressMap[name as keyof typeof memories], doc, { source });
  }
  const placed = blocks.flatMap(instances).flatMap((block) => {
    const spec = tables[block.registers];
    return spec ? [{ block, spec }] : [];
  });
  for (const { block } of placed) if (block.registers === 'sync-manager') addCorner(symbols, block);
  for (const { block, spec } of placed) addRegisters(symbols, block.name, addressMap.CFG_BASE + block.base, spec);
  for (const { block, spec } of placed) {
    const engine = /^(DMA|MME|TPC)0_(\w+)$/.exec(block.name);
    if (engine) addRegisters(symbols, `${engine[1]}_${engine[2]}`, block.base & 0xffff, spec);
  }
  return new SymbolTable(symbols);
}

function addRegisters(symbols: Symbols, block: string, base: number, spec: Registers): void {
  for (const [name, row] of Object.entries(spec.rows)) {
    const { doc, count, stride } = row;
    symbols[`${block}.${name}`] = symbol(base + row.offset, doc, { source: spec.source, count, stride });
  }
}

/** `SOB_E_N(i)` for SYNC_MNGR_OBJS_E_N.SOB_OBJ(i), and likewise its monitors. */
function addCorner(symbols: Symbols, block: BlockInstance): void {
  const corner = block.name.slice(-'E_N'.length);
  for (const [name, { offset, doc, count, stride }] of Object.entries(syncManager.rows)) {
    const short = `${name.replace('SOB_OBJ', 'SOB')}_${corner}`;
    symbols[short] = symbol(addressMap.CFG_BASE + block.base + offset, doc, {
      source: syncManager.source,
      count,
      stride,
    });
  }
}
