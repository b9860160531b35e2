/** What a program that reproduces a finding imports as `sagrada/sequences`. */

import type { Driver } from '../../driver/driver.ts';
import { perform as performSteps } from '../agreement/sequences.ts';
import { parseSequence } from './program.ts';

/**
 * Makes the calls of a sequence, one to a line, e.g. `r1 = cb_create(r0) {size: 4096, flags: 0}`, and gives back in the end
 * what they made. Prints each with what came of it: an errno, or `ok` and what was answered.
 * @throws UserError that names the line which is wrong
 */
export function perform(driver: Driver, text: string): void {
  const lines = { step: (line: string, outcome: string) => console.log(`${line}: ${outcome}`) };
  performSteps(driver, parseSequence(text), lines);
}
