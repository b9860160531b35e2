/**
 * Temperatures, voltages, currents and power of the card. They follow from what the chip does: power is what it takes at
 * rest, plus the energy of every byte moved and of every engine at work; the die warms up and cools down with it; the
 * supply sags under load. The constants are those of a card of this class, not measurements of one.
 */

import { ATTRIBUTES, type SensorKind } from '../../specs/gaudi/cpucp.ts';
import type { Clock } from '../sim/clock.ts';
import type { Random } from '../sim/random.ts';

/** What the chip has done so far, and does now. */
export interface Activity {
  /** Bytes moved by all engines since power-on. */
  readonly bytes: number;
  /** Engines that have work now. */
  readonly busyEngines: number;
}

const IDLE_WATTS = 65;
const JOULES_PER_BYTE = 60e-12;
const WATTS_PER_BUSY_ENGINE = 4;
const AMBIENT = 26;
const KELVIN_PER_WATT = 0.16;
const THERMAL_SECONDS = 18;
const METER_SECONDS = 0.05;
const SUPPLY_VOLTS = 12;
const SUPPLY_OHMS = 0.004;
const CORE_VOLTS = 0.8;
const CORE_OHMS = 0.00012;
/** Share of the card's power that the core rail carries. */
const CORE_SHARE = 0.7;
const HBM_VOLTS = 1.2;
/** Millidegrees: what the offset register of a thermal sensor holds, whole degrees in eight bits with their sign. */
const MOST_OFFSET = 127_000;
/** Noise of a reading, parts of it. */
const NOISE = 0.001;

interface Sensor {
  readonly kind: SensorKind;
  readonly label: string;
  /** In the unit of its kind: millidegrees, millivolts, milliamperes, microwatts. */
  readonly read: (state: State) => number;
  /** Fixed attributes, by name. */
  readonly limits: Readonly<Record<string, number>>;
}

interface State {
  watts: number;
  celsius: number;
}

const sensors: readonly Sensor[] = [
  {
    kind: 'temp',
    label: 'on die',
    read: (s) => s.celsius * 1e3,
    limits: { max: 100e3, max_hyst: 95e3, crit: 110e3, crit_hyst: 105e3 },
  },
  {
    kind: 'temp',
    label: 'HBM',
    read: (s) => (AMBIENT + (s.celsius - AMBIENT) * 0.85) * 1e3,
    limits: { max: 95e3, max_hyst: 90e3, crit: 105e3, crit_hyst: 100e3 },
  },
  {
    kind: 'temp',
    label: 'board',
    read: (s) => (AMBIENT + (s.celsius - AMBIENT) * 0.4) * 1e3,
    limits: { max: 85e3, max_hyst: 80e3, crit: 95e3, crit_hyst: 90e3 },
  },
  {
    kind: 'in',
    label: 'supply',
    read: (s) => (SUPPLY_VOLTS - (s.watts / SUPPLY_VOLTS) * SUPPLY_OHMS) * 1e3,
    limits: { min: 11_400, max: 12_600 },
  },
  {
    kind: 'in',
    label: 'core',
    read: (s) => (CORE_VOLTS - ((s.watts * CORE_SHARE) / CORE_VOLTS) * CORE_OHMS) * 1e3,
    limits: { min: 720, max: 880 },
  },
  { kind: 'in', label: 'HBM', read: (s) => (HBM_VOLTS - s.watts * 2e-5) * 1e3, limits: { min: 1140, max: 1260 } },
  { kind: 'curr', label: 'supply', read: (s) => (s.watts / SUPPLY_VOLTS) * 1e3, limits: { min: 0, max: 30_000 } },
  {
    kind: 'curr',
    label: 'core',
    read: (s) => ((s.watts * CORE_SHARE) / CORE_VOLTS) * 1e3,
    limits: { min: 0, max: 400_000 },
  },
  { kind: 'power', label: 'card', read: (s) => s.watts * 1e6, limits: {} },
];

interface Extremes {
  lowest: number;
  highest: number;
}

export class Sensors {
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #activity: () => Activity;
  readonly #state: State = { watts: IDLE_WATTS, celsius: AMBIENT };
  readonly #extremes: Extremes[];
  readonly #offsets: number[] = sensors.map(() => 0);
  #time: number;
  #bytes: number;
  #joules = 0;

  constructor(clock: Clock, random: Random, activity: () => Activity) {
    this.#clock = clock;
    this.#random = random;
    this.#activity = activity;
    this.#time = clock.now();
    this.#bytes = activity().bytes;
    this.#extremes = sensors.map((s) => {
      const value = Math.round(s.read(this.#state));
      return { lowest: value, highest: value };
    });
  }

  /** Kind of each sensor, with the names of the attributes it has; sensors of a kind are numbered in this order. */
  list(): { kind: SensorKind; attributes: string[] }[] {
    return sensors.map(({ kind, limits }) => {
      const common =
        kind === 'power' ? ['input', 'input_highest', 'reset_history'] : ['input', 'highest', 'reset_history'];
      return { kind, attributes: [...common, ...Object.keys(limits), ...(kind === 'temp' ? ['offset'] : [])] };
    });
  }

  /** @returns the value, or undefined where there is no such sensor or attribute */
  get(kind: SensorKind, index: number, attribute: number): number | undefined {
    this.#update();
    const at = this.#find(kind, index);
    const sensor = sensors[at];
    const extremes = this.#extremes[at];
    if (!sensor || !extremes) return undefined;
    const offset = this.#offsets[at] ?? 0;
    const name = nameOf(kind, attribute);
    switch (name) {
      case 'input': {
        const reading = Math.round(sensor.read(this.#state) * (1 + (this.#random.below(2001) / 1000 - 1) * NOISE));
        extremes.lowest = Math.min(extremes.lowest, reading);
        extremes.highest = Math.max(extremes.highest, reading);
        return reading + offset;
      }
      case 'highest':
      case 'input_highest':
        return extremes.highest + offset;
      case 'lowest':
        return extremes.lowest + offset;
      case 'offset':
        return offset;
      default:
        return name === undefined ? undefined : sensor.limits[name];
    }
  }

  /** @returns false where there is no such sensor, or the attribute cannot be set */
  set(kind: SensorKind, index: number, attribute: number, value: number): boolean {
    this.#update();
    const at = this.#find(kind, index);
    const sensor = sensors[at];
    if (!sensor) return false;
    switch (nameOf(kind, attribute)) {
      case 'offset':
        if (Math.abs(value) > MOST_OFFSET) return false;
        this.#offsets[at] = value;
        return true;
      case 'reset_history': {
        const now = Math.round(sensor.read(this.#state));
        this.#extremes[at] = { lowest: now, highest: now };
        return true;
      }
      default:
        return false;
    }
  }

  /** Energy since this object was made, joules. */
  joules(): number {
    this.#update();
    return this.#joules;
  }

  /** Average power since the last look, and what follows from it. */
  #update(): void {
    const now = this.#clock.now();
    const seconds = (now - this.#time) / 1e9;
    if (seconds <= 0) return;
    const { bytes, busyEngines } = this.#activity();
    const watts =
      IDLE_WATTS + ((bytes - this.#bytes) * JOULES_PER_BYTE) / seconds + busyEngines * WATTS_PER_BUSY_ENGINE;
    const settled = AMBIENT + watts * KELVIN_PER_WATT;
    this.#state.celsius += (settled - this.#state.celsius) * (1 - Math.exp(-seconds / THERMAL_SECONDS));
    // The meter averages: what it shows follows with a time constant.
    this.#state.watts += (watts - this.#state.watts) * (1 - Math.exp(-seconds / METER_SECONDS));
    this.#joules += watts * seconds;
    this.#time = now;
    this.#bytes = bytes;
    sensors.forEach((sensor, i) => {
      const value = Math.round(sensor.read(this.#state));
      const extremes = this.#extremes[i] as Extremes;
      extremes.lowest = Math.min(extremes.lowest, value);
      extremes.highest = Math.max(extremes.highest, value);
    });
  }

  #find(kind: SensorKind, index: number): number {
    let seen = 0;
    return sensors.findIndex((s) => s.kind === kind && seen++ === index);
  }
}

function nameOf(kind: SensorKind, attribute: number): string | undefined {
  return Object.entries(ATTRIBUTES[kind]).find(([, number]) => number === attribute)?.[0];
}
