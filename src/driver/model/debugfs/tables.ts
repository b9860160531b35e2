/** What the driver tells of programs in debugfs: their buffers, submissions and memory. Source: common/debugfs.c. */

import { addressMap } from '../../../../specs/gaudi/address-map.ts';
import type { Card } from '../card.ts';
import { ASID } from '../context.ts';
import { PAGE } from '../host-memory.ts';
import type { Cs } from '../submission.ts';
import type { UserMapping } from '../user-memory.ts';

const CS_TYPES = { default: 0, signal: 1, wait: 2 } as const;
const { HOST_BASE } = addressMap;

/** A table whose heading is there when there is a row. */
function table(heading: string, rows: readonly string[]): string {
  return rows.length === 0 ? '' : `\n${heading}${rows.join('')}\n`;
}

const right = (value: number | bigint, width: number, fill = ' ') => `${value}`.padStart(width, fill);
const left = (value: number | bigint | string, width: number) => `${value}`.padEnd(width);
const hex = (value: number | bigint, width = 0) => left(value.toString(16), width);

/** Those of programs; the driver lists its own copies of what external queues execute as well. */
export function commandBuffers(card: Card): string {
  const rows = (card.context?.buffers.list() ?? []).map(
    ({ handle, size, references, mapped, inUse }) =>
      `   ${right(handle, 3, '0')}        ${ASID}    0x${size.toString(16).padStart(8, '0')}      ${references}          ${mapped ? 1 : 0}          ${inUse}\n`,
  );
  return table(
    ` CB ID   CTX ID   CB size    CB RefCnt    mmap?   CS counter\n${'-'.repeat(63)}\n`,
    // the newest is the first of the list
    rows.reverse(),
  );
}

const flag = (value: boolean) => (value ? 1 : 0);

export function submissions(card: Card): string {
  const row = ({ sequence, type, references, submitted, completed }: Cs) =>
    `   ${sequence}        ${CS_TYPES[type]}          ${ASID}          ${references}           ${flag(submitted)}            ${flag(completed)}\n`;
  return table(
    ` CS ID   CS TYPE   CTX ASID   CS RefCnt   Submitted    Completed\n${'-'.repeat(64)}\n`,
    [...card.submissions.inFlight].reverse().map(row),
  );
}

export function jobs(card: Card): string {
  const rows = card.submissions.inFlight.flatMap((cs) =>
    [...cs.jobs].map(
      ({ id, queue }) =>
        `   ${right(id, 2, '0')}      ${cs.sequence}        ${CS_TYPES[cs.type]}        ${ASID}          1           ${queue}\n`,
    ),
  );
  return table(` JOB ID   CS ID    CS TYPE    CTX ASID   JOB RefCnt   H/W Queue\n${'-'.repeat(63)}\n`, rows.reverse());
}

const pinned = (card: Card): readonly (UserMapping & { readonly device: number })[] =>
  [...(card.context?.memory.mappings ?? [])].map(([device, mapping]) => ({ ...mapping, device })).reverse();

export function userPointers(card: Card): string {
  const rows = pinned(card).map(
    ({ pid, address, size }) =>
      ` ${left(pid, 7)}  0x${hex(address, 14)}      ${left(size, 10)}    ${left('DMA_BIDIRECTIONAL', 30)}\n`,
  );
  return table(` pid      user virtual address     size             dma dir\n${'-'.repeat(58)}\n`, rows);
}

/** Where memory of programs at an address is on the bus. */
export function lookUp(card: Card, address: bigint): string {
  const rows = pinned(card)
    .filter((mapping) => address >= mapping.address && address < mapping.address + mapping.size)
    .flatMap(({ pid, address: start, size, pinned: { pages } }) => {
      // counted from the address itself, not from the page that it is in
      const page = pages[Number((address - start) / BigInt(PAGE))];
      if (page === undefined) return [];
      const bus = BigInt(page + HOST_BASE) + ((address - start) % BigInt(PAGE));
      return [` 0x${hex(address, 18)}  0x${hex(bus, 16)}  ${left(pid, 8)}  0x${hex(start, 16)} ${left(size, 12)}\n`];
    });
  return table(
    ` user virtual address         dma address       pid        region start     region size\n${'-'.repeat(87)}\n`,
    rows,
  );
}

const RULE = '-'.repeat(52);
const SHORT_RULE = '-'.repeat(21);

/** Address spaces, the newest first: that of the program, and the driver's own, which has no mappings. */
export function addressSpaces(card: Card): string {
  const space = (asid: number, rows: readonly string[]) =>
    `\n\n${RULE}\n${RULE}\n\nctx asid: ${asid}\n\nmappings:\n\n    virtual address        size          handle\n${RULE}\n${rows.join('')}`;
  const { context } = card;
  let text = context
    ? space(
        ASID,
        pinned(card).map(({ device, size }) => `    0x${hex(device, 14)}      ${left(size, 10)}\n`),
      )
    : '';
  text += space(0, []);
  if (context) {
    const shown = (value: number) => `0x${value.toString(16)}`;
    text += '\nVA ranges:\n\n';
    // that for huge pages is that for others; the third is for memory of the card, which no mapping is in
    for (const [number, blocks] of [context.memory.free, context.memory.free, [CARD_RANGE]].entries()) {
      text += `   va_range ${number}\n${SHORT_RULE}\n`;
      for (const { start, end } of blocks)
        text += `${shown(start).padStart(16)} - ${shown(end).padStart(16)} (${shown(end - start + 1)})\n`;
      text += '\n';
    }
  }
  return `${text}\n`;
}

const VIRTUAL_END = 0x3_ff80_0000_0000;
const HALF = addressMap.VIRTUAL_BASE + (VIRTUAL_END - addressMap.VIRTUAL_BASE) / 2;
/** gaudi.c, the upper half of the addresses (prop->dmmu). */
const CARD_RANGE = { start: HALF, end: VIRTUAL_END - 1 } as const;
