/**
 * A PCI Express endpoint: puts configuration space, BARs and interrupts together into a `PciFunction`. A device model
 * supplies its identity, its BARs and what a reset does to it, and gets ports that obey what the host has set.
 */

import {
  type PcieOptions,
  type PowerManagement,
  type PowerManagementOptions,
  pcie,
  powerManagement,
} from './capabilities.ts';
import { type Capability, type ConfigBlock, ConfigSpace, firstCapability } from './config-space.ts';
import type { Bar, PciFunction, ResetKind } from './function.ts';
import { barValue, COMMAND, type Ids, STATUS, type Type0Header, type0Header } from './header.ts';
import { type MessageInterrupts, type MsiOptions, type Msix, msi } from './interrupts.ts';
import { PciError } from './pci-error.ts';
import type { DmaPort, FunctionPorts, InterruptKind } from './ports.ts';

export interface EndpointOptions {
  /** For messages, e.g. `gaudi0`. */
  readonly name: string;
  readonly ids: Ids;
  /** In order of index. */
  readonly bars: readonly Bar[];
  /** PCI Express capability. `flr`: offers function-level reset. */
  readonly pcie: Pick<PcieOptions, 'at' | 'linkSpeed' | 'linkWidth'> & { readonly flr: boolean };
  readonly power?: Omit<PowerManagementOptions, 'reset'>;
  readonly msi?: MsiOptions;
  /** Made by the device, because its table and pending bits are pieces of the device's BARs. */
  readonly msix?: Msix;
  /** 1 to 4: INTA to INTD. Default 0: none. */
  readonly interruptPin?: 0 | 1 | 2 | 3 | 4;
  readonly multiFunction?: boolean;
  /** Further capabilities. */
  readonly capabilities?: readonly Capability[];
  /** Registers of configuration space outside all capabilities, e.g. a vendor's window. */
  readonly configRegisters?: readonly { readonly at: number; readonly block: ConfigBlock }[];
  /** Called once, with ports that obey bus master enable, power state and interrupt enables. */
  readonly connected?: (ports: FunctionPorts) => void;
  /** Resets the device behind configuration space, which has been reset. May come at any moment, and before `connected`. */
  readonly reset: (kind: ResetKind) => void;
  readonly close?: () => void;
}

export class Endpoint implements PciFunction {
  readonly name: string;
  readonly config: ConfigSpace;
  readonly bars: readonly Bar[];
  readonly vectors: PciFunction['vectors'];
  readonly #options: EndpointOptions;
  readonly #header: Type0Header;
  readonly #power: PowerManagement | undefined;
  readonly #msi: MessageInterrupts | undefined;
  readonly #msix: Msix | undefined;
  #ports: FunctionPorts | undefined;
  /** Where each BAR decodes, by index. */
  readonly #addresses: (number | undefined)[] = new Array(6).fill(undefined);
  #master = false;
  #intx = false;
  /** INTx as the host sees it: asserted and not disabled. */
  #intxSent = false;
  #resetRequested = false;

  constructor(options: EndpointOptions) {
    this.#options = options;
    this.name = options.name;
    this.bars = options.bars;
    const requestReset = () => {
      this.#resetRequested = true;
    };
    this.#power = options.power && powerManagement({ ...options.power, reset: requestReset });
    this.#msi = options.msi && msi(options.msi);
    this.#msix = options.msix;
    const { flr, ...link } = options.pcie;
    const express = pcie({ ...link, type: 'endpoint', ...(flr ? { flr: requestReset } : {}) });
    const capabilities = [this.#power, this.#msi, express, this.#msix, ...(options.capabilities ?? [])].filter(
      (c): c is Capability => c !== undefined,
    );
    const interruptPin = options.interruptPin ?? 0;
    this.#header = type0Header({
      ids: options.ids,
      bars: options.bars,
      interruptPin,
      multiFunction: options.multiFunction ?? false,
      firstCapability: firstCapability(capabilities),
    });
    this.config = new ConfigSpace({ header: this.#header, capabilities, others: options.configRegisters ?? [] }, () =>
      this.#configChanged(),
    );
    this.vectors = {
      intx: interruptPin === 0 ? 0 : 1,
      msi: this.#msi?.vectors ?? 0,
      msix: this.#msix?.vectors ?? 0,
    };
    this.#msi?.connect((vector) => this.#send('msi', vector));
    this.#msix?.connect((vector) => this.#send('msix', vector));
  }

  connect(ports: FunctionPorts): void {
    if (this.#ports) throw new Error(`${this.name}: connected twice`);
    this.#ports = ports;
    if (this.#msix) this.#msix.hostKeepsTable = ports.hostKeepsMsixTable ?? false;
    this.#options.connected?.({
      clock: ports.clock,
      dma: new MasterPort(
        this.name,
        ports.dma,
        () => this.#master,
        () => this.#masterAbort(),
      ),
      interrupt: (kind, vector) => this.#interrupt(kind, vector),
    });
  }

  /** Raises `vector` by the kind of interrupt that the host has enabled; INTx, a level, is not among them (`setIntx`). */
  raise(vector: number): void {
    if (this.#msix?.enabled()) this.#msix.raise(vector);
    else this.#msi?.raise(vector);
  }

  /** Asserts or deasserts INTx. While it is asserted, the host is told again each time it enables INTx. */
  setIntx(asserted: boolean): void {
    if (this.vectors.intx === 0) throw new Error(`${this.name} has no INTx`);
    this.#intx = asserted;
    const status = this.#header.get('STATUS');
    this.#header.set('STATUS', asserted ? status | STATUS.INTERRUPT : status & ~STATUS.INTERRUPT);
    this.#updateIntx();
  }

  /** True while the function may make requests: bus master enabled, and in D0. */
  isMaster(): boolean {
    return this.#master;
  }

  reset(kind: ResetKind): void {
    this.#resetRequested = false;
    this.config.reset(kind);
    this.#intx = false;
    this.#update();
    this.#options.reset(kind);
  }

  barAddress(index: number): number | undefined {
    return this.#addresses[index];
  }

  close(): void {
    this.#options.close?.();
  }

  #interrupt(kind: InterruptKind, vector: number): void {
    if (kind === 'msi') this.#msi?.raise(vector);
    else if (kind === 'msix') this.#msix?.raise(vector);
    else this.setIntx(true);
  }

  /** A message-signalled interrupt is a memory write, so it needs bus mastering (7.5.1.1.3). */
  #send(kind: 'msi' | 'msix', vector: number): void {
    if (this.#master) this.#ports?.interrupt(kind, vector);
  }

  #configChanged(): void {
    if (this.#resetRequested) this.reset('function-level');
    else this.#update();
  }

  /** Derives from configuration space what every access asks for. */
  #update(): void {
    const command = this.#header.get('COMMAND');
    const awake = (this.#power?.state() ?? 0) === 0;
    this.#master = awake && (command & COMMAND.MASTER) !== 0;
    for (const bar of this.bars) {
      const enabled = awake && (command & (bar.kind === 'io' ? COMMAND.IO : COMMAND.MEMORY)) !== 0;
      const address = barValue(this.#header, bar);
      // Zero is the value of a BAR that has no place yet: bus address 0 is never behind a bridge's window, on PCs it is
      // memory. An address beyond what a number holds exactly is one that the host is sizing.
      const placed = address !== 0 && Number.isSafeInteger(address + bar.region.size);
      this.#addresses[bar.index] = enabled && placed ? address : undefined;
    }
    this.#updateIntx();
  }

  #updateIntx(): void {
    const sent = this.#intx && (this.#header.get('COMMAND') & COMMAND.INTX_DISABLE) === 0;
    if (sent && !this.#intxSent) this.#ports?.interrupt('intx', 0);
    this.#intxSent = sent;
  }

  /** A read that got no answer (7.5.1.1.4). */
  #masterAbort(): void {
    this.#header.set('STATUS', this.#header.get('STATUS') | STATUS.REC_MASTER_ABORT);
  }
}

/** The host's port, but only while the function may make requests. */
class MasterPort implements DmaPort {
  readonly #name: string;
  readonly #port: DmaPort;
  readonly #isMaster: () => boolean;
  readonly #onMasterAbort: () => void;

  constructor(name: string, port: DmaPort, isMaster: () => boolean, onMasterAbort: () => void) {
    this.#name = name;
    this.#port = port;
    this.#isMaster = isMaster;
    this.#onMasterAbort = onMasterAbort;
  }

  view(address: number, length: number, access: 'read' | 'write'): Uint8Array | undefined {
    return this.#isMaster() ? this.#port.view(address, length, access) : undefined;
  }

  read(...[address, target, done]: Parameters<DmaPort['read']>): void {
    if (!this.#isMaster()) {
      done(new PciError('not-master', this.#name, 'read', address));
      return;
    }
    this.#port.read(address, target, (error) => {
      if (error) this.#onMasterAbort();
      done(error);
    });
  }

  write(...[address, source, done]: Parameters<DmaPort['write']>): void {
    if (this.#isMaster()) this.#port.write(address, source, done);
    else done(new PciError('not-master', this.#name, 'write', address));
  }

  store32(...[address, value, done]: Parameters<DmaPort['store32']>): void {
    if (this.#isMaster()) this.#port.store32(address, value, done);
    else done(new PciError('not-master', this.#name, 'write', address));
  }
}
