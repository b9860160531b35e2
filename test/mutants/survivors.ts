/**
 * Mutants that nobody notices, and why. `npm run mutate` fails for one that is not here, and for a reason here of which no mutant is
 * left. What is `equivalent` makes no difference to anything that a program can do through the driver, and does not count.
 */

export interface Reason {
  /** Names that it is about. */
  readonly of: RegExp;
  readonly why: string;
  readonly equivalent?: true;
}

export const reasons: readonly Reason[] = [
  {
    of: /^efa: (CREATE_QP ignores (sq_virt|rq_virt|sq_base_addr|sq_l_key|rq_l_key)|CREATE_CQ ignores (virt|l_key)|REG_MR ignores mem_addr_phy_mode_en|GET_(FEATURE|STATS) ignores (buffer_\w+|scope|scope_modifier))$/,
    why: 'the driver never sets it (efa_com_cmd.c), and programs reach the admin queue through the driver only',
    equivalent: true,
  },
  {
    of: /^errno: (CB|CS|WAIT_CS|MEMORY|DEBUG)( .*)? says EIO for EBUSY$/,
    why: 'on the model a reset ends the program before it can ask by its compute node; no suite asks there',
  },
  {
    of: /^errno: INFO( .*)? says (EIO for (ETIMEDOUT|EAGAIN|EBUSY)|EPERM for EIO)$/,
    why: 'no suite asks for this during a reset, or has firmware that refuses or does not answer',
  },
  { of: /^errno: .* says EINVAL for ENOMEM$/, why: 'no suite makes the host run out of memory' },
  {
    of: /^uapi: (CB INFO|CS EXECUTE|CS COLLECTIVE_WAIT|MEMORY ALLOC|INFO USER_MAPPINGS) does not answer /,
    why: 'no suite has this answered by another number than 0',
  },
  {
    of: /^register: DMA_CORE\.(RD_DBGMEM|DBG)_/,
    why: 'registers for debugging the engine, which neither the driver nor a suite writes',
  },
  {
    of: /^register: TPC_CFG\.KERNEL_/,
    why: 'kernels are started by the queue manager, which has registers of its own for that (QM_*)',
  },
  {
    of: /^register: QMAN\.ARB_/,
    why: 'no suite sets weights, or has an arbiter that serves other queue managers',
  },
];

export function reasonOf(name: string): Reason | undefined {
  return reasons.find(({ of }) => of.test(name));
}
