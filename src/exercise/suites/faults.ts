import { suite } from '../suite.ts';
import { eventFaults } from './faults-events.ts';

export const faults = suite(
  'faults',
  'What the hardware can do wrong, and that the card works again afterwards.',
  (test) => {
    eventFaults(test);
  },
);
