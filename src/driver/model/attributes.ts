/**
 * Attributes of a card in sysfs: what they say. Source: common/sysfs.c; Documentation/ABI/testing/sysfs-driver-habanalabs says what
 * each is.
 */

import type { Steps } from '../../sim/process.ts';
import type { Card } from './card.ts';
import { refuse } from './errno.ts';
import { clockRates, hardware, setClock } from './info-ioctl.ts';

const CHIP = 'GAUDI';
const MHZ = 1_000_000n;

type Show = (card: Card) => Steps<string> | string;

/** What needs no more than a look at the driver's state. */
const now =
  (text: (card: Card) => string | number): Show =>
  (card) =>
    `${text(card)}\n`;

/** What the firmware is asked for. */
const asked = (ask: (card: Card) => Steps<bigint>): Show =>
  function* (card) {
    if (!card.operational()) refuse('ENODEV', 'read');
    return `${yield* ask(card)}\n`;
  };

const attributes: Readonly<Record<string, Show>> = {
  status: now((card) => card.state().replace(/^./, (letter) => letter.toUpperCase())),
  device_type: now(() => CHIP),
  pci_addr: now((card) => card.name),
  parent_device: now((card) => card.name),
  hard_reset_cnt: now((card) => card.hardResets),
  // habanalabs_drv.c, is_asic_secured: that is another PCI device
  security_enabled: now(() => 0),
  module_id: now((card) => hardware(card).module_id),
  clk_max_freq_mhz: asked(function* (card) {
    return (yield* clockRates(card)).most / MHZ;
  }),
  clk_cur_freq_mhz: asked(function* (card) {
    return (yield* clockRates(card)).current / MHZ;
  }),
  max_power: asked((card) => card.firmware.send('MAX_POWER_GET')),
};

/** What writing does; the number is what was written. */
const stores: Readonly<Record<string, (card: Card, value: bigint) => Steps>> = {
  *clk_max_freq_mhz(card, value) {
    yield* setClock(card, BigInt.asUintN(64, value * MHZ));
  },
};

export interface AttributeFile {
  readonly path: string;
  read(): Steps<string> | string;
  /** Undefined where it is read only. @param value undefined: what was written is no number */
  readonly store: ((value: bigint | undefined) => Steps) | undefined;
}

/** A card's attributes that can be read. */
export function attributeFiles(card: Card): readonly AttributeFile[] {
  return Object.entries(attributes).map(([name, show]) => {
    const store = stores[name];
    return {
      path: `/sys/bus/pci/devices/${card.name}/${name}`,
      read: () => show(card),
      store:
        store &&
        function* (value) {
          if (!card.operational()) refuse('ENODEV', 'write');
          if (value === undefined) refuse('EINVAL', 'write');
          yield* store(card, value);
        },
    };
  });
}
