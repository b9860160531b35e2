import { suite } from '../suite.ts';
import { attributeFaults } from './attributes-faults.ts';
import { engineFaults } from './faults-engines.ts';
import { eventFaults } from './faults-events.ts';
import { firmwareFaults } from './faults-firmware.ts';
import { pciFaults } from './faults-pci.ts';
import { questionFaults } from './faults-questions.ts';

export const faults = suite(
  'faults',
  'What the hardware can do wrong, and that the card works again afterwards.',
  (test) => {
    pciFaults(test);
    eventFaults(test);
    engineFaults(test);
    firmwareFaults(test);
    questionFaults(test);
    attributeFaults(test);
  },
);
