/** Memory that a core's state and its tensors share: compiled code then moves vectors between them itself. */

import { STATE_BYTES } from '../layout.ts';
import { createMemory, type WasmMemory } from './webassembly.ts';

const PAGE = 65536;
/** Where the bytes for tensors begin: after the state. */
const START = Math.ceil(STATE_BYTES / PAGE) * PAGE;
/** Compiled code takes addresses for signed. */
const MAX_BYTES = 2 ** 31 - START - PAGE;

export class Arena {
  readonly memory: WasmMemory;
  /** What the owner may use as memory of the core, in a `MemoryPort`. */
  readonly bytes: Uint8Array;

  /** @throws RangeError for more than compiled code can address, or than the machine has */
  constructor(bytes: number) {
    if (!(bytes >= 0 && bytes <= MAX_BYTES)) throw new RangeError(`an arena of ${bytes} bytes`);
    this.memory = createMemory((START + Math.ceil(bytes / PAGE) * PAGE) / PAGE);
    this.bytes = new Uint8Array(this.memory.buffer, START, bytes);
  }
}
