/** Accesses to where nothing is, by every engine that programs have: the driver names who it was. */

import { CommandStream } from '../../runtime/command-stream.ts';
import type { QueueName } from '../../uapi/habanalabs/gaudi.ts';
import type { Declare } from '../suite.ts';
import { FAULT, told } from './events-lib.ts';
import { INTERRUPT, logged, renew, roomFor } from './faults-lib.ts';
import { KiB } from './lib.ts';
import { LATE_EVENT, SLOW } from './reset-lib.ts';

const DOWN = 'DMA_0_0';
/** From what a program has to where it has nothing. */
const FAR = 2n ** 44n;

/** A queue of each engine, and what the driver calls who reads for it (gaudi.c, gaudi_get_razwi_initiator_name). */
const readers: readonly { readonly queue: QueueName; readonly name: string }[] = [
  { queue: 'TPC_0_0', name: 'TPC0' },
  { queue: 'TPC_1_1', name: 'TPC1' },
  { queue: 'TPC_2_2', name: 'TPC2' },
  { queue: 'TPC_3_3', name: 'TPC3' },
  { queue: 'TPC_4_0', name: 'TPC4' },
  { queue: 'TPC_5_1', name: 'TPC5' },
  { queue: 'TPC_6_2', name: 'TPC6' },
  { queue: 'TPC_7_3', name: 'TPC7' },
  // the engines in the order of their queues (gaudi.c, gaudi_queue_id_to_engine_id)
  { queue: 'MME_0_0', name: 'MME2' },
  { queue: 'MME_1_1', name: 'MME0' },
  // two engines at a place: either is named, or the one that has an error
  ...([2, 3, 4, 5, 6, 7] as const).map((n) => ({ queue: `DMA_${n}_1` as QueueName, name: `DMA${n}` })),
];

export function strays(test: Declare): void {
  test(
    'who reads where nothing is, is named by the driver, whichever engine it is of',
    async (t) => {
      t.expectMessages(INTERRUPT, /MMU page fault/, /CQ AXI HBW error/, /stop on err/, /not idle/, LATE_EVENT);
      const device = t.open(0);
      try {
        const events = device.notifyEvents();
        for (const { queue, name } of readers) {
          const memory = device.allocHost(KiB);
          await roomFor(t, 2);
          const work = device.submit([
            { queue, place: memory.deviceAddress + FAR, size: 16 },
            { queue: DOWN, stream: new CommandStream().nop() },
          ]);
          await device.wait(work, { signal: t.signal });
          await told(t, events, FAULT);
          await logged(t, new RegExp(`RAZWI event caused by illegal read of (.* or )?${name}\\b`));
        }
      } finally {
        await renew(t, device);
      }
    },
    SLOW,
  );
}
