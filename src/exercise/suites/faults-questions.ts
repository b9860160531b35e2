/** What every question that the driver passes on to the firmware is answered with when the firmware refuses it, or is silent. */

import assert from 'node:assert/strict';
import type { ControlDevice } from '../../runtime/device.ts';
import { DRM_IOCTL_HL_INFO, type InfoOperation, infoOperations } from '../../uapi/habanalabs/info.ts';
import type { Declare, TestContext } from '../suite.ts';
import { RESETTING, UNANSWERED, withFaults } from './faults-lib.ts';
import { assertErrno, KiB } from './lib.ts';
import { asNew, control, REQUESTED, recovered, resets, SLOW, writeHardReset } from './reset-lib.ts';

const FAILED = /Failed to|failed to|DMA_.*error|F\/W ERROR/;

/** Questions that the firmware is asked, by the rows. */
const passedOn = Object.entries<InfoOperation>(infoOperations).filter(
  ([, row]) => row.errors && 'EAGAIN' in row.errors,
);
/** A Gaudi1 answers these with EIO in any case. */
const answered = passedOn.filter(([, row]) => row.refused === undefined);

/** The driver waits for these as long as from one heartbeat to the next; two in a row that fail disable the card. */
const SLOWLY: ReadonlySet<string> = new Set(['HL_INFO_PLL_FREQUENCY', 'HL_INFO_POWER']);

function ask(t: TestContext, node: ControlDevice, { value: op, answer }: InfoOperation): void {
  const memory = t.target.driver.allocate(64 * KiB);
  try {
    const { request, argument } = DRM_IOCTL_HL_INFO;
    const asked = { return_pointer: memory.address, return_size: answer?.size ?? 4 * KiB, op };
    t.target.driver.ioctl(node.fd, request, argument.encode(asked));
  } finally {
    memory.unmap();
  }
}

export function questionFaults(test: Declare): void {
  test('firmware-refuses: every question that is passed on is refused, and answered the next time', (t) =>
    withFaults(t, async (faults) => {
      t.expectMessages(FAILED);
      const node = control(t);
      for (const [name, row] of answered) {
        await faults.inject('firmware-refuses:any');
        assertErrno('EIO', () => ask(t, node, row));
        assert.doesNotThrow(() => ask(t, node, row), name);
      }
    }));

  test(
    'firmware-silent: who asks first gives up, and all others are not heard before a reset',
    (t) =>
      withFaults(t, async (faults) => {
        t.expectMessages(FAILED, ...UNANSWERED, ...RESETTING, /heartbeat failed/i);
        t.expectMessages(REQUESTED);
        const node = control(t);
        const quick = passedOn.filter(([name]) => !SLOWLY.has(name));
        // another with another seed: each costs a reset, and a heartbeat that fails twice in a row disables the card
        for (const [, row] of [quick[t.random.below(quick.length)]] as typeof quick) {
          const before = resets(node);
          // who has the card, and is to be told that it is unavailable: a reset for a heartbeat while nobody has it begins with half a
          // minute in which the driver wants a firmware to halt that does not hear it (gaudi.c, gaudi_hw_fini)
          const device = t.open(0);
          device.notifyEvents();
          await faults.inject('firmware-silent:any');
          // the heartbeat may be what is not answered first, and what has the card reset meanwhile
          assertErrno(['ETIMEDOUT', 'EAGAIN'], () => ask(t, node, row));
          for (const [, other] of passedOn) assertErrno(['EAGAIN', 'EBUSY'], () => ask(t, node, other));
          await faults.clear();
          device.close();
          writeHardReset(t, '1');
          await recovered(t, node, before);
          // habanalabs_drv.c, hl_device_open: what has been the cause of the last reset is forgotten
          await asNew(t);
        }
      }),
    SLOW,
  );
}
