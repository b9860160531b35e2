/**
 * Where functions sit: a root complex, its root ports, switches below them. It answers how a request of one function
 * reaches another, and what Linux makes of it (pci_p2pdma_distance, drivers/pci/p2pdma.c).
 */

import { type AccessControl, accessControl, type PortType, pcie, powerManagement } from './capabilities.ts';
import { ConfigSpace, firstCapability } from './config-space.ts';
import type { PciFunction } from './function.ts';
import { type Ids, type1Header } from './header.ts';

export interface RootComplex {
  readonly name: string;
  /** Whether it forwards requests of one root port's devices to those of another, or back down the same port. */
  readonly forwardsPeerToPeer: boolean;
  /**
   * Whether Linux trusts it to: the host bridge is in `pci_p2pdma_whitelist`, or the CPU passes `cpu_supports_p2pdma`
   * (AMD, family 17h and later).
   */
  readonly whitelisted: boolean;
}

export interface PortOptions {
  readonly name: string;
  readonly type: Exclude<PortType, 'endpoint'>;
  readonly ids: Ids;
  /** Has Access Control Services. */
  readonly acs?: boolean;
  readonly linkSpeed?: 1 | 2 | 3 | 4 | 5;
  readonly linkWidth?: 1 | 2 | 4 | 8 | 16;
}

/** A PCI-to-PCI bridge: a root port, or one port of a switch. */
export class Port {
  readonly name: string;
  readonly type: PortType;
  /** The bridge above; undefined for a root port. */
  readonly parent: Port | undefined;
  readonly config: ConfigSpace;
  readonly #acs: AccessControl | undefined;
  readonly #below: (Port | PciFunction)[] = [];

  constructor(options: PortOptions, parent: Port | undefined) {
    const allowed = options.type === 'root-port' ? undefined : options.type === 'upstream' ? 'below' : 'upstream';
    if ((parent === undefined) !== (allowed === undefined) || (allowed === 'upstream' && parent?.type !== 'upstream')) {
      throw new Error(`${options.name}: a port of type ${options.type} does not go there`);
    }
    if (allowed === 'below' && parent?.type === 'upstream') {
      throw new Error(`${options.name}: below an upstream port are downstream ports only`);
    }
    this.name = options.name;
    this.type = options.type;
    this.parent = parent;
    this.#acs = options.acs ? accessControl() : undefined;
    const capabilities = [
      powerManagement(),
      pcie({ type: options.type, linkSpeed: options.linkSpeed ?? 4, linkWidth: options.linkWidth ?? 16 }),
      ...(this.#acs ? [this.#acs] : []),
    ];
    const header = type1Header(options.ids, firstCapability(capabilities), (asserted) => {
      if (asserted) this.#resetBelow();
    });
    this.config = new ConfigSpace({ header, capabilities });
  }

  /** True while ACS sends peer-to-peer requests up instead of across. */
  redirects(): boolean {
    return this.#acs?.redirects() ?? false;
  }

  reset(): void {
    this.config.reset('conventional');
    this.#resetBelow();
  }

  /** @internal */
  add(child: Port | PciFunction): void {
    this.#below.push(child);
  }

  /** A reset of the secondary bus reaches everything below (Bridge Control, PCI Express Base 5.0, 7.5.1.3). */
  #resetBelow(): void {
    for (const child of this.#below) {
      if (child instanceof Port) child.reset();
      else child.reset('conventional');
    }
  }
}

/**
 * - `switch`: the ports between the two forward the request across.
 * - `root-complex`: it goes up to the root complex, which forwards it.
 * - `none`: it goes up, and the root complex does not forward it.
 */
export type Route = 'switch' | 'root-complex' | 'none';

interface Path {
  /** Of Linux: 0 same function, 2 same device, 4 across a switch, more through the host. */
  readonly hops: number;
  /** The bridges that the way passes; up to the root where there is no common one. */
  readonly ports: readonly Port[];
  readonly common: boolean;
}

export class Topology {
  readonly rootComplex: RootComplex;
  readonly #places = new Map<PciFunction, Port | undefined>();
  readonly #paths = new Map<PciFunction, Map<PciFunction, Path>>();

  constructor(rootComplex: RootComplex) {
    this.rootComplex = rootComplex;
  }

  /** Adds a port below `parent`, or to the root bus. */
  addPort(options: PortOptions, parent?: Port): Port {
    const port = new Port(options, parent);
    parent?.add(port);
    return port;
  }

  /** Puts a function behind a port, or on the root bus. */
  place(fn: PciFunction, port?: Port): void {
    if (this.#places.has(fn)) throw new Error(`${fn.name} is placed already`);
    if (port?.type === 'upstream') throw new Error(`${fn.name}: behind an upstream port are downstream ports only`);
    this.#places.set(fn, port);
    port?.add(fn);
  }

  /** In the order they were placed. */
  functions(): readonly PciFunction[] {
    return [...this.#places.keys()];
  }

  /** The bridges above a function, nearest first. */
  above(fn: PciFunction): readonly Port[] {
    return this.#above(fn);
  }

  /** How a request of `from` for an address of `to` goes now (ACS is software's to set). */
  route(from: PciFunction, to: PciFunction): Route {
    const path = this.#path(from, to);
    if (path.common && !path.ports.some((p) => p.redirects())) return 'switch';
    return this.rootComplex.forwardsPeerToPeer ? 'root-complex' : 'none';
  }

  /** Linux's `pci_p2pdma_distance(provider, client)`: hops, or -1 where it will not map one for the other. */
  distance(provider: PciFunction, client: PciFunction): number {
    const path = this.#path(provider, client);
    if (path.common && !path.ports.some((p) => p.redirects())) return path.hops;
    return this.rootComplex.whitelisted ? path.hops : -1;
  }

  #path(a: PciFunction, b: PciFunction): Path {
    let paths = this.#paths.get(a);
    if (!paths) {
      paths = new Map();
      this.#paths.set(a, paths);
    }
    let path = paths.get(b);
    if (!path) {
      path = this.#findPath(a, b);
      paths.set(b, path);
    }
    return path;
  }

  #findPath(a: PciFunction, b: PciFunction): Path {
    if (a === b) return { hops: 0, ports: [], common: true };
    const up = this.#above(a);
    const down = this.#above(b);
    for (let i = 0; i < up.length; i++) {
      const j = down.indexOf(up[i] as Port);
      // The common bridge counts once, and its own redirection counts.
      if (j >= 0) return { hops: i + j + 2, ports: [...up.slice(0, i + 1), ...down.slice(0, j)], common: true };
    }
    return { hops: up.length + down.length + 2, ports: [...up, ...down], common: false };
  }

  /** The bridges above a function, nearest first. */
  #above(fn: PciFunction): Port[] {
    if (!this.#places.has(fn)) throw new Error(`${fn.name} has no place in this topology`);
    const ports: Port[] = [];
    for (let port = this.#places.get(fn); port; port = port.parent) ports.push(port);
    return ports;
  }
}
