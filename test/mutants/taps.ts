/**
 * Taps: places in the source through which everything of one kind goes (every packet, every write to a register, every ioctl),
 * where a mistake that is known by a row alone is made: a field is taken for 0, a write is lost, an errno is another.
 */

import { constants } from 'node:os';
import { commands } from '../../specs/efa/admin.ts';
import { gaudiQman } from '../../specs/gaudi-qman.ts';
import type { FieldRow } from '../../src/isa/packets.ts';
import { SystemError } from '../../src/os/libc.ts';
import type { Layout } from '../../src/sim/layout.ts';
import type { RegisterRow } from '../../src/sim/registers.ts';
import { interfaces } from '../../src/uapi/habanalabs/index.ts';
import { paths } from '../../src/uapi/struct.ts';
import type { Edit } from './mutant.ts';

const decode = (file: string, layout: string): Edit => ({
  file,
  find: `${layout}.decode(`,
  replace: `globalThis.sagradaMutant.decoder(${layout}).decode(`,
});

/** In every run, whichever mutant it is about. */
export const taps: readonly Edit[] = [
  {
    file: 'src/gaudi/command-processor.ts',
    find: 'block.words[CURRENT_LO + this.index] = words[0] as number;',
    replace: 'globalThis.sagradaMutant.packet(words); block.words[CURRENT_LO + this.index] = words[0] as number;',
  },
  {
    file: 'src/gaudi/sync-manager.ts',
    find: 'const operand = value & SOB.VALUE;',
    replace: "value = globalThis.sagradaMutant.format('sob', value); const operand = value & SOB.VALUE;",
  },
  {
    file: 'src/gaudi/sync-manager.ts',
    find: "this.registers.set('MON_ARM', value, monitor);",
    replace:
      "value = globalThis.sagradaMutant.format('mon_arm', value); this.registers.set('MON_ARM', value, monitor);",
  },
  {
    file: 'src/sim/registers.ts',
    find: '(this.#writes[word] as number)++;',
    replace:
      'if (globalThis.sagradaMutant.lost(this.spec.name, this.spec.words[word]?.name, value, this.words[word])) return; (this.#writes[word] as number)++;',
  },
  {
    file: 'src/sim/registers.ts',
    find: 'if (r.reset === 0) continue;',
    replace: 'if (r.reset === 0 || globalThis.sagradaMutant.noReset(this.spec, r)) continue;',
  },
  {
    file: 'src/driver/model/driver.ts',
    find: 'return viaDrm(request, argument, size, (copy) => this.#ioctl(node, numberOf(request), copy));',
    replace:
      'return globalThis.sagradaMutant.ioctl(request, argument, () => viaDrm(request, argument, size, (copy) => this.#ioctl(node, numberOf(request), copy)));',
  },
  {
    file: 'src/driver/model/driver.ts',
    find: 'return viaControl(request, argument, layout.size, ask);',
    replace:
      'return globalThis.sagradaMutant.ioctl(request, argument, () => viaControl(request, argument, layout.size, ask));',
  },
  {
    file: 'src/efa/admin-commands.ts',
    find: 'const begun = body(row.request.decode(command.payload) as never, command);',
    replace:
      'const begun = body(globalThis.sagradaMutant.decoder(row.request).decode(command.payload) as never, command);',
  },
  decode('src/efa/requester.ts', 'remoteMemory'),
  decode('src/efa/requester.ts', 'txBuffer'),
  decode('src/efa/responder.ts', 'rxDescriptor'),
  {
    file: 'src/efa/requester.ts',
    find: 'if (!meta.meta_desc || ',
    replace: 'globalThis.sagradaMutant.values(txMeta, meta); if (!meta.meta_desc || ',
  },
];

type Hit = (name: string, present: boolean) => boolean;

/** A number in a range of bytes, little-endian, and what makes it 0. */
interface Place {
  readonly at: number;
  readonly size: number;
}

const PREFIXES =
  /^(DRM_IOCTL_HL|HL_INFO|HL_CB_OP|HL_CB_FLAGS|HL_CS_FLAGS|HL_CS|HL_WAIT_CS_FLAGS|HL_MEM_OP|HL_MEM|HL_DEBUG_OP)_/;
const short = (name: string) => name.replace(PREFIXES, '').replace(PREFIXES, '');

interface OperationTap {
  readonly value: number;
  readonly takes: readonly (Place & { readonly name: string })[];
  readonly gives: readonly (Place & { readonly name: string })[];
  readonly flags: readonly (Place & { readonly name: string; readonly mask: number })[];
  readonly errors: readonly { readonly name: string; readonly errno: string }[];
}

interface IoctlTap {
  readonly number: number;
  readonly selects: Place & { readonly by: 'number' | 'flags' };
  readonly operations: readonly OperationTap[];
  /** What is refused whichever operation it is. */
  readonly errors: OperationTap['errors'];
}

/** Another errno that the same ioctl might have meant. */
const INSTEAD: Readonly<Record<string, string>> = {
  EINVAL: 'EPERM',
  EPERM: 'EINVAL',
  ENOMEM: 'EINVAL',
  EFAULT: 'EINVAL',
  EIO: 'EPERM',
};

export const ioctlTaps: readonly IoctlTap[] = interfaces.map(({ ioctl, operations, selects, flags }) => {
  const call = short(ioctl.name);
  const members = paths(ioctl.argument.members);
  const find = (path: string): Place => {
    const member = members.find((m) => m.path === path);
    if (!member) throw new Error(`${ioctl.argument.name} has no member ${path}`);
    return { at: member.offset, size: member.field.size };
  };
  return {
    number: ioctl.request & 0xff,
    selects: { ...find(selects.member), by: selects.by },
    errors: Object.keys(ioctl.errors ?? {})
      .filter((errno) => ioctl.beyond?.[errno] === undefined)
      .map((errno) => ({ name: `errno: ${call} says ${INSTEAD[errno] ?? 'EIO'} for ${errno}`, errno })),
    operations: Object.entries(operations)
      .filter(([, row]) => row.chips === undefined)
      .map(([name, row]): OperationTap => {
        const id = `${call} ${row.label ?? short(name)}`;
        const inside = (paths: readonly string[], what: string) =>
          paths
            .filter((path) => path !== selects.member && members.some((m) => m.path === path))
            .map((path) => ({ name: `uapi: ${id} ${what} ${path}`, ...find(path) }));
        const accepted = Object.entries(row.flags ?? {}).filter(([, how]) => how === 'accepted');
        return {
          value: row.value,
          takes: inside(row.takes ?? [], 'ignores'),
          gives: inside(row.gives ?? [], 'does not answer'),
          flags: accepted.flatMap(([flag]) => {
            const home = flags.find(({ member, rows }) => !member.startsWith('chunk.') && flag in rows);
            if (!home) return [];
            const mask = Number(home.rows[flag]?.value);
            if (selects.by === 'flags' && mask === row.value) return [];
            return [{ name: `uapi: ${id} ignores flag ${short(flag)}`, mask, ...find(home.member) }];
          }),
          errors: Object.keys(row.errors ?? {})
            .filter((errno) => row.beyond?.[errno] === undefined)
            .map((errno) => ({ name: `errno: ${id} says ${INSTEAD[errno] ?? 'EIO'} for ${errno}`, errno })),
        };
      }),
  };
});

const bySets = Object.entries(gaudiQman.rows).map(([name, row]) => ({ name, row }));
const opcodes = new Map(bySets.map((set) => [set.row.opcode as number, set]));

/**
 * What mutants of single packets leave out: what the model sees to in one place for all of them (barriers and predicates: sources.ts
 * has those), what has no effect in it because only the name is public, and what it refuses (ModelError, so that a field taken for 0
 * is never met).
 */
const LEFT_OUT =
  /^(eb|rb|mb|pred|weakly_ordered|no_snoop|te|op|transpose|dtype|compress|decompress|context_id_low|context_id_high|unused)$/;

export function packetFields(name: string): [string, FieldRow][] {
  const { fields } = gaudiQman.rows[name as keyof typeof gaudiQman.rows];
  return Object.entries(fields as Readonly<Record<string, FieldRow | { kind: 'payload' }>>).filter(
    (entry): entry is [string, FieldRow] => entry[1].kind !== 'payload' && !LEFT_OUT.test(entry[0]),
  );
}

export function formatFields(name: 'sob' | 'mon_arm'): [string, FieldRow][] {
  return Object.entries(gaudiQman.formats[name].fields as Readonly<Record<string, FieldRow>>).filter(
    ([field]) => !LEFT_OUT.test(field),
  );
}

/** Bits of a field within each word it has bits in. */
function masks({ lo, hi }: FieldRow): [word: number, mask: number][] {
  const found: [number, number][] = [];
  for (let word = lo >>> 5; word <= hi >>> 5; word++) {
    let mask = 0;
    for (let bit = 0; bit < 32; bit++) if (32 * word + bit >= lo && 32 * word + bit <= hi) mask |= 1 << bit;
    found.push([word, mask >>> 0]);
  }
  return found;
}

const packetTaps = new Map(
  [...opcodes].map(([opcode, { name }]) => [
    opcode,
    packetFields(name).map(([field, row]) => ({ name: `packet: ${name} ignores ${field}`, masks: masks(row) })),
  ]),
);

const formatTaps = {
  sob: formatFields('sob').map(([field, row]) => ({ name: `packet: sob ignores ${field}`, masks: masks(row) })),
  mon_arm: formatFields('mon_arm').map(([field, row]) => ({
    name: `packet: mon_arm ignores ${field}`,
    masks: masks(row),
  })),
};

/** Requests of the admin queue are known by the names of their commands. */
const adminNames = new Map(Object.entries(commands).map(([name, { request }]) => [request.name, name]));

/** The global `sagradaMutant` that the taps speak to. */
export class Saboteur {
  readonly #hit: Hit;
  readonly #registers: ReadonlySet<string>;

  /**
   * @param hit told that a place is passed, and whether anything there would be different; @returns whether to do it wrong
   * @param registers names of mutants of registers: all others are left alone at once
   */
  constructor(hit: Hit, registers: ReadonlySet<string>) {
    this.#hit = hit;
    this.#registers = registers;
  }

  /** Of edits in a survey. */
  reached(name: string): void {
    this.#hit(name, true);
  }

  /** Of edits in a survey whose other value can be looked at. */
  differs<T>(name: string, value: T, other: () => unknown): T {
    let same = false;
    try {
      same = Object.is(value, other());
    } catch {
      // would be noticed
    }
    this.#hit(name, !same);
    return value;
  }

  packet(words: Uint32Array): void {
    const opcode = ((words[1] as number) >>> 24) & 0x1f;
    for (const field of packetTaps.get(opcode) ?? []) {
      const present = field.masks.some(([word, mask]) => ((words[word] ?? 0) & mask) !== 0);
      if (present && this.#hit(field.name, true))
        for (const [word, mask] of field.masks) words[word] = (words[word] as number) & ~mask;
    }
  }

  format(format: 'sob' | 'mon_arm', value: number): number {
    let changed = value;
    for (const field of formatTaps[format]) {
      const mask = field.masks[0]?.[1] as number;
      if ((value & mask) !== 0 && this.#hit(field.name, true)) changed = (changed & ~mask) >>> 0;
    }
    return changed;
  }

  lost(block: string, register: string | undefined, value: number, stored: number | undefined): boolean {
    const name = `register: ${block}.${register} loses what is written`;
    return this.#registers.has(name) && this.#hit(name, value >>> 0 !== stored);
  }

  noReset(
    { name: block, rows }: { name: string; rows: Readonly<Record<string, RegisterRow>> },
    row: RegisterRow,
  ): boolean {
    if (![...this.#registers].some((name) => name.startsWith(`register: ${block}.`))) return false;
    const register = Object.keys(rows).find((name) => rows[name] === row);
    const name = `register: ${block}.${register} begins at 0`;
    return this.#registers.has(name) && this.#hit(name, true);
  }

  decoder(layout: Layout): { decode(source: Uint8Array, at?: number): Record<string, number> } {
    return { decode: (source, at) => this.values(layout, { ...layout.decode(source, at) }) };
  }

  values(layout: Layout, values: object): Record<string, number> {
    const changed = values as Record<string, number>;
    const name = adminNames.get(layout.name) ?? layout.name;
    for (const field of Object.keys(changed)) {
      if (changed[field] !== 0 && this.#hit(`efa: ${name} ignores ${field}`, true)) changed[field] = 0;
    }
    return changed;
  }

  *ioctl<T>(request: number, argument: Uint8Array, body: () => Generator<T, void, void>): Generator<T, void, void> {
    const tap = ioctlTaps.find(({ number }) => number === (request & 0xff));
    if (!tap) {
      yield* body();
      return;
    }
    const operation = operationOf(tap, argument);
    const named = operation?.errors ?? [];
    const errors = [...named, ...tap.errors.filter(({ errno }) => !named.some((other) => other.errno === errno))];
    const before = argument.slice();
    const zero = ({ name, at, size }: Place & { name: string }) => {
      const bytes = argument.subarray(at, at + size);
      if (bytes.some((byte) => byte !== 0) && this.#hit(name, true)) bytes.fill(0);
    };
    for (const member of operation?.takes ?? []) zero(member);
    const view = new DataView(argument.buffer, argument.byteOffset, argument.length);
    for (const { name, at, mask } of operation?.flags ?? []) {
      const flags = view.getUint32(at, true);
      if ((flags & mask) !== 0 && this.#hit(name, true)) view.setUint32(at, flags & ~mask, true);
    }
    const asked = argument.slice();
    try {
      yield* body();
    } catch (error) {
      if (!(error instanceof SystemError)) throw error;
      const { code, message } = error;
      for (const { name, errno } of errors) {
        if (errno !== code || !this.#hit(name, true)) continue;
        throw new SystemError(message, constants.errno[(INSTEAD[errno] ?? 'EIO') as 'EIO']);
      }
      throw error;
    } finally {
      // what was asked for is still there afterwards, unless the answer is in its place
      argument.forEach((byte, i) => {
        if (byte === asked[i] && byte !== before[i]) argument[i] = before[i] as number;
      });
    }
    for (const member of operation?.gives ?? []) zero(member);
  }
}

function operationOf(tap: IoctlTap, argument: Uint8Array): OperationTap | undefined {
  if (argument.length < tap.selects.at + tap.selects.size) return undefined;
  const view = new DataView(argument.buffer, argument.byteOffset, argument.length);
  const value = view.getUint32(tap.selects.at, true);
  if (tap.selects.by === 'number') return tap.operations.find((operation) => operation.value === value);
  const some = [...tap.operations].reverse().find((operation) => (operation.value & value) !== 0);
  return some ?? tap.operations.find((operation) => operation.value === 0);
}
