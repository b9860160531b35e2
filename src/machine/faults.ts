/** Faults of a machine's cards: `[CARD/]NAME[:word[.word]][@when]`, without a card of the first. */

import type { Gaudi } from '../gaudi/device.ts';
import { parseFault } from '../gaudi/faults/parse.ts';
import { suggestion } from '../isa/diagnostics.ts';
import { UserError } from '../sim/errors.ts';
import { machineDescription, machineDevices } from './machines.ts';

/** What may be asked of the faults of a machine that runs; what it answers is the faults that have happened since it was asked last. */
export type FaultOrder =
  | { readonly type: 'inject'; readonly text: string }
  | { readonly type: 'clear' }
  | { readonly type: 'happened' };

/** The card's number, of all cards, and the fault. @throws UserError */
function place(text: string, cards: readonly string[]): { readonly card: number; readonly fault: string } {
  const [, name, fault = text] = /^([^/:@]*)\/(.*)$/.exec(text) ?? [];
  parseFault(fault);
  if (cards.length === 0) throw new UserError(`no card that could have the fault ${fault}`);
  const card = name === undefined ? 0 : cards.indexOf(name);
  if (card < 0) throw new UserError(`no card "${name}"${suggestion(name ?? '', cards)} (cards: ${cards.join(', ')})`);
  return { card, fault };
}

/** @throws UserError where one of these is no fault of a card of the machine */
export function checkFaults(texts: readonly string[], machine: string): void {
  for (const text of texts) place(text, cardsOf(machine));
}

/** The faults of one card of a machine, before it is made. @throws UserError */
export function faultsOf(texts: readonly string[], machine: string, card: string): readonly string[] {
  const cards = cardsOf(machine);
  return texts.flatMap((text) => {
    const found = place(text, cards);
    return cards[found.card] === card ? found.fault : [];
  });
}

function cardsOf(machine: string): readonly string[] {
  return machineDevices(machineDescription(machine)).flatMap(({ name, model }) => (model === 'gaudi' ? name : []));
}

/** Carries an order out. @throws UserError */
export function orderFaults(cards: readonly Gaudi[], order: FaultOrder): readonly string[] {
  if (order.type === 'inject') {
    const { card, fault } = place(
      order.text,
      cards.map(({ name }) => name),
    );
    cards[card]?.injectFault(fault);
    return [];
  }
  if (order.type === 'clear') for (const card of cards) card.clearFaults();
  return cards.flatMap((card) => card.takeHappenedFaults());
}
