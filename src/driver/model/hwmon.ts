/**
 * The card's sensors as Linux shows them. Source: common/hwmon.c (hl_build_hwmon_channel_info, hl_read, hl_write and those below
 * them), drivers/hwmon/hwmon.c (hwmon_attr_show, hwmon_attr_store).
 */

import { DEV_STS0 } from '../../../specs/gaudi/boot.ts';
import { ATTRIBUTES, INFO, SENSOR_TYPE } from '../../../specs/gaudi/cpucp.ts';
import { type ShownKind, sensorFiles } from '../../../specs/gaudi/hwmon.ts';
import type { Steps } from '../../sim/process.ts';
import { type Attribute, signed } from './attribute-file.ts';
import type { Card } from './card.ts';
import { refuse } from './errno.ts';
import { BOOT_REGISTERS } from './firmware-load.ts';
import { firmware, tell } from './limits.ts';
import { textOf } from './text.ts';

const READ = 0o444;
const SENSOR = 8;

/** A sensor that the firmware has told of. */
interface Sensor {
  readonly kind: ShownKind;
  /** Among those of its kind, from 0. */
  readonly index: number;
  /** One bit per attribute. */
  readonly flags: number;
}

/** Attributes of the sensors of a card that works. @param folder of the hwmon device */
export function sensorAttributes(card: Card, folder: string): readonly Attribute[] {
  // firmware that says nothing of its numbers has those of the kernel, which are higher by one
  const shift = (card.pci.read(BOOT_REGISTERS.DEV_STS0) & DEV_STS0.MAP_HWMON_EN) === 0 ? 1 : 0;
  const name = textOf(card.info?.cardName ?? new Uint8Array(0));
  const files = sensorsOf(card).flatMap(({ kind, index, flags }) => {
    const { first, files: modes } = sensorFiles[kind];
    return Object.entries(modes).flatMap(([attribute, mode]): Attribute[] => {
      const type = (ATTRIBUTES[kind] as Readonly<Record<string, number>>)[attribute] as number;
      const number = type + shift;
      if (((flags >>> number) & 1) === 0) return [];
      return [
        {
          path: `${folder}/${kind}${index + first}_${attribute}`,
          mode,
          ...(mode & 0o444 && { show: () => show(card, kind, index, number) }),
          ...(mode & 0o222 && { store: (text: string) => store(card, kind, index, number, text) }),
        },
      ];
    });
  });
  return [{ path: `${folder}/name`, mode: READ, show: () => `${name}\n` }, ...files];
}

/** hl_build_hwmon_channel_info: up to the first that is nothing. */
function sensorsOf(card: Card): Sensor[] {
  const { bytes } = card.info ?? {};
  if (!bytes) return [];
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const sensors: Sensor[] = [];
  for (let i = 0; i < INFO.MAX_SENSORS; i++) {
    const type = view.getUint32(INFO.sensors + SENSOR * i, true);
    const flags = view.getUint32(INFO.sensors + SENSOR * i + 4, true);
    if (type === 0 && flags === 0) break;
    const kind = (Object.keys(SENSOR_TYPE) as ShownKind[]).find((one) => SENSOR_TYPE[one] === type);
    if (kind) sensors.push({ kind, index: sensors.filter((other) => other.kind === kind).length, flags });
  }
  return sensors;
}

const place = (index: number, number: number) => index | (number << 16);

function* show(card: Card, kind: ShownKind, index: number, number: number): Steps<string> {
  if (!card.operational()) refuse('ENODEV', 'read');
  const { get, called } = sensorFiles[kind];
  const what = `get ${called} ${kind === 'power' ? 'of' : 'from'} sensor ${index}`;
  const value = yield* firmware(card, what, card.firmware.send(get, { index: place(index, number) }));
  return `${BigInt.asIntN(64, value)}\n`;
}

/** What the firmware refuses is only logged. */
function* store(card: Card, kind: ShownKind, index: number, number: number, text: string): Steps {
  const written = signed(text);
  if (typeof written === 'string') refuse(written, 'write');
  if (!card.operational()) refuse('ENODEV', 'write');
  const { set, called } = sensorFiles[kind];
  const message = { index: place(index, number), value: BigInt.asUintN(64, written) };
  yield* tell(card.log.bind(card), `set ${called} of sensor ${index}`, card.firmware.send(set, message));
}
