/** Error lines of a guest's log that have nothing to do with the card, and why they are there. */

export const expectedLines: readonly { readonly pattern: RegExp; readonly reason: string }[] = [];
