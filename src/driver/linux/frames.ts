/** Values over a stream between two programs of Node, one after the other, without an event loop: length, then v8's own encoding. */

import { deserialize, serialize } from 'node:v8';
import * as libc from '../../os/libc.ts';

const HEADER = 4;

/** @throws SystemError, e.g. EPIPE when nobody reads */
export function send(fd: number, value: unknown): void {
  const body = serialize(value);
  const frame = new Uint8Array(HEADER + body.length);
  new DataView(frame.buffer).setUint32(0, body.length, true);
  frame.set(body, HEADER);
  for (let at = 0; at < frame.length; ) at += libc.write(fd, frame.subarray(at));
}

/** Waits for the next. @returns undefined when the other has gone. @throws SystemError */
export function receive(fd: number): unknown {
  const header = read(fd, HEADER);
  if (!header) return undefined;
  const body = read(fd, new DataView(header.buffer).getUint32(0, true));
  return body && deserialize(body);
}

function read(fd: number, length: number): Uint8Array | undefined {
  const bytes = new Uint8Array(length);
  for (let at = 0; at < length; ) {
    const count = libc.read(fd, bytes.subarray(at));
    if (count === 0) return undefined;
    at += count;
  }
  return bytes;
}
