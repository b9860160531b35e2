/** Command streams from text. A file of its own, so that programs that write no assembly do not load the assembler. */

import { gaudiQman } from '../../specs/gaudi-qman.ts';
import { gaudiSymbols } from '../../specs/gaudi-symbols.ts';
import { assemble } from '../isa/assembler.ts';
import { packetSyntax } from '../isa/packet-syntax.ts';
import { addressOf, CommandStream, type Place } from './command-stream.ts';

let syntax: ReturnType<typeof packetSyntax> | undefined;

/**
 * Assembles gaudi-qman text.
 * @param places names that the text may use for addresses and numbers, e.g. `{ src: host, dst: sram, n: 4096 }`
 * @throws AssemblyError with all that is wrong
 */
export function assembleStream(text: string, places: Readonly<Record<string, Place>> = {}): CommandStream {
  syntax ??= packetSyntax(gaudiQman, gaudiSymbols());
  const constants = Object.fromEntries(Object.entries(places).map(([name, place]) => [name, addressOf(place)]));
  return new CommandStream().raw(assemble(syntax, text, { constants }).bytes);
}
