/**
 * Attributes of a card in sysfs: what they say, and what writing them does. Source: common/sysfs.c, gaudi.c (infineon_ver_show);
 * Documentation/ABI/testing/sysfs-driver-habanalabs says what each is.
 */

import { INFO } from '../../../specs/gaudi/cpucp.ts';
import type { Steps } from '../../sim/process.ts';
import { type Attribute, unsignedOrRefused } from './attribute-file.ts';
import type { Card } from './card.ts';
import { errnoOf, negative, refuse } from './errno.ts';
import { hardware } from './info-ioctl.ts';
import { clock, firmware, setClock, setPower } from './limits.ts';
import { textOf } from './text.ts';

const CHIP = 'GAUDI';
const MHZ = 1_000_000n;
/** Attributes that are read, those that are also written, and those that are only written. */
const READ = 0o444;
const BOTH = 0o644;
const WRITE = 0o200;
const VERSION = 128;

type Show = (card: Card) => Steps<string> | string;

/** What needs no more than a look at the driver's state. */
const now =
  (text: (card: Card) => string | number): Show =>
  (card) =>
    `${text(card)}\n`;

/** A version that the firmware has told, with the end of the line where the driver adds one. */
const version =
  (at: number, end: '\n' | ''): Show =>
  (card) =>
    `${textOf(card.info?.bytes.subarray(at, at + VERSION) ?? new Uint8Array(0))}${end}`;

function word(card: Card, at: number): number {
  const bytes = card.info?.bytes;
  return bytes ? new DataView(bytes.buffer, bytes.byteOffset).getUint32(at, true) : 0;
}

const hex = (value: number, digits: number) => value.toString(16).padStart(digits, '0');

/** What the firmware is asked for: a number of 64 bits, of which those with the highest bit are taken for an errno. */
const asked = (ask: (card: Card) => Steps<bigint>): Show =>
  function* (card) {
    if (!card.operational()) refuse('ENODEV', 'read');
    return `${yield* ask(card)}\n`;
  };

const shows: Readonly<Record<string, Show>> = {
  armcp_kernel_ver: version(INFO.kernel_version, ''),
  armcp_ver: version(INFO.cpucp_version, '\n'),
  cpld_ver: now((card) => `0x${hex(word(card, INFO.cpld_timestamp), 8)}${hex(word(card, INFO.cpld_version), 8)}`),
  cpucp_kernel_ver: version(INFO.kernel_version, ''),
  cpucp_ver: version(INFO.cpucp_version, '\n'),
  device_type: now(() => CHIP),
  fuse_ver: version(INFO.fuse_version, '\n'),
  fw_os_ver: version(INFO.fw_os_version, ''),
  hard_reset_cnt: now((card) => card.hardResets),
  infineon_ver: now((card) => {
    const value = word(card, INFO.infineon_version);
    // as %#04x prints it
    return value === 0 ? '0000' : `0x${hex(value, 2)}`;
  }),
  module_id: now((card) => hardware(card).module_id),
  parent_device: now((card) => card.name),
  pci_addr: now((card) => card.name),
  preboot_btl_ver: now((card) => card.loaded.preboot),
  // habanalabs_drv.c, is_asic_secured: that is another PCI device
  security_enabled: now(() => 0),
  status: now((card) => card.state().replace(/^./, (letter) => letter.toUpperCase())),
  thermal_ver: version(INFO.thermal_version, ''),
  uboot_ver: now((card) => card.loaded.bootLoader),
  clk_max_freq_mhz: asked(function* (card) {
    // what is read is kept to from now on
    card.limits.clock = yield* clock(card, 'FREQUENCY_GET');
    return card.limits.clock / MHZ;
  }),
  clk_cur_freq_mhz: asked(function* (card) {
    return (yield* clock(card, 'FREQUENCY_CURR_GET')) / MHZ;
  }),
  max_power: asked((card) => firmware(card, 'get max power', card.firmware.send('MAX_POWER_GET'))),
};

type Store = (card: Card, text: string) => Steps;

/** What is refused while the card does not work. @param act with the number that was written */
const limit = (act: (card: Card, value: bigint) => Steps): Store =>
  function* (card, text) {
    if (!card.operational()) refuse('ENODEV', 'write');
    yield* act(card, unsignedOrRefused(text));
  };

const stores: Readonly<Record<string, Store>> = {
  clk_max_freq_mhz: limit(function* (card, value) {
    card.limits.clock = BigInt.asUintN(64, value * MHZ);
    yield* setClock(card);
  }),
  max_power: limit(function* (card, value) {
    card.limits.power = value;
    yield* setPower(card);
  }),
  *hard_reset(card, text) {
    unsignedOrRefused(text);
    card.log('warn', 'Hard-Reset requested through sysfs');
    yield* card.reset();
  },
};

/**
 * eeprom_read_handler. Where a read begins does not matter to it: every one has what is at the beginning. Where the firmware does
 * not answer it says that it has read all the same; what it gives then is left of somebody else, and here zeros.
 */
function* eeprom(card: Card, length: number): Steps<Uint8Array> {
  if (!card.operational()) refuse('ENODEV', 'read');
  const result = new Uint8Array(length);
  try {
    const answer = yield* card.firmware.ask('EEPROM_DATA_GET', length);
    result.set(answer.bytes.subarray(0, Number(answer.result)));
  } catch (error) {
    const code = errnoOf(error);
    if (code !== 'EAGAIN') card.log('err', `Failed to handle CPU-CP EEPROM packet, error ${negative(code)}`);
  }
  return result;
}

/** A card's attributes. */
export function attributesOf(card: Card): readonly Attribute[] {
  const path = (name: string) => `/sys/bus/pci/devices/${card.name}/${name}`;
  const names = new Set([...Object.keys(shows), ...Object.keys(stores)]);
  const texts = [...names].map((name): Attribute => {
    const [show, store] = [shows[name], stores[name]];
    return {
      path: path(name),
      mode: show && store ? BOTH : show ? READ : WRITE,
      ...(show && { show: () => show(card) }),
      ...(store && { store: (text: string) => store(card, text) }),
    };
  });
  return [...texts, { path: path('eeprom'), mode: READ, bytes: (length) => eeprom(card, length) }];
}
