/**
 * What root reads and writes of a card in debugfs, by address. Source: common/debugfs.c (hl_access_mem, device_va_to_pa,
 * hl_dma_size_write), common/device.c (hl_access_dev_mem), gaudi.c (gaudi_debugfs_read_dma, gaudi_set_pci_memory_regions).
 */

import { addressMap } from '../../../../specs/gaudi/address-map.ts';
import { COMMIT, dmaCore, PROT, STS0 } from '../../../../specs/gaudi/registers/dma-core.ts';
import { qmanRegisters } from '../../../../specs/gaudi/registers/qman.ts';
import type { Steps } from '../../../sim/process.ts';
import { gaudi_engine_id } from '../../../uapi/habanalabs/gaudi.ts';
import type { Card } from '../card.ts';
import { negative, refuse } from '../errno.ts';
import { poll, SECOND } from '../kernel.ts';
import { USER } from '../parser.ts';
import { register } from '../registers.ts';

const HOST = BigInt(addressMap.HOST_BASE);
const HOST_END = HOST + BigInt(addressMap.HOST_SIZE);
const CFG = BigInt(addressMap.CFG_BASE);
const REGISTERS = { from: CFG, end: CFG + BigInt(addressMap.CFG_SIZE) } as const;
/** A region that the driver knows of, and does not reach (PCI_REGION_SP_SRAM). */
const SCRATCHPAD = {
  from: BigInt(addressMap.PSOC_SCRATCHPAD_BASE),
  end: BigInt(addressMap.PSOC_SCRATCHPAD_BASE + addressMap.PSOC_SCRATCHPAD_SIZE),
} as const;
const SRAM = {
  from: BigInt(addressMap.SRAM_BASE),
  end: BigInt(addressMap.SRAM_BASE) + BigInt(addressMap.SRAM_SIZE),
} as const;
/** The largest that is read at once, and of that the engine's piece. */
const LARGEST = 128 * 1024 * 1024;
const PIECE = 2 * 1024 * 1024;

const shown = (address: bigint) => `0x${address.toString(16)}`;

/** What is at a device address, 4 or 8 bytes, is read into `bytes` or becomes them. @throws SystemError EINVAL, EFAULT */
export function access(card: Card, address: bigint, bytes: Uint8Array, way: 'read' | 'write'): void {
  const size = BigInt(bytes.length);
  const programs = address >= USER.VIRTUAL && address < USER.VIRTUAL_END;
  const at = programs ? translated(card, address, size) : address;
  const within = ({ from, end }: { from: bigint; end: bigint }) => at >= from && at <= end - size;
  const failed = (code: 'EINVAL' | 'EFAULT'): never => {
    card.log('err', `Failed reading addr ${shown(at)} from dev mem (${negative(code)})`);
    refuse(code);
  };
  if (within(REGISTERS)) {
    if (at % 4n !== 0n) {
      card.log('err', `address ${shown(at)} not a multiple of 4`);
      failed('EINVAL');
    }
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    // registers have 32 bits
    for (let i = 0; i < bytes.length; i += 4) {
      const offset = Number(at - CFG) + i;
      if (way === 'read') view.setUint32(i, card.pci.read(offset), true);
      else card.pci.write(offset, view.getUint32(i, true));
    }
    return;
  }
  if (within(SRAM) || within({ from: 0n, end: BigInt(card.pci.dram.size) })) {
    if (way === 'read') card.pci.readMemory(Number(at), bytes);
    else card.pci.writeMemory(Number(at), bytes);
    return;
  }
  if (within(SCRATCHPAD)) failed('EFAULT');
  const memory =
    programs && at >= HOST && at <= HOST_END - size && card.kernel.memory.view(Number(at - HOST), bytes.length);
  if (!memory) {
    card.log('err', `invalid addr ${shown(at)}`);
    refuse('EINVAL');
  }
  if (way === 'read') bytes.set(memory);
  else memory.set(bytes);
}

/** device_va_to_pa. */
function translated(card: Card, address: bigint, size: bigint): bigint {
  const { context } = card;
  if (!context) {
    card.log('err', 'no ctx available');
    refuse('EINVAL');
  }
  const mapped = [...context.memory.mappings].some(
    ([start, mapping]) => address >= BigInt(start) && address + size <= BigInt(start) + mapping.size,
  );
  const hops = mapped ? card.mmu.walk(Number(address)) : undefined;
  if (!hops) {
    card.log('err', `virt addr ${shown(address)} is not mapped`);
    refuse('EINVAL');
  }
  return physical(address, hops);
}

/** Where an address leads that its tables have a page for. */
function physical(address: bigint, hops: readonly { readonly entry: bigint }[]): bigint {
  const page = hops.length === 5 ? 0xfffn : 0x1f_ffffn;
  return ((hops.at(-1)?.entry ?? 0n) & 0x000f_ffff_ffff_f000n & ~page) | (address & page);
}

/** mmu_show. */
export function translation(card: Card, asid: bigint, address: bigint): string {
  const { context } = card;
  if (asid !== 0n && !context) {
    card.log('err', 'no ctx available');
    return '';
  }
  const inside = address >= USER.VIRTUAL && address < USER.VIRTUAL_END;
  // in its own address space the driver has nothing
  const hops = asid !== 0n && inside ? card.mmu.walk(Number(address)) : undefined;
  if (!hops) {
    card.log('err', `virt addr ${shown(address)} is not mapped to phys addr`);
    return '';
  }
  let text = `asid: ${asid}, virt_addr: ${shown(address)}, phys_addr: ${shown(physical(address, hops))}\n`;
  hops.forEach(({ table, at, entry }, i) => {
    text += `hop${i}_addr: 0x${table.toString(16)}\nhop${i}_pte_addr: 0x${at.toString(16)}\nhop${i}_pte: ${shown(entry)}\n`;
  });
  return text;
}

const core = (n: number, row: keyof typeof dmaCore.rows) => register(`DMA${n}_CORE`, dmaCore.rows[row]);
const manager = (n: number, row: keyof typeof qmanRegisters.rows) => register(`DMA${n}_QM`, qmanRegisters.rows[row]);

/** The engines of the PCI side, and all streams of a queue manager stopped (GLBL_CFG1, CP_STOP). */
const ENGINES = [gaudi_engine_id.GAUDI_ENGINE_ID_DMA_0.value, gaudi_engine_id.GAUDI_ENGINE_ID_DMA_1.value] as const;
const STOP = 0xf << 9;

/**
 * hl_dma_size_write: memory of the card, read by an engine.
 * @param begun called when nothing is wrong with what is asked for: what was read before is lost. @throws SystemError EINVAL, EIO
 */
export function* readByDma(card: Card, address: bigint, size: number, begun: () => void): Steps<Uint8Array> {
  const error = (text: string, code: 'EINVAL' | 'EIO'): never => {
    card.log('err', text);
    refuse(code);
  };
  if (size === 0) error("DMA read failed. size can't be 0", 'EINVAL');
  if (size > LARGEST) error("DMA read failed. size can't be larger than 128MB", 'EINVAL');
  const end = address + BigInt(size);
  const inside = (from: bigint, last: bigint) => address >= from && end <= last;
  if (!inside(0n, BigInt(card.pci.dram.size)) && !inside(SRAM.from, SRAM.end)) {
    const digits = (value: bigint, count: number) => value.toString(16).padStart(count, '0');
    error(`DMA read failed. Invalid 0x${digits(address, 10)} + 0x${digits(BigInt(size), 8)}`, 'EINVAL');
  }
  begun();
  const { kernel, pci } = card;
  // the first engine of PCI, and where that works the other
  const { busy } = card.idleness();
  const failure = `Failed to DMA from 0x${address.toString(16).padStart(10, '0')}`;
  const engine = ([0, 1] as const).find((n) => (busy & (1n << BigInt(ENGINES[n]))) === 0n);
  if (engine === undefined) {
    card.log('err', "Can't read via DMA because it is BUSY");
    return error(failure, 'EIO');
  }
  const buffer = kernel.memory.allocateCoherent(PIECE);
  const configuration = pci.read(manager(engine, 'GLBL_CFG1'));
  pci.write(manager(engine, 'GLBL_CFG1'), STOP);
  const protection = pci.read(core(engine, 'PROT'));
  pci.write(core(engine, 'PROT'), protection | PROT.VAL);
  const result = new Uint8Array(size);
  try {
    for (let at = 0; at < size; at += PIECE) {
      const length = Math.min(PIECE, size - at);
      const [from, to] = [address + BigInt(at), BigInt(buffer.bus) + HOST];
      const values = {
        SRC_BASE_LO: from,
        SRC_BASE_HI: from >> 32n,
        DST_BASE_LO: to,
        DST_BASE_HI: to >> 32n,
        DST_TSIZE_0: BigInt(length),
        COMMIT: BigInt(COMMIT.LIN),
      } as const;
      for (const [name, value] of Object.entries(values))
        pci.write(core(engine, name as keyof typeof values), Number(value & 0xffff_ffffn));
      const done = () => (pci.read(core(engine, 'STS0')) & STS0.BUSY) === 0;
      if (!(yield* poll(kernel, done, SECOND))) {
        card.log('err', `DMA ${engine} timed-out during reading of ${shown(from)}`);
        error(failure, 'EIO');
      }
      result.set(buffer.bytes.subarray(0, length), at);
    }
  } finally {
    pci.write(core(engine, 'PROT'), protection & ~PROT.VAL);
    pci.write(manager(engine, 'GLBL_CFG1'), configuration);
    buffer.free();
  }
  return result;
}
