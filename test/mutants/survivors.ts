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
  // what makes no difference
  {
    of: /^efa: (CREATE_QP ignores (sq_virt|rq_virt|sq_base_addr|sq_l_key|rq_l_key)|CREATE_CQ ignores (virt|l_key)|REG_MR ignores (mem_addr_phy_mode_en|page_num)|GET_(FEATURE|STATS) ignores (buffer_\w+|scope|scope_modifier))$/,
    why: 'the driver never sets it (efa_com_cmd.c), and programs reach the admin queue through the driver only',
    equivalent: true,
  },
  {
    of: /^efa: (CREATE_QP ignores sq_64_bit_req_id|CREATE_CQ ignores sq_comp_64_bit_req_id)$/,
    why: 'the driver asks for it where the card offers it only, which this one does not (efa_verbs.c)',
    equivalent: true,
  },
  {
    of: /^efa: CREATE_QP ignores rq_depth$/,
    why: 'told twice: the card goes by the size of the ring',
    equivalent: true,
  },
  {
    of: /^efa: CREATE_CQ ignores eqn$/,
    why: 'an event is the same whichever interrupt brings it',
    equivalent: true,
  },
  {
    of: /^efa: SET_FEATURE ignores (buffer_lo|aenq_enabled_groups)$/,
    why: 'what the host says of itself is for the card alone, and NICs of the machines have nothing to notify of',
    equivalent: true,
  },
  {
    of: /^efa: efa_io_tx_meta_desc ignores phase$/,
    why: 'the card goes by its doorbell',
    equivalent: true,
  },
  {
    of: /^errno: (CS|WAIT_CS) says /,
    why: 'whatever the flags are they mean an operation, each of which has a mutant of its own for it',
    equivalent: true,
  },
  {
    of: /^(errno: CS COLLECTIVE_WAIT says (EIO for EAGAIN|EINVAL for ENOMEM)|uapi: CS COLLECTIVE_WAIT does not answer out\.seq|(uapi|errno): INFO (SECURED_ATTESTATION|DEV_SIGNED) (ignores sec_attest_nonce|says EINVAL for EFAULT)|uapi: CB INFO does not answer out\.device_va)$/,
    why: 'this chip refuses it whatever is asked',
    equivalent: true,
  },
  {
    of: /^uapi: (MEMORY ALLOC (ignores (in\.alloc\.page_size|in\.flags|flag CONTIGUOUS|flag SHARED)|does not answer out\.handle)|MEMORY MAP ignores flag PREFETCH|DEBUG ETR ignores reg_idx|DEBUG TIMESTAMP ignores enable|CB INFO does not answer out\.usage_cnt|CS EXECUTE does not answer out\.sob_count_before_submission)$/,
    why: 'on this chip it means nothing, and the answer is always 0 (src/uapi/habanalabs)',
    equivalent: true,
  },
  {
    of: /^register: (QMAN\.(GLBL_SECURE_PROPS|GLBL_STS1|GLBL_MSG_EN|GLBL_MSG_EN_4|PQ_CFG1|LOCAL_RANGE_BASE|LOCAL_RANGE_SIZE|IND_GW_APB_CFG|ARB_CFG_1|ARB_MST_AVAIL_CRED|ARB_MSG_AWUSER_SEC_PROP|ARB_MSG_AWUSER_NON_SEC_PROP|ARB_ERR_CAUSE)|DMA_CORE\.((RD_DBGMEM|DBG)_\w+|ERR_CAUSE)|TPC_CFG\.PROT|STLB\.INV_ALL_START|MMU_UP\.(SPI_INTERRUPT_CLR|SPI_CAUSE_CLR|MMU_BYPASS)) loses what is written$/,
    why: 'the driver keeps it from programs (gaudi_security.c), and does not write it while the card works',
    equivalent: true,
  },
  {
    of: /^register: (QMAN\.(GLBL_NON_SECURE_PROPS|CP_LDMA_\w+_OFFSET|CP_BARRIER_CFG) begins at 0|DMA_CORE\.WR_AWUSER_31_11 begins at 0|QMAN\.PQ_CI loses what is written|STLB\.HOP0_PA49_44 loses what is written)$/,
    why: 'the driver writes it before anything goes by it, or writes what it is already',
    equivalent: true,
  },
  {
    of: /^register: (QMAN\.CP_BARRIER_CFG loses what is written|QMAN\.ARB_MST_QUIET_PER begins at 0|(STLB\.MEM_CACHE_INVALIDATION|TPC_CFG\.TPC_CMD) loses what is written)$/,
    why: 'it is a matter of some cycles, and of a cache that the model does not have',
    equivalent: true,
  },
  {
    of: /^queue: (a fence counter wraps|a message to an odd address is rounded)$/,
    why: 'the stream has stopped by then until a reset, and the bus refuses the address with the same error',
    equivalent: true,
  },
  {
    of: /^sync: of several monitors the highest is first$/,
    why: 'what the chip does is not published: nobody may rely on either',
    equivalent: true,
  },
  {
    of: /^dma: the pattern begins anew with each slice$/,
    why: 'slices are of whole patterns, and what is not is refused',
    equivalent: true,
  },
  {
    of: /^submit: (a card in reset takes submissions|the interrupt of an end is raised before it is written)$/,
    why: 'the call has looked already, and nothing comes between; messages of one processor arrive in their order',
    equivalent: true,
  },
  {
    of: /^memory: a mapping is not made known to the card$/,
    why: 'the cache of the model holds what is mapped only, so that nothing is stale then',
    equivalent: true,
  },
  {
    of: /^peer: a peer is reached without a route$/,
    why: 'the kernel gives no device an address of a peer that it does not reach (pci_p2pdma_distance_many)',
    equivalent: true,
  },
  // what makes one that no suite sees
  {
    of: /^errno: CS (EXECUTE|SIGNAL|WAIT) says EINVAL for ENOMEM$/,
    why: 'no suite makes the host run out of memory',
  },
  {
    of: /^(errno: WAIT_CS \w+ says EIO for EINTR|wait: an interrupted wait is busy)$/,
    why: 'a program would have to handle a signal, which those of the suites do not: one that is killed learns nothing',
  },
  {
    of: /^errno: INFO (PLL_FREQUENCY|POWER) says EIO for ETIMEDOUT$/,
    why: 'firmware that is silent for as long as from one heartbeat to the next has the card disabled',
  },
  {
    of: /^errno: CS WAIT says EIO for EAGAIN$|^uapi: CS SIGNAL ignores flag CUSTOM_TIMEOUT$/,
    why: 'no suite has a wait for a signal refused by a full queue, or a signal run into a limit of its own',
  },
  {
    of: /^register: (QMAN\.GLBL_CFG1|DMA_CORE\.CFG_1|TPC_CFG\.TPC_STALL) loses what is written$/,
    why: 'the driver stops engines before it resets them; what they would still do in between no suite looks at',
  },
  {
    of: /^uapi: MEMORY EXPORT_DMABUF_FD ignores in\.flags$/,
    why: 'it says what becomes of the descriptor in a program that executes another, which those of the suites do not',
  },
  {
    of: /^uapi: DEBUG FUNNEL ignores enable$/,
    why: 'the model traces nothing, so that no funnel has anything to let through',
  },
  {
    of: /^efa: (efa_io_tx_meta_desc ignores meta_extension|CREATE_QP ignores sl|MODIFY_QP ignores (mask_)?sq_drained_async_notify)$/,
    why: 'the card refuses it or does nothing for it, and the library of the suites has no words to ask for it',
  },
  {
    of: /^register: (DMA_CORE\.WR_AWUSER_31_11|TPC_CFG\.TPC_INTR_CAUSE) loses/,
    why: 'no suite has a DMA core reduce in memory, or a tensor core fail twice for one reason',
  },
  {
    of: /^mmu: the first access that was refused is forgotten$/,
    why: 'two would have to be refused before the driver looks, which is faster on the model',
  },
  {
    of: /^(peer: a word to a peer is lost|dma: after an error nothing more is read)$/,
    why: 'no device of the machines sends words to another, or reads memory that it cannot reach directly',
  },
  {
    of: /^submit: command buffers are not given back$/,
    why: 'memory of the modelled host has no end',
  },
  {
    of: /^signal: a counter that nobody waits for is not set back$/,
    why: 'no suite makes so many signals that a sync object has its turn again',
  },
];

export function reasonOf(name: string): Reason | undefined {
  return reasons.find(({ of }) => of.test(name));
}
