/**
 * Counters of a NIC as sysfs shows them, below hw_counters of its RDMA device and of the port. Source: efa_verbs.c
 * (EFA_DEFINE_DEVICE_STATS, EFA_DEFINE_PORT_STATS, efa_get_hw_stats), core/sysfs.c.
 */

import { statistics } from '../../../../specs/efa/admin.ts';
import type { Steps } from '../../../sim/process.ts';
import type { Nic } from './nic.ts';

/** Counters that the device tells, by what sysfs calls them. What the driver does not take of them is not there. */
const PORT: Readonly<Record<string, string>> = Object.fromEntries(
  statistics.flatMap(({ name, counters }) =>
    counters
      .filter((counter) => counter !== 'qkey_viol')
      .map((counter) => [name.startsWith('rdma') ? `rdma_${counter}` : counter, counter]),
  ),
);

/** What the driver counts itself. */
const DEVICE: Readonly<Record<string, (nic: Nic) => number>> = {
  submitted_cmds: ({ admin }) => admin.counts.submitted,
  completed_cmds: ({ admin }) => admin.counts.completed,
  cmds_err: ({ admin }) => admin.counts.failed,
  no_completion_cmds: ({ admin }) => admin.counts.unanswered,
  keep_alive_rcvd: ({ admin }) => admin.counts.keepAlives,
  alloc_pd_err: ({ errors }) => errors.alloc_pd,
  create_qp_err: ({ errors }) => errors.create_qp,
  create_cq_err: ({ errors }) => errors.create_cq,
  reg_mr_err: ({ errors }) => errors.reg_mr,
  alloc_ucontext_err: ({ errors }) => errors.alloc_ucontext,
  create_ah_err: ({ errors }) => errors.create_ah,
  mmap_err: ({ errors }) => errors.mmap,
};

/** An attribute: where it is, and what it shows now. */
interface CounterFile {
  readonly path: string;
  /** @throws SystemError */
  read(): Steps<string>;
}

export function counterFiles(nic: Nic): CounterFile[] {
  const folder = `/sys/class/infiniband/${nic.device}`;
  const own = Object.entries(DEVICE).map(
    ([name, count]): CounterFile => ({
      path: `${folder}/hw_counters/${name}`,
      // biome-ignore lint/correctness/useYield: the driver has them at hand
      *read() {
        return `${count(nic)}\n`;
      },
    }),
  );
  const port = Object.entries(PORT).map(
    ([name, counter]): CounterFile => ({
      path: `${folder}/ports/1/hw_counters/${name}`,
      *read() {
        return `${(yield* nic.portStatistics())[counter] ?? 0n}\n`;
      },
    }),
  );
  return [...own, ...port];
}
