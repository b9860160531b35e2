/**
 * An engine (DMA core, TPC, MME, NIC port) as its queue manager sees it: a window of registers that command
 * processors write, some of which start work, and the question whether that work is done.
 *
 * The window is 64 KiB at the engine's base address; WREG_32 and WREG_BULK offsets are bytes from there (16 bits). The
 * queue manager itself lies at +0x8000 of the window (DMA0: core 0x500000, QM 0x508000; TPC0: 0xE00000, CFG +0x6000;
 * MME0: CTRL 0x60000) and keeps writes to its own registers to itself. LIN_DMA is nothing but such writes: source,
 * destination and size at the offsets that CP_LDMA_*_OFFSET hold, then the packet's control word at the size's
 * offset + 4, which is COMMIT of the DMA core (gaudiP.h, QMAN_LDMA_*_OFFSET and QMAN_CPDMA_*_OFFSET;
 * dma0_core_regs.h, DST_TSIZE_0 and COMMIT).
 */

import type { Steps } from '../sim/process.ts';

export interface Engine {
  /** E.g. `DMA0_CORE`. */
  readonly name: string;
  /**
   * A command processor's write of a 32-bit register. Returns when the register has it; a write that starts work (such
   * as COMMIT) may wait for room in the engine's queue, but not for the work.
   * @param offset bytes from the engine's base, a multiple of 4, below 0x10000 and never within the queue manager
   * @throws ModelError for a register that the engine does not have, or work that it does not do
   */
  writeRegister(offset: number, value: number): Steps;
  /**
   * Returns when all work accepted before the call is done and its results are written. Work accepted later, by
   * another stream, does not prolong it. An engine that is halted or stopped by an error keeps its callers waiting.
   * @returns undefined where there is nothing to wait for
   */
  drain(): Steps | undefined;
  /** Whether work is accepted that is not done. */
  busy(): boolean;
}
