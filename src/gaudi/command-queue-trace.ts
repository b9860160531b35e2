/** What a trace tells of command buffers on their way: which doorbell announced them, and where a packet was read. */

import type { Track } from '../trace/recorder.ts';

/** A piece of a command buffer that was read. */
interface Piece {
  readonly buffer: {
    readonly lo: number;
    readonly hi: number;
    readonly size: number;
    readonly control: number;
    readonly flow?: number;
  };
  /** Bytes from the buffer's beginning. */
  readonly offset: number;
  readonly words: number;
}

/** Of one ring: what each of its entries is for. */
export class DoorbellTrace {
  readonly #track: Track;
  readonly #name: string;
  readonly #flows = new Map<number, number>();
  #producer = 0;

  constructor(track: Track, name: string) {
    this.#track = track;
    this.#name = name;
  }

  /** The doorbell says `value`. @param wrap where the producer index begins anew */
  rung(value: number, wrap: number): void {
    const { trace } = this.#track;
    const entries = wrap === 0 ? 0 : (value - this.#producer + wrap) % wrap;
    if (entries === 0) {
      this.#producer = wrap === 0 ? 0 : value % wrap;
      return;
    }
    const flow = trace.cause === 0 ? trace.flow() : trace.cause;
    for (let i = 0; i < entries; i++) this.#flows.set((this.#producer + i) % wrap, flow);
    this.#producer = wrap === 0 ? 0 : value % wrap;
    this.#track.instant('doorbell', this.#name, { value, entries }, flow);
  }

  /** @param entry consumer index */
  flowOf(entry: number): number {
    const flow = this.#flows.get(entry) ?? 0;
    this.#flows.delete(entry);
    return flow;
  }

  reset(): void {
    this.#flows.clear();
    this.#producer = 0;
  }
}

/** Of one command processor: the buffers that it executes. */
export class BufferTrace {
  readonly track: Track;
  #pieces: Piece[] = [];
  /** Words of the first piece that are consumed. */
  #consumed = 0;
  /** The buffer whose slice is open. */
  #open: Piece['buffer'] | undefined;
  /** Whether what was consumed last ended its buffer. */
  #whole = false;

  constructor(track: Track) {
    this.track = track;
  }

  /** What is executed now is for this. */
  get flow(): number {
    return this.#pieces[0]?.buffer.flow ?? 0;
  }

  /** Device address of the next word; 0 where it is not known. */
  get address(): number {
    const piece = this.#pieces[0];
    if (!piece) return 0;
    const { lo, hi } = piece.buffer;
    return hi * 2 ** 32 + lo + piece.offset + 4 * this.#consumed;
  }

  /** Whether nothing is left of the buffer. */
  get whole(): boolean {
    return this.#whole;
  }

  /** Bytes of a buffer have been read. */
  read(buffer: Piece['buffer'], offset: number, bytes: number): void {
    this.#pieces.push({ buffer, offset, words: bytes / 4 });
  }

  /** A packet begins. */
  begin(): void {
    const piece = this.#pieces[0];
    if (!piece || this.#open === piece.buffer) return;
    // a packet may lie in two buffers
    if (this.#open) this.track.end('buffer');
    this.#open = piece.buffer;
    const { lo, hi, size, control, flow } = piece.buffer;
    this.track.begin('buffer', undefined, { address: hi * 2 ** 32 + lo, size, control }, flow ?? 0);
  }

  /** A packet has been executed: the buffer has, too, where nothing of it is left. */
  end(): void {
    if (!this.#open || !this.#whole) return;
    this.#open = undefined;
    this.track.end('buffer');
  }

  consumed(words: number): void {
    this.#consumed += words;
    this.#whole = false;
    for (let piece = this.#pieces[0]; piece && this.#consumed >= piece.words; piece = this.#pieces[0]) {
      this.#consumed -= piece.words;
      this.#whole = this.#consumed === 0 && piece.offset + 4 * piece.words + 8 > piece.buffer.size;
      this.#pieces.shift();
    }
  }

  /** What was read will not be executed. */
  dropped(): void {
    this.#pieces = [];
    this.#consumed = 0;
    this.#open = undefined;
    this.track.endAll();
  }
}
