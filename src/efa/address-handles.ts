/** Addresses that the host has made known, per protection domain. */

import { UNKNOWN_AH } from '../../specs/efa/io.ts';
import { addressKey } from './network.ts';
import { Table } from './table.ts';

export interface AddressHandle {
  readonly id: number;
  readonly pd: number;
  /** As `addressKey`. */
  readonly key: string;
}

export class AddressHandles {
  readonly table: Table<AddressHandle>;
  /** Handles by address; there may be several in different domains. */
  readonly #byKey = new Map<string, Set<AddressHandle>>();

  constructor(limit: number) {
    this.table = new Table(limit, 16, [UNKNOWN_AH]);
  }

  /** @returns undefined where all are taken */
  create(pd: number, address: Uint8Array): AddressHandle | undefined {
    const id = this.table.free();
    if (id === undefined) return undefined;
    const handle = { id, pd, key: addressKey(address) };
    this.table.set(id, handle);
    const same = this.#byKey.get(handle.key) ?? new Set();
    this.#byKey.set(handle.key, same.add(handle));
    return handle;
  }

  destroy(handle: AddressHandle): void {
    this.table.delete(handle.id);
    const same = this.#byKey.get(handle.key);
    same?.delete(handle);
    if (same?.size === 0) this.#byKey.delete(handle.key);
  }

  /** Whether any domain knows the address. */
  knows(key: string): boolean {
    return this.#byKey.has(key);
  }

  /** The handle of an address in a domain, or UNKNOWN_AH. */
  handleOf(pd: number, key: string): number {
    for (const handle of this.#byKey.get(key) ?? []) if (handle.pd === pd) return handle.id;
    return UNKNOWN_AH;
  }

  clear(): void {
    this.table.clear();
    this.#byKey.clear();
  }
}
