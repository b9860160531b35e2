/** All mutants: those that follow from rows, and those of the source. */

import { globSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { commands } from '../../specs/efa/admin.ts';
import * as efa from '../../specs/efa/io.ts';
import { dmaCore } from '../../specs/gaudi/registers/dma-core.ts';
import { mmuUp } from '../../specs/gaudi/registers/mmu.ts';
import { qmanRegisters } from '../../specs/gaudi/registers/qman.ts';
import { stlb } from '../../specs/gaudi/registers/stlb.ts';
import { syncManager } from '../../specs/gaudi/registers/sync-manager.ts';
import { tpcCfg } from '../../specs/gaudi/registers/tpc-cfg.ts';
import { gaudiQman } from '../../specs/gaudi-qman.ts';
import type { RegisterRow } from '../../src/sim/registers.ts';
import type { Mutant } from './mutant.ts';
import { sourceMutants } from './sources.ts';
import { chipMutants } from './sources-chip.ts';
import { driverMutants } from './sources-driver.ts';
import { nicMutants } from './sources-nic.ts';
import { formatFields, ioctlTaps, packetFields } from './taps.ts';

const root = path.resolve(import.meta.dirname, '../..');

export function allMutants(): readonly Mutant[] {
  const all = [
    ...sourceMutants,
    ...chipMutants,
    ...driverMutants,
    ...nicMutants,
    ...packets(),
    ...uapi(),
    ...nic(),
    ...registers(),
  ];
  const names = new Set<string>();
  for (const { name } of all) {
    if (names.has(name)) throw new Error(`two mutants named "${name}"`);
    names.add(name);
  }
  return all;
}

/** Every field of every packet that the model executes, and of what is written to sync objects and monitors. */
function packets(): Mutant[] {
  const kinds = Object.keys(gaudiQman.rows).filter((name) => name !== 'REPEAT');
  const fields = kinds.flatMap((name) => packetFields(name).map(([field]) => `${name} ignores ${field}`));
  const formats = (['sob', 'mon_arm'] as const).flatMap((name) =>
    formatFields(name).map(([field]) => `${name} ignores ${field}`),
  );
  return [...fields, ...formats].map((what) => ({ name: `packet: ${what}` }));
}

/** Every register of the blocks that programs work with which the model looks at: of the others nothing depends on the value. */
function registers(): Mutant[] {
  const source = globSync('src/gaudi/*.ts', { cwd: root })
    .map((file) => readFileSync(path.join(root, file), 'utf8'))
    .join('');
  const blocks = [qmanRegisters, dmaCore, syncManager, tpcCfg, stlb, mmuUp];
  return blocks.flatMap((block) =>
    Object.entries<RegisterRow>(block.rows).flatMap(([name, row]): Mutant[] => {
      const looked = row.kind === 'active' || new RegExp(`get\\(['\`]${name}['\`]`).test(source);
      if (!looked || row.access === 'ro') return [];
      const lost = { name: `register: ${block.name}.${name} loses what is written` };
      return row.reset === 0 ? [lost] : [lost, { name: `register: ${block.name}.${name} begins at 0` }];
    }),
  );
}

/** Every member, flag and errno of every operation of the driver's interface that Gaudi1 has. */
function uapi(): Mutant[] {
  const inside = ioctlTaps.flatMap(({ operations }) =>
    operations.flatMap(({ takes, gives, flags, errors }) => [...takes, ...gives, ...flags, ...errors]),
  );
  return [...inside, ...ioctlTaps.flatMap(({ errors }) => errors)].map(({ name }) => ({ name }));
}

/** Every field of what a NIC is told: work requests, and the commands of its admin queue. */
function nic(): Mutant[] {
  const layouts = [efa.txMeta, efa.txBuffer, efa.remoteMemory, efa.rxDescriptor];
  const fields = (name: string, from: object) => Object.keys(from).map((field) => `${name} ignores ${field}`);
  return [
    ...layouts.flatMap((layout) => fields(layout.name, layout.fields)),
    ...Object.entries(commands).flatMap(([name, { request }]) => fields(name, request.fields)),
  ].map((what) => ({ name: `efa: ${what}` }));
}
