/** Open files of the program and their descriptors, as a kernel keeps them. */

import { Condition, type Steps } from '../../sim/process.ts';
import { type Mapping, O_RDWR, O_WRONLY } from '../driver.ts';
import { refuse } from './errno.ts';

/** A mapping of a file of a device. */
export interface FileMapping extends Mapping {
  /** Where the device must see what is stored: doorbells. Without it a store is one to `bytes`. */
  store32?(at: number, value: number): void;
}

/** What a file does; what it does not have is refused as Linux would. */
export interface FileOperations {
  /** What /proc shows of it. */
  readonly name: string;
  /** Permissions that bind everybody, as those of sysfs do (KERNFS_ROOT_EXTRA_OPEN_PERM_CHECK): what none has, root has not. */
  readonly mode?: number;
  /** @returns what of it sleeps. */
  ioctl?(request: number, argument: Uint8Array): Steps | undefined;
  /** @param offset bytes into the file. */
  mmap?(length: number, offset: bigint): FileMapping;
  read?(buffer: Uint8Array): number | Steps<number>;
  /** Bytes for which a reader must have room, whether there is something to read or not. */
  readonly least?: number;
  write?(buffer: Uint8Array): number | Steps<number>;
  /** Notified when `readable` may have changed. */
  readonly changed?: Condition;
  /** Whether it can be read without waiting. */
  readable?(): boolean;
  /** Events of poll that are told instead of POLLIN, also to those who do not wait for them. */
  failed?(): number;
  /** The last descriptor and mapping have gone, and nobody is in a call. */
  release?(): void;
}

export class OpenFile<T extends FileOperations = FileOperations> {
  readonly operations: T;
  /** O_RDONLY, O_WRONLY or O_RDWR: what it was opened for. */
  #access = O_RDWR;
  #references = 0;

  constructor(operations: T) {
    this.operations = operations;
  }

  /** @param flags of open(2). @throws SystemError EACCES */
  opened(flags: number): this {
    this.#access = flags & O_ACCMODE;
    const { mode = 0o666 } = this.operations;
    if ((this.mayRead && (mode & 0o444) === 0) || (this.mayWrite && (mode & 0o222) === 0)) refuse('EACCES', 'open');
    return this;
  }

  get mayRead(): boolean {
    return this.#access !== O_WRONLY;
  }

  get mayWrite(): boolean {
    return this.#access === O_WRONLY || this.#access === O_RDWR;
  }

  get(): this {
    this.#references++;
    return this;
  }

  put(): void {
    if (--this.#references === 0) this.operations.release?.();
  }
}

/** The bits of open(2) that say what a file is opened for. */
const O_ACCMODE = 3;
/** The first that a program opens: 0 to 2 are its terminal. */
const FIRST = 3;
/** RLIMIT_NOFILE as distributions set it. */
const LIMIT = 1024 * 1024;

export class Descriptors {
  readonly #files = new Map<number, OpenFile>();
  /** Numbers of files that are being made (get_unused_fd_flags). */
  readonly #reserved = new Set<number>();

  /** @returns the lowest descriptor that is free. @throws SystemError EMFILE */
  add(file: OpenFile): number {
    const fd = this.#free();
    this.#files.set(fd, file.get());
    return fd;
  }

  /** Keeps a number for a file that is not made yet: `inherit` gives it, `forget` does not. @throws SystemError EMFILE */
  reserve(): number {
    const fd = this.#free();
    this.#reserved.add(fd);
    return fd;
  }

  /** A reserved number is free again. */
  forget(fd: number): void {
    this.#reserved.delete(fd);
  }

  #free(): number {
    let fd = FIRST;
    while (this.#files.has(fd) || this.#reserved.has(fd)) fd++;
    if (fd >= LIMIT) refuse('EMFILE', 'open');
    return fd;
  }

  /** @throws SystemError EBADF */
  file(fd: number, call: string): OpenFile {
    const file = this.#files.get(fd);
    if (!file) refuse('EBADF', call);
    return file;
  }

  find(fd: number): OpenFile | undefined {
    return this.#files.get(fd);
  }

  /** Has a file by the number that another program has it by, or that was reserved for it. */
  inherit(fd: number, file: OpenFile): void {
    this.#reserved.delete(fd);
    this.#files.set(fd, file.get());
  }

  close(fd: number): void {
    const file = this.file(fd, 'close');
    this.#files.delete(fd);
    file.put();
  }

  dup(fd: number): number {
    return this.add(this.file(fd, 'dup'));
  }

  /** Those that are open with files of this kind. */
  of(predicate: (file: OpenFile) => boolean): number[] {
    return [...this.#files].flatMap(([fd, file]) => (predicate(file) ? [fd] : []));
  }
}

const HIGHEST = 0xffff_ffff_ffff_ffffn;

/** An eventfd (eventfd(2)), not of EFD_SEMAPHORE's kind. */
export class EventFile implements FileOperations {
  readonly name = 'anon_inode:[eventfd]';
  readonly changed = new Condition();
  readonly least = 8;
  #count: bigint;

  constructor(initial: number) {
    this.#count = BigInt(initial);
  }

  readable(): boolean {
    return this.#count > 0n;
  }

  signal(): void {
    if (this.#count < HIGHEST - 1n) this.#count++;
    this.changed.notify();
  }

  read(buffer: Uint8Array): number {
    new DataView(buffer.buffer, buffer.byteOffset, 8).setBigUint64(0, this.#count, true);
    this.#count = 0n;
    return 8;
  }

  write(buffer: Uint8Array): number {
    // since Linux 6.9 neither less nor more (eventfd_write)
    if (buffer.length !== 8) refuse('EINVAL', 'write');
    const added = new DataView(buffer.buffer, buffer.byteOffset, 8).getBigUint64(0, true);
    if (added === HIGHEST) refuse('EINVAL', 'write');
    if (this.#count + added >= HIGHEST) refuse('EAGAIN', 'write');
    this.#count += added;
    this.changed.notify();
    return 8;
  }
}
