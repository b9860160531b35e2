/**
 * Where the state of a core lies in its one block of memory, in bytes. The interpreter and code compiled to WebAssembly
 * use the same block, so everything is little-endian and every vector is aligned to 256 bytes.
 */

export const VECTOR_BYTES = 256;
export const DUAL_GROUP_BYTES = 64;
export const GROUP_BYTES = 32;
/** Bytes of a vector predicate: one bit for each byte of a vector. */
export const PREDICATE_BYTES = 32;
export const DIMENSIONS = 5;

/** V0 to V39, and the special registers V40 to V44 in their places. */
export const VRF = 0;
export const GENERAL_VECTORS = 40;
/** V40 LFSR and V41 LFSR_NO_CHANGE are two ways to read the same state. */
export const LFSR = VRF + 40 * VECTOR_BYTES;
/** V42, V43, V44: the numbers of lanes of 4, 2 and 1 bytes. */
export const LANE_ID_32 = VRF + 42 * VECTOR_BYTES;
export const LANE_ID_16 = VRF + 43 * VECTOR_BYTES;
export const LANE_ID_8 = VRF + 44 * VECTOR_BYTES;

export const VPRF = VRF + 45 * VECTOR_BYTES;
export const VECTOR_PREDICATES = 16;

/** S0 to S35; the file is as long as operands can name. S32 to S35 are the counters of nested loops. */
export const SRF = VPRF + VECTOR_PREDICATES * PREDICATE_BYTES;
export const SCALARS = 36;
export const LOOP_COUNTER = 32;
export const LOOP_DEPTH = 4;
/** S29 to S31 have a second use (TPCRegisterInfo.td: RMWReg, OffsSizeRegLd, OffsSizeRegSt). */
export const RMW_INFO = 29;
export const LOAD_PARTIAL = 30;
export const STORE_PARTIAL = 31;

/** I0 to I31: five words each, in 32 bytes. */
export const IRF = SRF + 64 * 4;
export const INDEX_REGISTERS = 32;
export const INDEX_BYTES = 32;

/** AD0 to AD7: the address as two words, then the type of the element (its number in `tensorTypes`), then nothing. */
export const ADRF = IRF + INDEX_REGISTERS * INDEX_BYTES;
export const ADDRESS_REGISTERS = 8;
export const ADDRESS_BYTES = 16;

/** SP0 to SP15: a word each, 0 or 1. SP0 is always 1. */
export const SPRF = ADRF + ADDRESS_REGISTERS * ADDRESS_BYTES;
export const SCALAR_PREDICATES = 16;

/** The scalar unit's own random number register. */
export const SCALAR_LFSR = SPRF + SCALAR_PREDICATES * 4;

/** Scalar local memory. 1 KiB (clang/lib/Basic/Targets/TPC.cpp, MAX_SLM). */
export const SLM = align(SCALAR_LFSR + 4);
export const SLM_BYTES = 1024;

/** Vector local memory: 80 KiB, or 16 KiB while lookup tables take the rest (TPCSubtarget.h). */
export const VLM = SLM + SLM_BYTES;
export const VLM_BYTES = 80 * 1024;
export const SMALL_VLM_BYTES = 16 * 1024;

/** Results on their way to registers, and values that are read before they have arrived there. */
export const SCRATCH = VLM + VLM_BYTES;
export const SCRATCH_BYTES = 64 * 1024;

/** For compiled loops: where the tensor of each of their transfers is; 16 words each, see `wasm/compiler.ts`. */
export const TRANSFERS = SCRATCH + SCRATCH_BYTES;
export const TRANSFER_BYTES = 64;
export const MAX_TRANSFERS = 128;

/** For compiled loops: how many instructions of each slot their predicate skipped, a word each. */
export const SKIPPED = TRANSFERS + TRANSFER_BYTES * MAX_TRANSFERS;

export const STATE_BYTES = SKIPPED + 16;

function align(offset: number): number {
  return Math.ceil(offset / VECTOR_BYTES) * VECTOR_BYTES;
}
