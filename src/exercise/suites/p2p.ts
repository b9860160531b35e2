import { suite } from '../suite.ts';
import { messageTests } from './p2p-messages.ts';
import { queueTests } from './p2p-queues.ts';
import { refusalTests } from './p2p-refusals.ts';
import { registrationTests } from './p2p-registration.ts';
import { transferTests } from './p2p-transfers.ts';
import { workTests } from './p2p-work.ts';

export const p2p = suite(
  'p2p',
  'Memory of accelerators moved by network cards, without the host: registered, written, read, let go.',
  (test) => {
    transferTests(test);
    workTests(test);
    messageTests(test);
    refusalTests(test);
    queueTests(test);
    registrationTests(test);
  },
  { machine: 'gaudi-x2-efa-x2' },
);
