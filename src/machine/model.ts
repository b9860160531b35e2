/** A machine in process: modelled cards, a virtual clock, and the specification of the driver. */

import { ModelDriver } from '../driver/model/driver.ts';
import { type Efa, efa } from '../efa/device.ts';
import { Network } from '../efa/network.ts';
import { type Gaudi, gaudi } from '../gaudi/device.ts';
import type { Protocol } from '../gaudi/firmware.ts';
import type { Fabric } from '../pci/fabric.ts';
import type { PciFunction } from '../pci/function.ts';
import { VirtualClock } from '../sim/clock.ts';
import type { ModelError } from '../sim/errors.ts';
import type { Memory } from '../sim/memory.ts';
import { faultsOf } from './faults.ts';
import { buildMachine, machineDescription } from './machines.ts';
import { tpcFirmware } from './tpc-firmware.ts';
import { MachineTrace, type TracePlace } from './trace.ts';

export interface ModelMachineOptions {
  /** Of machines.ts. */
  readonly machine: string;
  /** Slows engines down: nanoseconds by the engine's name, e.g. `DMA0`. */
  readonly delays?: Readonly<Record<string, number>>;
  /** How a card loads its firmware. Default `comms`. */
  readonly firmware?: Protocol;
  /** Seed of what is random in the devices. Default 1. */
  readonly seed?: number;
  /** What goes wrong: `[CARD/]NAME[:word[.word]][@when]` each (docs/faults.md). */
  readonly faults?: readonly string[];
  /** Makes the memories of the cards; default: each anew. */
  readonly memory?: (name: string, size: number) => Memory;
  /** Where what happens is recorded; default: nowhere. */
  readonly trace?: TracePlace;
}

/** What a device model refused. */
export interface Refusal {
  readonly device: string;
  readonly error: ModelError;
}

export class ModelMachine implements Disposable {
  readonly driver: ModelDriver;
  readonly cards: readonly Gaudi[];
  readonly nics: readonly Efa[];
  /** By which the cards reach each other and the host. */
  readonly fabric: Fabric;
  /** What records what happens, where that was asked for. */
  readonly trace: MachineTrace | undefined;
  readonly #functions: readonly PciFunction[];
  #refusals: Refusal[] = [];

  /** @throws UserError for a machine that does not exist */
  constructor(options: ModelMachineOptions) {
    const { machine, delays = {}, firmware = 'comms', seed = 1, memory, faults = [], trace: place } = options;
    const description = machineDescription(machine);
    const clock = new VirtualClock();
    const now = () => clock.now();
    const traced = { clock: 'virtual', now, target: 'model', machine, seed } as const;
    this.trace = place && new MachineTrace({ place, ...traced });
    const trace = this.trace?.recorder;
    const cards: Gaudi[] = [];
    const nics: Efa[] = [];
    const network = new Network({ seed });
    const built = buildMachine(description, {
      gaudi: (name) => {
        const onError = this.#refuser(name);
        const made = memory ? { memory } : {};
        const common = { name, firmware, seed, delays, onError, trace, faults: faultsOf(faults, machine, name) };
        const card = gaudi({ ...common, location: cards.length, ...made });
        cards.push(card);
        return card;
      },
      efa: (name) => {
        const made = memory ? { memory } : {};
        const nic = efa({ name, network, seed, onError: this.#refuser(name), trace, ...made });
        nics.push(nic);
        return nic;
      },
    });
    this.#functions = built.functions;
    this.cards = cards;
    this.nics = nics;
    this.fabric = built.fabric;
    this.fabric.trace = trace;
    this.trace?.describe(description, built.topology);
    this.driver = new ModelDriver({
      clock,
      trace,
      cards,
      nics,
      fabric: built.fabric,
      firmware: { 'habanalabs/gaudi/gaudi_tpc.bin': tpcFirmware() },
    });
  }

  /** What the device models have refused since the last call. */
  takeRefusals(): readonly Refusal[] {
    const refusals = this.#refusals;
    this.#refusals = [];
    return refusals;
  }

  [Symbol.dispose](): void {
    for (const device of this.#functions) device.close();
    this.trace?.[Symbol.dispose]();
  }

  #refuser(device: string): (error: ModelError) => void {
    return (error) => void this.#refusals.push({ device, error });
  }
}
