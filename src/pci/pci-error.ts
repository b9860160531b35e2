/**
 * A request of a function that did not complete: nothing answers at the address, nothing routes it there, or the
 * function must not make requests now. On the wire this is an Unsupported Request (PCI Express Base 5.0, 2.3.1).
 */
export class PciError extends Error {
  override readonly name = 'PciError';
  /**
   * - `not-master`: the host has not enabled bus mastering, or the function is not in D0.
   * - `no-route`: the address is a peer's, and nothing forwards requests from here to there.
   * - `no-answer`: nothing is at the address.
   */
  readonly kind: 'not-master' | 'no-route' | 'no-answer';
  /** Bus address. */
  readonly address: number;

  constructor(kind: PciError['kind'], who: string, access: 'read' | 'write', address: number) {
    super(`${kind}: ${who}: ${access} of bus address 0x${address.toString(16)}`);
    this.kind = kind;
    this.address = address;
  }
}
