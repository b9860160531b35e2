/** What runs in the other thread: see thread.ts. */

import { workerData } from 'node:worker_threads';
import * as libc from '../../os/libc.ts';
import { SystemError } from '../../os/libc.ts';
import { LinuxDriver } from './driver.ts';
import { CALL, TURN, WORD } from './thread.ts';

const { words, bytes } = workerData as { words: Int32Array; bytes: Uint8Array };
const driver = new LinuxDriver();

function perform(buffer: Uint8Array): number {
  const [fd, a, b] = [words[WORD.FD], words[WORD.A], words[WORD.B]] as [number, number, number];
  switch (words[WORD.CALL]) {
    case CALL.IOCTL:
      return driver.ioctl(fd, a >>> 0, buffer);
    case CALL.READ:
      return driver.read(fd, buffer);
    case CALL.WRITE:
      return driver.write(fd, buffer);
    case CALL.POLL:
      return driver.poll(fd, a, b);
    case CALL.CLOSE:
      driver.close(fd);
      return 0;
    default:
      throw new Error(`call ${words[WORD.CALL]}`);
  }
}

function pass(turn: number): void {
  Atomics.store(words, WORD.TURN, turn);
  Atomics.notify(words, WORD.TURN);
}

words[WORD.TID] = libc.gettid();
pass(TURN.IDLE);
for (;;) {
  const turn = Atomics.load(words, WORD.TURN);
  if (turn === TURN.END) break;
  if (turn !== TURN.ASKED) {
    Atomics.wait(words, WORD.TURN, turn);
    continue;
  }
  // memory of its own: C is not given memory that another thread may look at
  const buffer = bytes.slice(0, words[WORD.LENGTH]);
  words[WORD.ERRNO] = 0;
  pass(TURN.INSIDE);
  try {
    words[WORD.RESULT] = perform(buffer);
  } catch (error) {
    if (!(error instanceof SystemError)) throw error;
    words[WORD.ERRNO] = error.errno;
  }
  bytes.set(buffer);
  // unless it has been told to end meanwhile
  if (Atomics.compareExchange(words, WORD.TURN, TURN.INSIDE, TURN.ANSWERED) === TURN.END) break;
  Atomics.notify(words, WORD.TURN);
}
