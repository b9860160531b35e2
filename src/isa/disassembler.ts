/** Turns a stream of packets into text that assembles to the same bytes. */

import { ModelError } from '../sim/errors.ts';
import type { AnyPacketSet } from './packet-codec.ts';
import { type PacketForm, packetForms, printNumber, printPacket } from './packet-syntax.ts';
import type { SymbolTable } from './symbols.ts';

export interface DisassembleOptions {
  /** Print what is no packet as data, instead of refusing it. */
  readonly data?: boolean;
  /** Put offset and words of each packet into a comment. */
  readonly listing?: boolean;
  /** Names of places, by offset. */
  readonly symbols?: ReadonlyMap<number, string>;
}

/** @throws ModelError that names the offset, for bytes that are no packet, unless `data` */
export function disassemblePackets(
  set: AnyPacketSet,
  symbols: SymbolTable,
  bytes: Uint8Array,
  options: DisassembleOptions = {},
): string {
  const forms = packetForms(set);
  const whole = bytes.length >>> 2;
  // Not slice: of a Buffer that would be a view of a larger one.
  const words = new Uint32Array(new Uint8Array(bytes.subarray(0, whole * 4)).buffer);
  const lines: string[] = [];
  let at = 0;
  while (at < words.length) {
    const start = at;
    let text: string;
    try {
      const packet = set.decode(words, at);
      text = printPacket(forms.get(packet.name.toLowerCase()) as PacketForm, packet.fields, symbols);
      at += packet.sizeInWords;
    } catch (error) {
      if (!(error instanceof ModelError)) throw error;
      if (!options.data) throw located(error, at * 4);
      at = Math.min(at + set.facts.unitWords, words.length);
      text = `.word ${Array.from(words.subarray(start, at), (word) => printNumber(BigInt(word), true)).join(', ')}`;
    }
    lines.push(options.listing ? listingLine(text, start, words.subarray(start, at)) : text);
  }
  if (bytes.length % 4 !== 0) {
    const tail = bytes.subarray(whole * 4);
    if (!options.data) {
      throw new ModelError(
        'guest',
        set.name,
        `at offset 0x${(whole * 4).toString(16)}: ${tail.length} bytes are no whole word`,
      );
    }
    lines.push(`.byte ${Array.from(tail, (byte) => printNumber(BigInt(byte), true)).join(', ')}`);
  }
  return lines.map((line) => `${line}\n`).join('');
}

function located(error: ModelError, offset: number): ModelError {
  const what = error.message.slice(`${error.category}: ${error.where}: `.length);
  return new ModelError(error.category, error.where, `at offset 0x${offset.toString(16)}: ${what}`);
}

function listingLine(text: string, start: number, words: Uint32Array): string {
  const shown = Array.from(words.subarray(0, 6), (word) => word.toString(16).padStart(8, '0')).join(' ');
  const comment = `// ${(start * 4).toString(16).padStart(4, '0')}: ${shown}${words.length > 6 ? ' ...' : ''}`;
  const [first = '', ...rest] = text.split('\n');
  return [`${first.padEnd(56)} ${comment}`, ...rest].join('\n');
}
