/** What runs in the other process: see process.ts. Its argument is the descriptor of the socket. */

import process from 'node:process';
import * as libc from '../../os/libc.ts';
import type { Call, Mapping, Thread } from '../driver.ts';
import { LinuxDriver } from './driver.ts';
import { receive, send } from './frames.ts';
import type { Reply, Request } from './process.ts';

const socket = Number(process.argv[2]);
const driver = new LinuxDriver();

/** Memory by its address. That of a driver has a copy that both processes see, and its content at the last exchange. */
interface Memory {
  readonly mapping: Mapping;
  readonly copy?: Mapping;
  readonly last?: Uint8Array;
}
const memory = new Map<bigint, Memory>();
const threads = new Map<number, Thread>();
const calls = new Map<number, { readonly call: Call; readonly buffer: Uint8Array }>();
let numbers = 0;

/** What the other process has written goes into the memory of the driver. */
function exchangeIn(): void {
  for (const { mapping, copy, last } of memory.values())
    if (copy && last && Buffer.compare(copy.bytes, last) !== 0) mapping.bytes.set(copy.bytes);
}

function exchangeOut(): void {
  for (const { mapping, copy, last } of memory.values()) {
    if (!copy || !last || Buffer.compare(mapping.bytes, last) === 0) continue;
    last.set(mapping.bytes);
    copy.bytes.set(last);
  }
}

function share(file: string, length: number): libc.Mapping {
  const fd = libc.open(file, libc.O_RDWR);
  try {
    return libc.mmap(length, libc.PROT_READ | libc.PROT_WRITE, libc.MAP_SHARED, fd, 0);
  } finally {
    libc.close(fd);
  }
}

function remember(entry: Memory): bigint {
  memory.set(entry.mapping.address, entry);
  return entry.mapping.address;
}

type Body = (args: never, bytes: Uint8Array) => unknown;
const bodies: Readonly<Record<string, Body>> = {
  open: ([path, flags]: [string, number]) => driver.open(path, flags),
  close: ([fd]: [number]) => driver.close(fd),
  dup: ([fd]: [number]) => driver.dup(fd),
  ioctl: ([fd, request]: [number, number], bytes) => driver.ioctl(fd, request, bytes),
  read: ([fd]: [number], bytes) => driver.read(fd, bytes),
  write: ([fd]: [number], bytes) => driver.write(fd, bytes),
  poll: ([fd, events, timeout]: [number, number, number]) => driver.poll(fd, events, timeout),
  describe: ([fd]: [number]) => driver.describe(fd),
  eventfd: ([initial, flags]: [number, number]) => driver.eventfd(initial, flags),
  allocate: ([file, length]: [string, number]) => remember({ mapping: share(file, length) }),
  store32: ([address, at, value]: [bigint, number, number]) => {
    const entry = memory.get(address);
    if (entry) driver.store32(entry.mapping, at, value);
  },
  relax: () => driver.relax(),
  mmap: ([file, fd, length, protection, offset]: [string, number, number, number, bigint]) => {
    const mapping = driver.mmap(fd, length, protection, offset);
    // reading is an access to the device too, which registers that are only written do not expect
    if ((protection & libc.PROT_READ) === 0) return remember({ mapping });
    const copy = share(file, length);
    copy.bytes.set(mapping.bytes);
    return remember({ mapping, copy, last: mapping.bytes.slice() });
  },
  unmap: ([address]: [bigint]) => {
    const entry = memory.get(address);
    memory.delete(address);
    entry?.copy?.unmap();
    entry?.mapping.unmap();
  },
  thread: () => {
    threads.set(++numbers, driver.thread());
    return numbers;
  },
  endThread: ([thread]: [number]) => threads.get(thread)?.[Symbol.dispose](),
  begin: ([thread, name, fd, ...args]: [number, keyof typeof begin, number, number, number], bytes) => {
    calls.set(++numbers, { call: begin[name](threads.get(thread) as Thread, fd, bytes, ...args), buffer: bytes });
    return numbers;
  },
  done: ([call]: [number]) => calls.get(call)?.call.done,
  blocked: ([call]: [number]) => calls.get(call)?.call.blocked,
  interrupt: ([call]: [number]) => calls.get(call)?.call.interrupt(),
  finish: ([number]: [number], bytes) => {
    const { call, buffer } = calls.get(number) as { call: Call; buffer: Uint8Array };
    try {
      return call.finish();
    } finally {
      bytes.set(buffer);
    }
  },
};

const begin = {
  ioctl: (thread: Thread, fd: number, bytes: Uint8Array, request: number) => thread.ioctl(fd, request, bytes),
  read: (thread: Thread, fd: number, bytes: Uint8Array) => thread.read(fd, bytes),
  write: (thread: Thread, fd: number, bytes: Uint8Array) => thread.write(fd, bytes),
  poll: (thread: Thread, fd: number, _: Uint8Array, events: number, timeout: number) =>
    thread.poll(fd, events, timeout),
  close: (thread: Thread, fd: number) => thread.close(fd),
};

function perform({ method, args, bytes = new Uint8Array(0) }: Request): Reply {
  try {
    exchangeIn();
    const value = bodies[method]?.(args as never, bytes);
    return { value, bytes };
  } catch (error) {
    if (error instanceof libc.SystemError)
      return { failed: { call: error.message.split(': ')[0] ?? '', errno: error.errno }, bytes };
    return { error: error instanceof Error ? (error.stack ?? error.message) : String(error), bytes };
  } finally {
    exchangeOut();
  }
}

for (;;) {
  const request = receive(socket) as Request | undefined;
  if (!request) break;
  send(socket, perform(request));
}
// whoever asked has gone
process.kill(process.pid, 'SIGKILL');
