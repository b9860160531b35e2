/** What a reset means to several threads that use the card. */

import assert from 'node:assert/strict';
import { CommandStream } from '../../runtime/command-stream.ts';
import type { Declare } from '../suite.ts';
import { asNew, control, KILLING, REQUESTED, recovered, SLOW, writeHardReset } from './reset-lib.ts';
import { beginWait, beginWaitAny, blocked, errnoOf, held, Prepared, thread } from './threads-lib.ts';

const DOWN = 'DMA_0_0';
const UP = 'DMA_1_0';
/** The driver finds waits that it has to end, and says so (command_submission.c, force_complete_multi_cs). */
const FORCED = /multi-CS completion context \d still waiting when calling force completion/;
const ABORTED = /has been aborted while user process is waiting/;

export function resets(test: Declare): void {
  test(
    'a reset ends the waits of all threads, for one submission and for several',
    async (t) => {
      t.expectMessages(REQUESTED, KILLING, ABORTED, /wait_for_fence error :-5 for CS seq/, FORCED);
      const node = control(t);
      const before = node.info.resetCount().hard_reset_cnt;
      const device = t.open(0);
      const works = [held(device, DOWN), held(device, UP)];
      const waits = [...works, ...works].map((work) => beginWait(t, thread(t), device, work));
      const any = beginWaitAny(t, thread(t), device, works);
      for (const { call } of [...waits, any]) await blocked(t, call);
      writeHardReset(t, '1');
      try {
        for (const { answer } of waits) assert.equal(await errnoOf(answer()), 'EIO');
        assert.equal(await errnoOf(any.answer()), 'EIO');
      } finally {
        device.close();
      }
      assert.equal(await recovered(t, node, before), before + 1);
      await asNew(t);
    },
    SLOW,
  );

  test(
    'a reset ends a submission that waits for its restore chunks',
    async (t) => {
      t.expectMessages(REQUESTED, KILLING, ABORTED, /Restore CS for context \d+ failed to complete -5/);
      const node = control(t);
      const before = node.info.resetCount().hard_reset_cnt;
      const device = t.open(0);
      const restore = new Prepared(t, device, DOWN, new CommandStream().fence(0));
      const main = new Prepared(t, device, DOWN, new CommandStream().nop());
      const submission = restore.beginRestore(thread(t), main);
      await blocked(t, submission.call);
      writeHardReset(t, '1');
      try {
        assert.equal(await errnoOf(submission.answer()), 'ENOEXEC');
      } finally {
        device.close();
      }
      assert.equal(await recovered(t, node, before), before + 1);
      await asNew(t);
    },
    SLOW,
  );
}
