/**
 * Message-signalled interrupts: MSI (PCI Express Base 5.0, 7.7.1) and MSI-X (7.7.2). A vector that is masked when it
 * is raised becomes pending and is delivered when it is unmasked.
 */

import type { ErrorLog } from '../sim/errors.ts';
import { activeRegister, type Capability, ConfigBlock, register } from './config-space.ts';
import type { Region } from './function.ts';
import { registerRegion } from './register-region.ts';

/** A capability that raises vectors. */
export interface MessageInterrupts extends Capability {
  readonly kind: 'msi' | 'msix';
  /** Vectors offered. */
  readonly vectors: number;
  enabled(): boolean;
  /** Delivers `vector`, or makes it pending while masked. Without effect while disabled. */
  raise(vector: number): void;
  /** Tells it how to deliver. Called once, by the function it belongs to. */
  connect(deliver: (vector: number) => void): void;
}

export interface MsiOptions {
  readonly at?: number;
  readonly vectors: 1 | 2 | 4 | 8 | 16 | 32;
  /** Per-vector masking. Default false. */
  readonly maskable?: boolean;
}

const MSI_ENABLE = 0x1;
const MSI_QMASK_SHIFT = 1;
const MSI_QSIZE = 0x70;
const MSI_QSIZE_SHIFT = 4;
const MSI_64BIT = 0x80;
const MSI_MASKBIT = 0x100;

/** MSI with 64-bit addresses. Where fewer vectors are allocated than offered, the low bits of a vector's number count. */
export function msi(options: MsiOptions): MessageInterrupts {
  const { vectors, maskable = false } = options;
  const log2 = Math.log2(vectors);
  let deliver: (vector: number) => void = () => {};

  const enabled = () => (block.get('FLAGS') & MSI_ENABLE) !== 0;
  const allocated = () => 2 ** Math.min((block.get('FLAGS') & MSI_QSIZE) >> MSI_QSIZE_SHIFT, log2);
  const deliverPending = () => {
    if (!maskable || !enabled()) return;
    for (let vector = 0; vector < allocated(); vector++) {
      const bit = 1 << vector;
      if ((block.get('PENDING') & ~block.get('MASK') & bit) === 0) continue;
      block.set('PENDING', block.get('PENDING') & ~bit);
      deliver(vector);
    }
  };

  const rows = {
    FLAGS: activeRegister(2, 0x02, 'Message Control: enable, vectors offered and allocated', {
      reset: (log2 << MSI_QMASK_SHIFT) | MSI_64BIT | (maskable ? MSI_MASKBIT : 0),
      rw: MSI_ENABLE | MSI_QSIZE,
    }),
    ADDRESS_LO: register(4, 0x04, 'Message Address', { rw: 0xffff_fffc }),
    ADDRESS_HI: register(4, 0x08, 'Message Upper Address', { rw: 0xffff_ffff }),
    DATA: register(2, 0x0c, 'Message Data', { rw: 0xffff }),
  };
  const maskRows = {
    MASK: activeRegister(4, 0x10, 'Mask Bits, one per vector', { rw: 2 ** vectors - 1 }),
    PENDING: register(4, 0x14, 'Pending Bits, one per vector'),
  };
  const block = new ConfigBlock(
    'MSI',
    { size: maskable ? 0x18 : 0x10, source: 'PCI Express Base 5.0, 7.7.1; linux/pci_regs.h PCI_MSI_*' },
    // Without masking the capability ends before these two; nothing below uses them then.
    { ...rows, ...(maskable ? maskRows : {}) } as typeof rows & typeof maskRows,
    { FLAGS: { written: deliverPending }, MASK: { written: deliverPending } },
  );
  return {
    id: 0x05,
    kind: 'msi',
    ...(options.at === undefined ? {} : { at: options.at }),
    block,
    vectors,
    enabled,
    raise(vector) {
      if (!enabled()) return;
      const used = vector % allocated();
      const bit = 1 << used;
      if (maskable && (block.get('MASK') & bit) !== 0) block.set('PENDING', block.get('PENDING') | bit);
      else deliver(used);
    },
    connect(d) {
      deliver = d;
    },
  };
}

export interface MsixOptions {
  readonly at?: number;
  /** 1 to 2048. */
  readonly vectors: number;
  /** BAR and offset (aligned to 8) where the function puts `table`, 16 bytes per vector. */
  readonly table: { readonly bar: number; readonly offset: number };
  /** BAR and offset (aligned to 8) where the function puts `pba`. */
  readonly pba: { readonly bar: number; readonly offset: number };
  readonly errors: ErrorLog;
}

export interface Msix extends MessageInterrupts {
  readonly kind: 'msix';
  /** The vector table: 16 bytes per vector, a piece of a BAR. */
  readonly table: Region;
  /** The pending bit array: 8 bytes per 64 vectors, a piece of a BAR. */
  readonly pba: Region;
  /**
   * The host keeps the table itself and this function's copy is not written: masking is the host's business. So it is
   * behind a VMM that traps the table (QEMU, hw/vfio/pci.c).
   */
  hostKeepsTable: boolean;
}

const MSIX_ENABLE = 0x8000;
const MSIX_MASKALL = 0x4000;
const ENTRY_WORDS = 4;
/** Words of a table entry: address, upper address, data, vector control (7.7.2). */
const ENTRY_WRITABLE = [0xffff_fffc, 0xffff_ffff, 0xffff_ffff, 0x1] as const;
const ENTRY_CONTROL = 3;
const ENTRY_MASKED = 1;

export function msix(options: MsixOptions): Msix {
  const { vectors } = options;
  if (!Number.isInteger(vectors) || vectors < 1 || vectors > 2048) throw new Error(`MSI-X: ${vectors} vectors`);
  for (const place of [options.table, options.pba]) {
    if (place.offset % 8 !== 0) throw new Error(`MSI-X: offset 0x${place.offset.toString(16)} is not aligned to 8`);
  }
  let deliver: (vector: number) => void = () => {};
  const entries = new Uint32Array(vectors * ENTRY_WORDS);
  const pending = new Uint32Array(2 * Math.ceil(vectors / 64));
  const clear = () => {
    entries.fill(0);
    // A vector is masked after reset.
    for (let vector = 0; vector < vectors; vector++) entries[vector * ENTRY_WORDS + ENTRY_CONTROL] = ENTRY_MASKED;
    pending.fill(0);
  };
  clear();

  const enabled = () => (block.get('FLAGS') & MSIX_ENABLE) !== 0;
  const masked = (vector: number) =>
    (block.get('FLAGS') & MSIX_MASKALL) !== 0 ||
    (!capability.hostKeepsTable && ((entries[vector * ENTRY_WORDS + ENTRY_CONTROL] as number) & ENTRY_MASKED) !== 0);
  const deliverPending = () => {
    if (!enabled()) return;
    for (let word = 0; word < pending.length; word++) {
      for (let bits = pending[word] as number; bits !== 0; bits &= bits - 1) {
        const bit = 31 - Math.clz32(bits & -bits);
        const vector = word * 32 + bit;
        if (masked(vector)) continue;
        pending[word] = (pending[word] as number) & ~(1 << bit);
        deliver(vector);
      }
    }
  };

  const block = new ConfigBlock(
    'MSIX',
    { size: 0x0c, source: 'PCI Express Base 5.0, 7.7.2; linux/pci_regs.h PCI_MSIX_*' },
    {
      FLAGS: activeRegister(2, 0x02, 'Message Control: enable, mask all, table size less one', {
        reset: vectors - 1,
        rw: MSIX_ENABLE | MSIX_MASKALL,
      }),
      TABLE: register(4, 0x04, 'Table: BAR and offset', { reset: options.table.bar | options.table.offset }),
      PBA: register(4, 0x08, 'Pending bit array: BAR and offset', { reset: options.pba.bar | options.pba.offset }),
    },
    { FLAGS: { written: deliverPending } },
  );

  const store = (offset: number, value: number, lanes: number) => {
    const word = offset / 4;
    const writable = (ENTRY_WRITABLE[word % ENTRY_WORDS] as number) & lanes;
    entries[word] = ((entries[word] as number) & ~writable) | (value & writable);
    if (word % ENTRY_WORDS === ENTRY_CONTROL) deliverPending();
  };
  const table = registerRegion(
    'MSIX_TABLE',
    entries.byteLength,
    {
      read32: (offset) => entries[offset / 4] as number,
      write32: (offset, value) => store(offset, value, -1),
      writeLanes: store,
    },
    options.errors,
  );
  const pba = registerRegion(
    'MSIX_PBA',
    pending.byteLength,
    // Software must not write the pending bits; a write is ignored (7.7.2).
    { read32: (offset) => pending[offset / 4] as number, write32() {}, writeLanes() {} },
    options.errors,
  );

  const capability: Msix = {
    id: 0x11,
    kind: 'msix',
    ...(options.at === undefined ? {} : { at: options.at }),
    block,
    vectors,
    table,
    pba,
    hostKeepsTable: false,
    enabled,
    raise(vector) {
      if (!enabled()) return;
      if (vector < 0 || vector >= vectors) throw new RangeError(`MSI-X vector ${vector} of ${vectors}`);
      if (masked(vector)) pending[vector >>> 5] = (pending[vector >>> 5] as number) | (1 << (vector & 31));
      else deliver(vector);
    },
    connect(d) {
      deliver = d;
    },
    reset: clear,
  };
  return capability;
}
