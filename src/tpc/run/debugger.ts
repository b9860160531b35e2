/** A debugger for a kernel on a core that stands alone: takes a command in words, gives text. */

import { suggestion } from '../../isa/diagnostics.ts';
import { BUNDLE_BYTES, type Slot } from '../../isa/vliw/bundle.ts';
import { UserError } from '../../sim/errors.ts';
import type { Box } from '../index-space.ts';
import { type LaneType, laneTypes } from '../lanes.ts';
import * as layout from '../layout.ts';
import { elementBytes, type TensorType } from '../tensor.ts';
import { elementText, numberText } from './format.ts';
import type { KernelProgram } from './program.ts';
import type { Stand, StandTensor } from './stand.ts';

export interface DebuggerOptions {
  readonly program: KernelProgram;
  readonly tensors: readonly StandTensor[];
  /** A core with the tensors filled as at first. */
  readonly stand: () => Stand;
  readonly part: Box;
  /** Bundles that one command does at most. */
  readonly budget: number;
}

interface Command {
  readonly names: readonly string[];
  readonly usage: string;
  readonly doc: string;
  readonly run: (words: readonly string[]) => string;
}

/** Elements that one command prints at most. */
const MAX_ELEMENTS = 4096;

export class Debugger {
  readonly #options: DebuggerOptions;
  #stand: Stand;
  readonly #breaks = new Map<number, number>();
  #nextBreak = 1;
  /** `quit` was said. */
  ended = false;

  constructor(options: DebuggerOptions) {
    this.#options = options;
    this.#stand = this.#begin();
  }

  #begin(): Stand {
    const stand = this.#options.stand();
    stand.start(this.#options.part);
    stand.core.machine.readConfig();
    return stand;
  }

  /** Does one command line. @returns what it prints, with its line ends. @throws UserError for one that cannot be done */
  execute(line: string): string {
    const [name, ...words] = line.trim().split(/\s+/);
    if (name === undefined || name === '' || name.startsWith('#')) return '';
    const command = this.#commands.find((each) => each.names.includes(name.toLowerCase()));
    if (!command) {
      const names = this.#commands.map((each) => each.names[0] as string);
      throw new UserError(`no command "${name}"${suggestion(name, names)}; "help" lists them`);
    }
    return command.run(words);
  }

  readonly #commands: readonly Command[] = [
    {
      names: ['break', 'b'],
      usage: '[PLACE]',
      doc: 'stop before a bundle; without PLACE list',
      run: (w) => this.#break(w),
    },
    { names: ['delete'], usage: '[N]', doc: 'forget a breakpoint, or all', run: (w) => this.#delete(w) },
    { names: ['step', 's'], usage: '[N]', doc: 'do one bundle, or N', run: (w) => this.#step(w) },
    { names: ['next', 'n'], usage: '', doc: 'do one bundle, or a whole LOOP', run: () => this.#next() },
    {
      names: ['continue', 'c', 'run', 'r'],
      usage: '',
      doc: 'go on to a breakpoint or the end',
      run: () => this.#continue(),
    },
    { names: ['restart'], usage: '', doc: 'begin again, tensors as at first', run: () => this.#restart() },
    { names: ['where', 'w'], usage: '', doc: 'the next bundle, cycle, counters of loops', run: () => this.#where() },
    {
      names: ['list', 'l', 'disassemble'],
      usage: '[N]',
      doc: 'N bundles around the next one',
      run: (w) => this.#list(w),
    },
    {
      names: ['registers', 'info'],
      usage: '',
      doc: 'scalars, predicates, index and address registers',
      run: () => this.#registers(),
    },
    {
      names: ['print', 'p'],
      usage: 'REGISTER [TYPE]',
      doc: 'V3 f32, S4, I2, AD0, SP1, VP1',
      run: (w) => this.#print(w),
    },
    {
      names: ['memory', 'x'],
      usage: 'WHAT[FROM..TO] [TYPE]',
      doc: 'elements of a tensor, or bytes of vlm or slm',
      run: (w) => this.#memory(w),
    },
    { names: ['tensors'], usage: '', doc: 'the tensors, their numbers and addresses', run: () => this.#tensors() },
    { names: ['help', 'h', '?'], usage: '', doc: 'this', run: () => this.#help() },
    { names: ['quit', 'q', 'exit'], usage: '', doc: 'end', run: () => this.#quit() },
  ];

  #help(): string {
    const lines = this.#commands.map(
      ({ names, usage, doc }) => `${`${names.join(', ')} ${usage}`.padEnd(40)} ${doc}\n`,
    );
    return `${lines.join('')}PLACE is a label, a line of the text, or the offset of a bundle in hexadecimal, e.g. 0x1c0.\n`;
  }

  #quit(): string {
    this.ended = true;
    return '';
  }

  #restart(): string {
    this.#stand = this.#begin();
    return this.#where();
  }

  #place(text: string): number {
    const { labels, file, bytes } = this.#options.program;
    const label = labels.get(text);
    if (label !== undefined) return label;
    if (/^0x[0-9a-f]+$/i.test(text)) {
      const offset = Number(text);
      if (offset % BUNDLE_BYTES !== 0 || offset >= bytes.length) {
        throw new UserError(
          `there is no bundle at ${text}; the last is at 0x${(bytes.length - BUNDLE_BYTES).toString(16)}`,
        );
      }
      return offset;
    }
    const line = /^(?:.*:)?(\d+)$/.exec(text)?.[1];
    if (line === undefined) throw new UserError(`there is no label "${text}"${suggestion(text, labels.keys())}`);
    const offset = this.#options.program.offsetOfLine(Number(line));
    if (offset === undefined) throw new UserError(`${file} has no bundle at or after line ${line}`);
    return offset;
  }

  #break(words: readonly string[]): string {
    if (words.length === 0) {
      return [...this.#breaks].map(([offset, n]) => `${n} ${this.#bundle(offset)}\n`).join('') || 'no breakpoints\n';
    }
    const offset = this.#place(words[0] as string);
    const n = this.#breaks.get(offset) ?? this.#nextBreak++;
    this.#breaks.set(offset, n);
    return `breakpoint ${n}: ${this.#bundle(offset)}\n`;
  }

  #delete(words: readonly string[]): string {
    if (words.length === 0) {
      this.#breaks.clear();
      return '';
    }
    const found = [...this.#breaks].find(([, n]) => n === Number(words[0]));
    if (!found) throw new UserError(`there is no breakpoint ${words[0]}`);
    this.#breaks.delete(found[0]);
    return '';
  }

  #bundle(offset: number): string {
    const { program } = this.#options;
    return `0x${offset.toString(16)} ${program.place(offset)}: ${program.text(offset)}`;
  }

  /** One bundle. @throws UserError that explains what the program did wrong */
  #one(): void {
    const { core } = this.#stand;
    if (core.status === 'halted') throw new UserError('the program has ended; "restart" begins again');
    if (core.status === 'failed') throw new UserError('the program has failed; "restart" begins again');
    try {
      core.step();
    } catch (error) {
      const text = this.#stand.explain(error);
      throw text === undefined ? error : new UserError(text);
    }
  }

  /** Goes on until `stop` says so, the program ends, or the budget is used up. */
  #until(stop: () => boolean): string {
    const { core } = this.#stand;
    for (let n = 0; n < this.#options.budget; n++) {
      this.#one();
      if (core.status === 'halted') return this.#where();
      if (core.status === 'debug') return `DBG\n${this.#where()}`;
      const hit = this.#breaks.get(core.pc);
      if (hit !== undefined) return `breakpoint ${hit}\n${this.#where()}`;
      if (stop()) return this.#where();
    }
    return `stopped after ${this.#options.budget} bundles\n${this.#where()}`;
  }

  #step(words: readonly string[]): string {
    let left = words.length === 0 ? 1 : Number(words[0]);
    if (!Number.isInteger(left) || left < 1) throw new UserError(`step ${words[0]}: a number of bundles is expected`);
    return this.#until(() => --left === 0);
  }

  #next(): string {
    const { core } = this.#stand;
    const begin = core.pc;
    if (core.status === 'halted' || core.status === 'failed') return this.#step([]);
    const bundle = core.bundleAt(begin);
    if (bundle.kind !== 'loop') return this.#step([]);
    const last = begin + bundle.endOffset;
    return this.#until(() => core.pc > last || core.pc < begin);
  }

  #continue(): string {
    return this.#until(() => false);
  }

  #where(): string {
    const { core } = this.#stand;
    const { bundles, cycles } = core.statistics;
    const done = `cycle ${cycles}, ${bundles} bundles done\n`;
    if (core.status === 'halted') return `the program has ended; ${done}`;
    return `${this.#bundle(core.pc)}\n${done}`;
  }

  #list(words: readonly string[]): string {
    const count = words.length === 0 ? 9 : Number(words[0]);
    if (!Number.isInteger(count) || count < 1) throw new UserError(`list ${words[0]}: a number of bundles is expected`);
    const { program } = this.#options;
    const { pc } = this.#stand.core;
    const names = new Map([...program.labels].map(([name, offset]) => [offset, name]));
    const from = Math.max(0, pc - Math.floor(count / 2) * BUNDLE_BYTES);
    let text = '';
    for (let at = from; at < Math.min(program.bytes.length, from + count * BUNDLE_BYTES); at += BUNDLE_BYTES) {
      const label = names.get(at);
      if (label !== undefined) text += `${label}:\n`;
      const mark = at === pc ? '>' : ' ';
      text += `${mark}${this.#breaks.has(at) ? '*' : ' '} ${this.#bundle(at)}\n`;
    }
    return text;
  }

  #tensors(): string {
    return this.#options.tensors
      .map(({ name, type, sizes }, n) => {
        const address = (this.#stand.addresses[n] as number).toString(16);
        return `${n} ${name} ${type}[${sizes.join(',')}] at 0x${address}\n`;
      })
      .join('');
  }

  /** Where the bytes of a register are as a slot sees them now. */
  #seen(slot: Slot, offset: number, length: number): number {
    return this.#stand.core.machine.pipeline.resolve(slot, offset, length);
  }

  /** A register's bytes: what arrives soonest; and whether the unit that wrote them still sees those before. */
  #register(offset: number, length: number): { readonly at: number; readonly late: boolean } {
    const { bytes } = this.#stand.core.state;
    const at = this.#seen('store', offset, length);
    const late = (['spu', 'vpu', 'load'] as const).some((slot) => {
      const own = this.#seen(slot, offset, length);
      for (let n = 0; n < length; n++) if (bytes[own + n] !== bytes[at + n]) return true;
      return false;
    });
    return { at, late };
  }

  #registers(): string {
    const { state } = this.#stand.core;
    const scalars: string[] = [];
    for (let n = 0; n < layout.SCALARS; n++) {
      const word = state.u32[this.#register(layout.SRF + n * 4, 4).at >> 2] as number;
      if (word !== 0) scalars.push(`S${n}=${word | 0}`);
    }
    const predicates: string[] = [];
    for (let n = 0; n < layout.SCALAR_PREDICATES; n++) {
      if (((state.u32[this.#register(layout.SPRF + n * 4, 4).at >> 2] as number) & 1) === 1) predicates.push(`SP${n}`);
    }
    let text = `${scalars.join(' ') || 'all scalars are 0'}\ntrue: ${predicates.join(' ')}\n`;
    for (let n = 0; n < layout.INDEX_REGISTERS; n++) {
      const index = this.#index(n);
      if (index.some((value) => value !== 0)) text += `I${n} [${index.join(' ')}]\n`;
    }
    for (let n = 0; n < layout.ADDRESS_REGISTERS; n++) {
      const address = this.#address(n);
      if (address !== 0) text += `AD${n} 0x${address.toString(16)}\n`;
    }
    return text;
  }

  #index(number: number): readonly number[] {
    const { at } = this.#register(layout.IRF + number * layout.INDEX_BYTES, layout.DIMENSIONS * 4);
    return Array.from(this.#stand.core.state.i32.subarray(at >> 2, (at >> 2) + layout.DIMENSIONS));
  }

  #address(number: number): number {
    const { at } = this.#register(layout.ADRF + number * layout.ADDRESS_BYTES, 8);
    const { u32 } = this.#stand.core.state;
    return (u32[at >> 2] as number) + (u32[(at >> 2) + 1] as number) * 2 ** 32;
  }

  #print(words: readonly string[]): string {
    const [name = '', type] = words;
    const match = /^(V|S|I|AD|SP|VP)(\d+)$/i.exec(name);
    if (!match) throw new UserError(`"${name}" is no register: V3, S4, I2, AD0, SP1 or VP1`);
    const file = (match[1] as string).toUpperCase();
    const number = Number(match[2]);
    const counts = {
      V: layout.GENERAL_VECTORS + 5,
      S: layout.SCALARS,
      I: layout.INDEX_REGISTERS,
      AD: layout.ADDRESS_REGISTERS,
      SP: layout.SCALAR_PREDICATES,
      VP: layout.VECTOR_PREDICATES,
    };
    const count = counts[file as keyof typeof counts];
    if (number >= count) throw new UserError(`there is no ${file}${number}; the last is ${file}${count - 1}`);
    if (file === 'V') return this.#vector(number, type ?? 'f32');
    if (file === 'S') return this.#scalar(number, type);
    if (file === 'I') return `I${number} [${this.#index(number).join(' ')}]\n`;
    if (file === 'AD') return `AD${number} 0x${this.#address(number).toString(16)}\n`;
    if (file === 'SP') {
      const { at, late } = this.#register(layout.SPRF + number * 4, 4);
      return `SP${number} ${((this.#stand.core.state.u32[at >> 2] as number) & 1) === 1}${note(late)}\n`;
    }
    const { at, late } = this.#register(layout.VPRF + number * layout.PREDICATE_BYTES, layout.PREDICATE_BYTES);
    const hex = Buffer.from(this.#stand.core.state.bytes.subarray(at, at + layout.PREDICATE_BYTES)).toString('hex');
    return `VP${number} ${hex} (byte 0 first, bit 0 of it is byte 0 of a vector)${note(late)}\n`;
  }

  #scalar(number: number, type: string | undefined): string {
    const { at, late } = this.#register(layout.SRF + number * 4, 4);
    const { state } = this.#stand.core;
    const word = state.u32[at >> 2] as number;
    const float = numberText(state.f32[at >> 2] as number, true);
    if (type !== undefined)
      return `S${number} ${numberText(lanes(type).fromWord(word), lanes(type).float !== undefined)}\n`;
    return `S${number} ${word | 0} 0x${word.toString(16)} ${float}${note(late)}\n`;
  }

  #vector(number: number, type: string): string {
    const lane = lanes(type);
    const offset = number === 41 ? layout.LFSR : layout.VRF + number * layout.VECTOR_BYTES;
    const { at, late } = this.#register(offset, layout.VECTOR_BYTES);
    const bytes = this.#stand.core.state.bytes.slice(at, at + layout.VECTOR_BYTES);
    const perLine = lane.bytes === 4 ? 8 : 16;
    let text = `V${number} ${type}${note(late)}\n`;
    for (let n = 0; n < lane.count; n += perLine) {
      const values = Array.from({ length: perLine }, (_, k) => elementText(bytes, type as TensorType, n + k));
      text += `  ${String(n).padStart(3)}: ${values.join(' ')}\n`;
    }
    return text;
  }

  #memory(words: readonly string[]): string {
    const [what = '', type] = words;
    const match = /^(\w+)(?:\[(\d+)(?:\.\.(\d+))?\])?$/.exec(what);
    if (!match)
      throw new UserError(
        `"${what}": a tensor, vlm or slm is expected, e.g. x[0..16]; elements are counted from the first of the tensor, along dimension 0`,
      );
    const name = match[1] as string;
    const from = Number(match[2] ?? 0);
    const to = match[3] === undefined ? from + (match[2] === undefined ? 16 : 1) : Number(match[3]);
    const { tensors } = this.#options;
    const n = tensors.findIndex((each) => each.name === name);
    if (n < 0 && name !== 'vlm' && name !== 'slm') {
      throw new UserError(
        `there is no memory "${name}" (there are ${[...tensors.map((t) => t.name), 'vlm', 'slm'].join(', ')})`,
      );
    }
    const { state } = this.#stand.core;
    const local = name === 'vlm' ? [layout.VLM, layout.VLM_BYTES] : [layout.SLM, layout.SLM_BYTES];
    const [start, length] = local as [number, number];
    const bytes = n < 0 ? state.bytes.subarray(start, start + length) : (this.#stand.elements[n] as Uint8Array);
    const as = (type ?? (n < 0 ? (name === 'vlm' ? 'f32' : 'i32') : tensors[n]?.type)) as TensorType;
    const width = lanes(as).bytes;
    // Of local memories bytes are told, of tensors elements.
    const unit = n < 0 ? 1 : elementBytes[tensors[n]?.type as TensorType];
    const first = (from * unit) / width;
    const count = Math.ceil(((to - from) * unit) / width);
    if (!Number.isInteger(first))
      throw new UserError(`${what}: ${from} is in the middle of an element of ${width} bytes`);
    if (to <= from || to * unit > bytes.length) throw new UserError(`${what}: it has ${bytes.length / unit}`);
    if (count > MAX_ELEMENTS) throw new UserError(`${what}: ${count} elements; at most ${MAX_ELEMENTS} are printed`);
    let text = '';
    for (let k = 0; k < count; k += 8) {
      const values = Array.from({ length: Math.min(8, count - k) }, (_, i) => elementText(bytes, as, first + k + i));
      text += `${name}[${from + (k * width) / unit}] ${values.join(' ')}\n`;
    }
    return text;
  }
}

function lanes(type: string): LaneType {
  if (!Object.hasOwn(laneTypes, type)) {
    throw new UserError(`there is no type "${type}" (there are ${Object.keys(laneTypes).join(', ')})`);
  }
  return laneTypes[type as keyof typeof laneTypes];
}

/** A result that has not arrived everywhere. */
function note(late: boolean): string {
  return late ? ' (on its way: the unit that computes it sees the value before)' : '';
}
