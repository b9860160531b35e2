/** What a TPC core is given by whoever puts it into a chip, or runs it alone. It reaches nothing outside but through these. */

/**
 * The global address space. Addresses are byte addresses, safe integers. An access that the space refuses is an error
 * thrown by the port; the core stops with it.
 */
export interface MemoryPort {
  /**
   * The bytes of [address, address + length) where they can be reached directly, else undefined. Valid until the core
   * returns.
   */
  view(address: number, length: number, access: 'read' | 'write'): Uint8Array | undefined;
  /**
   * Reads what `view` could not give. False: not yet; the core stops before the instruction, `run` returns `blocked`,
   * and the instruction is tried again by the next `run`, when this is asked for the same bytes once more.
   */
  read?(address: number, target: Uint8Array): boolean;
  /** `read` never returns false: all memory answers at once. */
  readonly neverWaits?: boolean;
  /**
   * Whether `view` gives every part of [address, address + length) for reading, until the core returns. Asking has no
   * consequences: of what is not there nobody is told.
   */
  reaches?(address: number, length: number): boolean;
  /** Writes what `view` could not give. The bytes are the core's: copy what is kept. */
  write?(address: number, source: Uint8Array): void;
}

/**
 * The configuration space of the core as the program sees it by LD_L and ST_L with MMIO, and as the core itself reads its
 * tensor descriptors. Offsets are those of the TPC_CFG block, multiples of 4.
 */
export interface ConfigPort {
  read(offset: number): number;
  write(offset: number, value: number): void;
}

/** Interrupt causes by their bit in TPC_INTR_CAUSE (linux drivers/accel/habanalabs/gaudi/gaudi.c, gaudi_tpc_interrupts_cause). */
export const interruptCauses = {
  address_exceed_slm: 0,
  div_by_0: 1,
  spu_mac_overflow: 2,
  spu_addsub_overflow: 3,
  spu_abs_overflow: 4,
  spu_fp_dst_nan_inf: 5,
  spu_fp_dst_denorm: 6,
  vpu_mac_overflow: 7,
  vpu_addsub_overflow: 8,
  vpu_abs_overflow: 9,
  vpu_fp_dst_nan_inf: 10,
  vpu_fp_dst_denorm: 11,
  assertions: 12,
  illegal_instruction: 13,
  pc_wrap_around: 14,
} as const;

export type InterruptCause = keyof typeof interruptCauses;
