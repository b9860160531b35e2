/** The kernel's log as records (Documentation/ABI/testing/dev-kmsg). */

import { constants } from 'node:fs';
import { close, open, read, SystemError } from '../../os/libc.ts';

export interface KernelLogRecord {
  /** Syslog level, 0 (emergency) to 7 (debug). */
  readonly level: number;
  readonly text: string;
}

/** Reads what the kernel logs from the moment it is made. Needs permission to read /dev/kmsg. */
export class KernelLog implements Disposable {
  readonly #fd: number;
  readonly #buffer = new Uint8Array(8192);

  /** @throws SystemError */
  constructor() {
    this.#fd = open('/dev/kmsg', constants.O_RDONLY | constants.O_NONBLOCK);
    while (this.#record() !== undefined);
  }

  /** Records since the last call. */
  take(): KernelLogRecord[] {
    const records: KernelLogRecord[] = [];
    for (let record = this.#record(); record; record = this.#record()) records.push(record);
    return records;
  }

  [Symbol.dispose](): void {
    close(this.#fd);
  }

  #record(): KernelLogRecord | undefined {
    for (;;) {
      let length: number;
      try {
        length = read(this.#fd, this.#buffer);
      } catch (error) {
        if (!(error instanceof SystemError)) throw error;
        // EPIPE: records were overwritten before they were read; the next read goes on with the oldest that is left
        if (error.code === 'EPIPE' || error.code === 'EINTR') continue;
        if (error.code === 'EAGAIN') return undefined;
        throw error;
      }
      // "6,339,5140900,-;text\n KEY=value\n": level and facility, sequence, time, flags
      const line = Buffer.from(this.#buffer.subarray(0, length)).toString('utf8').split('\n', 1)[0] ?? '';
      const split = line.indexOf(';');
      const priority = Number.parseInt(line, 10);
      if (split < 0 || Number.isNaN(priority)) continue;
      return { level: priority & 7, text: line.slice(split + 1) };
    }
  }
}
