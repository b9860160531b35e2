/**
 * Random numbers: one 32-bit linear-feedback shift register for each 32-bit lane. LFSR_POLYNOM holds the polynomial.
 * How the registers step is not public; see `unverified.ts`.
 */

/** Reset value of LFSR_POLYNOM (tpc_regs.h). */
export const DEFAULT_POLYNOMIAL = 0x800002cc;

/** One step of a register in Galois form, to the right. Zero stays zero. */
export function step(state: number, polynomial: number): number {
  return ((state >>> 1) ^ (state & 1 ? polynomial : 0)) >>> 0;
}
