/** Pages of the kernel's trace buffer, as trace_pipe_raw gives them (Documentation/trace/ring-buffer-design.rst, events/header_page). */

/** A call that the function tracer has seen. */
export interface TracedCall {
  readonly callee: bigint;
  /** Where it returns to. */
  readonly caller: bigint;
}

/** Where things are in an event of the function tracer, from its `format` file. */
export interface FunctionFormat {
  readonly id: number;
  /** Offsets, bytes. */
  readonly ip: number;
  readonly parent: number;
}

/** @throws Error when it is no format of such an event */
export function parseFormat(text: string): FunctionFormat {
  const id = /^ID: (\d+)$/m.exec(text)?.[1];
  const offset = (field: string) => new RegExp(`\\b${field};\\s+offset:(\\d+);\\s+size:8;`).exec(text)?.[1];
  const [ip, parent] = [offset('ip'), offset('parent_ip')];
  if (id === undefined || ip === undefined || parent === undefined) throw new Error(`not understood: ${text}`);
  return { id: Number(id), ip: Number(ip), parent: Number(parent) };
}

const HEADER = 16;
/** Bits of `commit` that are its length; others are flags. */
const LENGTH = 0xf_ffff;
/** Values of `type_len` that are no length of data (include/linux/ring_buffer.h, enum ring_buffer_type). */
const PADDING = 29;
const TIME_EXTEND = 30;
const TIME_STAMP = 31;

/** Calls in a page, in order. What is cut off, or is another event, is passed over. */
export function callsOf(page: Uint8Array, format: FunctionFormat): TracedCall[] {
  const view = new DataView(page.buffer, page.byteOffset, page.byteLength);
  const calls: TracedCall[] = [];
  if (page.length < HEADER) return calls;
  const end = Math.min(page.length, HEADER + (view.getUint32(8, true) & LENGTH));
  for (let at = HEADER; at + 4 <= end; ) {
    const head = view.getUint32(at, true);
    const kind = head & 0x1f;
    if (kind === TIME_EXTEND || kind === TIME_STAMP) {
      at += 8;
      continue;
    }
    const inArray = kind === 0 || kind === PADDING;
    if (inArray && at + 8 > end) break;
    const length = inArray ? 4 + view.getUint32(at + 4, true) : 4 + kind * 4;
    // padding without a time is the rest of the page
    if (kind === PADDING && head >>> 5 === 0) break;
    const data = kind === 0 ? at + 8 : at + 4;
    const isCall = kind !== PADDING && data + 2 <= end && view.getUint16(data, true) === format.id;
    if (isCall && data + Math.max(format.ip, format.parent) + 8 <= end) {
      const callee = view.getBigUint64(data + format.ip, true);
      calls.push({ callee, caller: view.getBigUint64(data + format.parent, true) });
    }
    at += length;
  }
  return calls;
}
