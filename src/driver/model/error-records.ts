/** Records of the first error of each kind since the node was opened. Source: common/habanalabs.h (struct hl_error_info). */

export interface ErrorRecords {
  csTimeout: { timestamp: number; seq: bigint } | undefined;
  razwi: { timestamp: number; addr: bigint; engines: number[]; flags: number } | undefined;
  pageFault: { timestamp: number; addr: bigint; mappings: readonly { dev_va: bigint; size: bigint }[] } | undefined;
  undefinedOpcode: UndefinedOpcode | undefined;
  /** Events after which the card had to be reset. */
  hardware: { timestamp: number; event: number } | undefined;
  /** The firmware has failed, or says that something of it has. */
  firmware: { timestamp: number; type: number; event: number } | undefined;
}

/** A packet that no command processor knows, and what its queue had taken before (struct undefined_opcode_info). */
export interface UndefinedOpcode {
  timestamp: number;
  engine: number;
  stream: number;
  cqAddress: bigint;
  cqSize: number;
  streams: bigint[][];
}

export function noErrors(): ErrorRecords {
  return {
    csTimeout: undefined,
    razwi: undefined,
    pageFault: undefined,
    undefinedOpcode: undefined,
    hardware: undefined,
    firmware: undefined,
  };
}
