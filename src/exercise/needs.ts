/** What a test may need of a machine beyond cards, and whether there is it: the same question on every target. */

import { type Driver, O_RDONLY, SystemError } from '../driver/driver.ts';
import { Importer, type ImporterFeatures } from '../runtime/peer.ts';
import type { Test } from './suite.ts';

interface Situation {
  /** Of the importer; undefined where the kernel has none. */
  readonly importer: ImporterFeatures | undefined;
  /** Whether the first two cards have a bridge above them in common. */
  readonly together: boolean;
  /** Network cards, and how many of them, from the first on, have a bridge above them in common with the first accelerator. */
  readonly nics: number;
  readonly nicsBeside: number;
  /** Whether the kernel can be told to refuse memory to the driver. */
  readonly shortage: boolean;
}

interface NeedRow {
  /** Why tests are left out where it is not met. */
  readonly doc: string;
  met(situation: Situation): boolean;
}

/** The name is what a test says it needs. */
const NEEDS = {
  p2p: {
    doc: 'a kernel with CONFIG_PCI_P2PDMA and the module sagrada_importer, and two cards below one switch',
    met: ({ importer, together }) => importer?.peerToPeer === true && importer.mmap && together,
  },
  'no-p2p': {
    doc: 'a kernel without CONFIG_PCI_P2PDMA, and the module sagrada_importer',
    met: ({ importer }) => importer?.peerToPeer === false,
  },
  apart: {
    doc: 'a kernel with CONFIG_PCI_P2PDMA and the module sagrada_importer, and two cards below different root ports',
    met: ({ importer, together }) => importer?.peerToPeer === true && !importer.hostRoutes && !together,
  },
  'no-host-routes': {
    doc: 'a kernel with CONFIG_PCI_P2PDMA and the module sagrada_importer, and a host bridge that is not trusted to forward',
    met: ({ importer }) => importer?.peerToPeer === true && !importer.hostRoutes,
  },
  nic: {
    doc: 'a kernel with CONFIG_PCI_P2PDMA, and a network card below one switch with an accelerator',
    met: ({ importer, nicsBeside }) => importer?.peerToPeer !== false && nicsBeside > 0,
  },
  nics: {
    doc: 'a kernel with CONFIG_PCI_P2PDMA, and two network cards and two accelerators below one switch',
    met: ({ importer, nicsBeside, together }) => importer?.peerToPeer !== false && nicsBeside > 1 && together,
  },
  'nic-apart': {
    doc: 'a kernel with CONFIG_PCI_P2PDMA, and a network card below another root port than the accelerator',
    met: ({ importer, nics, nicsBeside }) =>
      importer?.peerToPeer !== false && importer?.hostRoutes !== true && nics > 0 && nicsBeside === 0,
  },
  shortage: {
    doc: 'a kernel with CONFIG_FAILSLAB and CONFIG_FAULT_INJECTION_STACKTRACE_FILTER, e.g. --kernel coverage',
    met: ({ shortage }) => shortage,
  },
  importer: {
    doc: 'the module sagrada_importer',
    met: ({ importer }) => importer !== undefined,
  },
} satisfies Record<string, NeedRow>;

export type Need = keyof typeof NEEDS;

/** Tests that are left out, and why. */
export interface LeftOut {
  readonly reason: string;
  /** Their ids. */
  readonly tests: readonly string[];
}

/** Divides tests into those whose needs are met and the others. */
export function divide(
  tests: readonly Test[],
  driver: Driver,
): { readonly run: readonly Test[]; readonly leftOut: readonly LeftOut[] } {
  if (tests.every(({ options }) => options.needs === undefined)) return { run: tests, leftOut: [] };
  const now = situation(driver);
  const met = ({ options }: Test) => options.needs === undefined || NEEDS[options.needs].met(now);
  const others = Map.groupBy(
    tests.filter((test) => !met(test)),
    ({ options }) => options.needs as Need,
  );
  const leftOut = [...others].map(([need, list]) => ({
    reason: `they need ${NEEDS[need].doc}`,
    tests: list.map(({ id }) => id),
  }));
  return { run: tests.filter(met), leftOut };
}

function situation(driver: Driver): Situation {
  const [first, second] = driver.accelerators();
  const together = first !== undefined && second !== undefined && first.bridges[0] === second.bridges[0];
  const nics = driver.rdmaDevices();
  const apart = nics.findIndex(({ bridges }) => first === undefined || bridges[0] !== first.bridges[0]);
  const nicsBeside = apart < 0 ? nics.length : apart;
  return {
    importer: importerFeatures(driver),
    together,
    nics: nics.length,
    nicsBeside,
    shortage: refusesMemory(driver),
  };
}

function refusesMemory(driver: Driver): boolean {
  try {
    driver.close(driver.open('/sys/kernel/debug/failslab/require-start', O_RDONLY));
    return true;
  } catch (error) {
    if (error instanceof SystemError && ['ENOENT', 'EACCES'].includes(error.code)) return false;
    throw error;
  }
}

function importerFeatures(driver: Driver): ImporterFeatures | undefined {
  try {
    using importer = new Importer(driver);
    return importer.features();
  } catch (error) {
    if (error instanceof SystemError && error.code === 'ENOENT') return undefined;
    throw error;
  }
}
