/**
 * Sensors as Linux shows them: which attributes of a sensor the driver has a file for, with which mode.
 * Source: common/hwmon.c, hl_is_visible, hl_read and hl_write; what the files are called: drivers/hwmon/hwmon.c.
 */

import type { ATTRIBUTES, PacketName, SensorKind } from './cpucp.ts';

/** Who may do what with a file. */
const READ = 0o444;
const BOTH = 0o644;
const WRITE = 0o200;

interface SensorFiles<K extends SensorKind> {
  /** What it measures in, and what is written. */
  readonly unit: string;
  /** Number of the first sensor of the kind (hwmon_attr_base). */
  readonly first: 0 | 1;
  /** Packets that read and write an attribute. A power is written with the packet that reads it (use_get_power_for_reset_history). */
  readonly get: PacketName;
  readonly set: PacketName;
  /** As the driver says it in the log. */
  readonly called: string;
  /** Attributes with a file, which is called e.g. temp1_input. A file is there where the firmware names the attribute. */
  readonly files: Partial<Readonly<Record<keyof (typeof ATTRIBUTES)[K], number>>>;
}

/** Kinds that Gaudi's firmware can report; see SENSOR_TYPE. */
export const sensorFiles = {
  temp: {
    unit: 'millidegrees Celsius',
    first: 1,
    get: 'TEMPERATURE_GET',
    set: 'TEMPERATURE_SET',
    called: 'temperature',
    files: {
      input: READ,
      max: READ,
      max_hyst: READ,
      crit: READ,
      crit_hyst: READ,
      offset: BOTH,
      highest: READ,
      reset_history: WRITE,
    },
  },
  in: {
    unit: 'millivolts',
    first: 0,
    get: 'VOLTAGE_GET',
    set: 'VOLTAGE_SET',
    called: 'voltage',
    files: { input: READ, min: READ, max: READ, highest: READ, reset_history: WRITE },
  },
  curr: {
    unit: 'milliamperes',
    first: 1,
    get: 'CURRENT_GET',
    set: 'CURRENT_SET',
    called: 'current',
    files: { input: READ, min: READ, max: READ, highest: READ, reset_history: WRITE },
  },
  power: {
    unit: 'microwatts',
    first: 1,
    get: 'POWER_GET',
    set: 'POWER_GET',
    called: 'power',
    files: { input: READ, input_highest: READ, reset_history: WRITE },
  },
} as const satisfies { readonly [K in 'temp' | 'in' | 'curr' | 'power']: SensorFiles<K> };

export type ShownKind = keyof typeof sensorFiles;
