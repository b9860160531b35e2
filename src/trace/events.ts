/**
 * Everything that a trace can tell: one row for each kind of event, whichever room it happens in. Recorder, reader, terminal
 * and viewer take names, units and meanings from here; adding a kind of event is adding a row, and calling it where it happens.
 *
 * The row's key is the event's category in the file; the event's own name is that of the packet, the register, the ioctl, ...
 * where there is such a thing, else the row's key.
 */

/**
 * What a field holds:
 * - `number`: a whole number, 0 up to 2^53; `signed`: one that may be below 0
 * - `address`: a device, bus or virtual address, or another number that is read in hexadecimal; below 2^53
 * - `word`: a 64-bit number that is read in hexadecimal, as a bigint
 * - `text`: a string; `name`: one of few strings, which are kept once
 * - `bytes`: raw bytes (packets are little-endian 32-bit words); what is longer than `MOST_BYTES` is cut off
 * - `flag`: true or false
 */
type FieldKind = 'number' | 'signed' | 'address' | 'word' | 'text' | 'name' | 'bytes' | 'flag';

export interface FieldRow {
  readonly kind: FieldKind;
  readonly doc: string;
  /** E.g. `bytes`, `ns`, `cycles`. */
  readonly unit?: string;
}

/** `slice`: has a beginning and an end. `either`: a slice where it takes time, else an instant. */
type Shape = 'instant' | 'slice';

/** What an event is about; viewers give each group a colour. */
type Group =
  | 'run'
  | 'driver'
  | 'memory'
  | 'registers'
  | 'commands'
  | 'data'
  | 'synchronization'
  | 'compute'
  | 'network'
  | 'trouble';

export interface EventRow {
  readonly group: Group;
  readonly shape: Shape;
  readonly doc: string;
  readonly fields: Readonly<Record<string, FieldRow>>;
  /** Fields that are known at the end of a slice. */
  readonly results: Readonly<Record<string, FieldRow>>;
}

const number = (doc: string, unit?: string) => ({ kind: 'number', doc, ...(unit ? { unit } : {}) }) as const;
const bytes = (doc: string) => number(doc, 'bytes');
const signed = (doc: string) => ({ kind: 'signed', doc }) as const;
const address = (doc: string) => ({ kind: 'address', doc }) as const;
const word = (doc: string) => ({ kind: 'word', doc }) as const;
const text = (doc: string) => ({ kind: 'text', doc }) as const;
const name = (doc: string) => ({ kind: 'name', doc }) as const;
const raw = (doc: string) => ({ kind: 'bytes', doc }) as const;
const flag = (doc: string) => ({ kind: 'flag', doc }) as const;

type Fields = Readonly<Record<string, FieldRow>>;

function instant<const F extends Fields>(group: Group, doc: string, fields: F) {
  return { group, shape: 'instant', doc, fields, results: {} } as const;
}

function slice<const F extends Fields, const R extends Fields>(group: Group, doc: string, fields: F, results: R) {
  return { group, shape: 'slice', doc, fields, results } as const;
}

export const traceEvents = {
  machine: instant('run', 'A machine that this part of the trace is of. Its name is the event’s name.', {
    clock: name('of its times: `virtual` (nanoseconds since the machine started) or `wall` (since `began`)'),
    began: number('when the recording began, of wall time: since 1970', 'ms'),
    target: name('`model` or `vm`'),
    seed: number('of what is random in the devices'),
  }),
  device: instant('run', 'A device of the machine. The event’s name is the device’s.', {
    model: name('`gaudi` or `efa`'),
    path: name('ports above it, from the root port down, separated by /'),
  }),
  test: slice(
    'run',
    'A test of a suite. The event’s name is its id.',
    {},
    { outcome: name('passed, failed or skipped'), message: text('of a failure') },
  ),
  ioctl: slice(
    'driver',
    'A call of ioctl(2). The event’s name is the request’s.',
    {
      fd: number('descriptor'),
      file: name('what it is of'),
      request: address('number of the request'),
      argument: raw('as it was passed'),
    },
    { result: signed('what it returned, or -errno'), after: raw('the argument as it came back') },
  ),
  call: slice(
    'driver',
    'Another system call. The event’s name is the call’s.',
    { fd: signed('descriptor, -1: none'), file: name('what it is of'), detail: text('its arguments') },
    { result: signed('what it returned, or -errno') },
  ),
  submission: instant(
    'driver',
    'The driver puts a command buffer into a hardware queue. The event’s name is the queue’s.',
    {
      queue: name('hardware queue'),
      entry: number('of the queue, where its end is told'),
      address: address('device address of the command buffer'),
      size: bytes('of the command buffer'),
    },
  ),
  completion: instant('driver', 'The driver finds a command buffer executed. The event’s name is the queue’s.', {
    queue: name('hardware queue'),
    entry: number('of the queue'),
  }),
  log: instant('driver', 'A line of the kernel’s log.', { level: number('of syslog'), text: text('the line') }),
  memory: instant(
    'memory',
    'Memory changes hands. The event’s name says how: allocate, free, map, unmap, export, import, release (of what was exported), register, deregister.',
    {
      space: name('`device` (HBM), `sram` or `host`'),
      address: address('where it is: a device address, or that of the program where it is host memory'),
      size: bytes('of it'),
      virtual: address('device-virtual address, where it is mapped; else 0'),
      handle: word('of the allocation; 0: none'),
      owner: name('who has it: device or process'),
    },
  ),
  register_read: instant('registers', 'The host reads a register. The event’s name is the register’s.', {
    address: address('offset from CFG_BASE or from the beginning of the BAR'),
    value: address('what it got'),
  }),
  register_write: instant('registers', 'The host writes a register. The event’s name is the register’s.', {
    address: address('offset from CFG_BASE or from the beginning of the BAR'),
    value: address('what it wrote'),
  }),
  doorbell: instant('commands', 'Work is announced. The event’s name is the doorbell’s.', {
    value: number('producer index'),
    entries: number('that are new'),
  }),
  buffer: slice(
    'commands',
    'A stream executes a command buffer.',
    { address: address('of its first byte'), size: bytes('of it'), control: address('control word') },
    {},
  ),
  packet: slice(
    'commands',
    'A command processor executes a packet. The event’s name is the packet’s.',
    {
      address: address('where it was read; 0 where it was made of scalars'),
      words: raw('the packet'),
    },
    { count: number('how often in a row (NOPs)') },
  ),
  message: instant(
    'commands',
    'A message has arrived. The event’s name is the register’s, or says what memory it was written to.',
    {
      address: address('device address'),
      value: address('what was written'),
    },
  ),
  engine_error: instant(
    'trouble',
    'An engine or queue manager has noted an error. The event’s name is the register’s.',
    {
      cause: address('bits that were set'),
    },
  ),
  dma: slice(
    'data',
    'A DMA core transfers. The event’s name says what: copy or fill.',
    {
      source: address('device address; of a fill its pattern’s low word'),
      destination: address('device address'),
      bytes: bytes('in all'),
      rows: number('that it consists of; 1 where it is linear'),
    },
    {},
  ),
  bus: instant('data', 'Bytes go over PCI Express. The event’s name says which way.', {
    route: name('`host`: memory of the host; else the way to a peer'),
    from: name('who asks'),
    to: name('who answers'),
    access: name('read or write, as `from` sees it'),
    address: address('bus address of the first piece'),
    bytes: bytes('how many'),
    pieces: number('that they were asked for in, at one time'),
    peer: flag('between two devices, past the memory of the host'),
  }),
  fence: slice(
    'synchronization',
    'A stream waits in a FENCE.',
    { fence: number('counter'), target: number('that it has to reach'), count: number('that it has') },
    {},
  ),
  fence_count: instant('synchronization', 'A fence counter is increased.', {
    fence: number('counter'),
    value: number('now'),
  }),
  sync_object: instant('synchronization', 'A sync object changes.', {
    object: number('index'),
    value: number('now'),
    before: number('until then'),
  }),
  monitor_arm: instant('synchronization', 'A monitor is armed.', {
    monitor: number('index'),
    objects: name('sync objects that it looks at'),
    target: number('value they are compared with'),
    mode: name('of the comparison'),
    address: address('where its message goes'),
    data: address('its message'),
  }),
  monitor_fire: instant('synchronization', 'The condition of a monitor is met: its message goes.', {
    monitor: number('index'),
    address: address('where its message goes'),
    data: address('its message'),
  }),
  interrupt: instant('synchronization', 'A device interrupts the host.', {
    kind: name('msi or msix'),
    vector: number('index'),
  }),
  device_event: instant('synchronization', 'The firmware tells the driver of an event. The event’s name is its name.', {
    id: number('of the event'),
  }),
  firmware: instant('driver', 'The firmware is asked something. The event’s name is the message’s.', {
    opcode: number('of the message'),
    argument: word('of the message'),
    result: word('that it gave'),
    status: number('0: done'),
  }),
  tpc_kernel: slice(
    'compute',
    'A TPC runs a kernel.',
    { address: address('of its first instruction') },
    {
      bundles: number('instructions executed'),
      cycles: number('that they took', 'cycles'),
      stalls: number('of these in which nothing was issued', 'cycles'),
      outcome: name('halted, stopped by an error, or given up by a reset'),
    },
  ),
  tpc_stall: instant('compute', 'A TPC kernel has stalled: its instructions waited for what they read.', {
    pc: address('where it is now'),
    bundles: number('instructions since the last such event'),
    cycles: number('of these in which nothing was issued', 'cycles'),
  }),
  tpc_program: instant(
    'compute',
    'Code of a kernel that is followed bundle by bundle, in pieces. The event’s name is its file’s.',
    {
      offset: address('of the piece from the first bundle, in bytes'),
      code: raw('bundles of 32 bytes'),
    },
  ),
  tpc_follow: instant(
    'compute',
    'A launch that is followed bundle by bundle begins: the first of its program on this machine, as far as a limit.',
    { address: address('of its first bundle') },
  ),
  tpc_bundle: instant('compute', 'A core that is followed does a bundle. The event’s name is its text.', {
    offset: address('of the bundle from the first, in bytes'),
    cycle: number('in which it is issued', 'cycles'),
  }),
  tpc_register: instant(
    'compute',
    'A register has another value after the bundle before. The event’s name is the register’s.',
    {
      value: raw('its bytes, lane 0 first'),
    },
  ),
  page_walk: instant('memory', 'The MMU finds a page in the tables, as the cache does not know it.', {
    asid: number('address space'),
    virtual: address('that was asked for'),
    physical: address('of the page'),
    page: bytes('of the page'),
    hops: number('tables read'),
  }),
  page_fault: instant('trouble', 'An address is not mapped.', {
    asid: number('address space'),
    virtual: address('that was asked for'),
    access: name('read or write'),
    initiator: name('who asked'),
  }),
  admin_command: instant(
    'network',
    'A NIC carries out a command of its admin queue. The event’s name is the command’s.',
    {
      id: number('of the command'),
      status: number('of the completion; 0: done'),
    },
  ),
  work_request: instant('network', 'A NIC takes a work request. The event’s name is the operation’s.', {
    queue: number('pair'),
    request: number('id of the work request'),
    bytes: bytes('to move'),
    key: address('remote key, of RDMA operations'),
    remote: address('virtual address of the remote buffer, of RDMA operations; else 0'),
  }),
  packet_sent: instant('network', 'A NIC sends a packet. The event’s name is its kind.', {
    queue: number('pair that sends'),
    peer: number('pair that it is for'),
    sequence: number('of the packet'),
    bytes: bytes('of payload'),
  }),
  packet_received: instant('network', 'A packet arrives at a NIC. The event’s name is its kind.', {
    queue: number('pair that it is for'),
    sequence: number('of the packet'),
    bytes: bytes('of payload'),
  }),
  work_completion: instant('network', 'A NIC tells that a work request is done. The event’s name is the status.', {
    queue: number('pair'),
    request: number('id of the work request'),
    completions: number('queue that it is told in'),
  }),
  refusal: instant('trouble', 'A model refuses. The event’s name is the category.', {
    where: name('register, opcode or block'),
    text: text('what it is about'),
  }),
  fault: instant('trouble', 'A fault is injected. The event’s name is the fault’s.', { detail: text('where and how') }),
  reset: instant('trouble', 'Something is reset. The event’s name is the kind of reset.', {
    detail: text('what was reset'),
  }),
} satisfies Readonly<Record<string, EventRow>>;

export type EventName = keyof typeof traceEvents;

interface Values {
  number: number;
  signed: number;
  address: number;
  word: bigint;
  text: string;
  name: string;
  bytes: Uint8Array;
  flag: boolean;
}

/** All fields of a row; those that do not apply are left out. */
type ValuesOf<F extends Fields> = { readonly [N in keyof F]?: Values[F[N]['kind']] | undefined };

export type EventFields<N extends EventName> = ValuesOf<(typeof traceEvents)[N]['fields']>;
export type EventResults<N extends EventName> = ValuesOf<(typeof traceEvents)[N]['results']>;

type OfShape<S extends Shape> = { [N in EventName]: (typeof traceEvents)[N]['shape'] extends S ? N : never }[EventName];
export type InstantName = OfShape<'instant'>;
export type SliceName = OfShape<'slice'>;
