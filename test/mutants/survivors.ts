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
    of: /^register: (QMAN\.(GLBL_NON_SECURE_PROPS|CP_LDMA_\w+_OFFSET|CP_BARRIER_CFG|ARB_SLV_CHOISE_WDT) begins at 0|DMA_CORE\.WR_AWUSER_31_11 begins at 0|QMAN\.PQ_CI loses what is written|STLB\.HOP0_PA49_44 loses what is written)$/,
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
  {
    of: /^queue: a message in a row is not waited for$/,
    why: 'nothing else happens on the card in the nanoseconds by which it is early then (command-processor.ts, #row)',
    equivalent: true,
  },
  {
    of: /^(arbiter: the owner stays when it is cleared|trace: (cycles are nanoseconds|cycles are counted that were not asked for))$/,
    why: 'what becomes of the owner, and which clock a unit counts, is not published; the driver asks for cycles always',
    equivalent: true,
  },
  {
    of: /^queue: an entry that cannot be read is not told of$/,
    why: 'entries lie in memory of the driver, which can always be read',
    equivalent: true,
  },
  {
    of: /^(sync: a reset leaves objects as they are|queue: a stop of a unit outlives its release)$/,
    why: 'the driver sets objects to 0 for each program (gaudi_restore_sm_registers), and enables units after a reset only',
    equivalent: true,
  },
  {
    of: /^mmu: (all address spaces have the tables of the last|an invalidation is over before it has an effect|a hole is one page long)$/,
    why: 'a program has one address space; what it does next takes longer than an invalidation; how much is looked at at a time is the model’s choice',
    equivalent: true,
  },
  {
    of: /^pci: (what is read-only is written|bytes that are not enabled are written|vectors that were masked are not told|a message beyond those that are granted is none|who is no bus master (reaches memory|interrupts)|a device that may not decode answers|a request that nobody answers is not noted)$/,
    why: 'programs do not reach configuration space, and the driver writes it as it should: test/pci has it',
    equivalent: true,
  },
  {
    of: /^peer: (no host bridge is trusted|no root complex forwards)$/,
    why: 'no machine has a host bridge that Linux trusts, so that the kernel gives no address that goes through one',
    equivalent: true,
  },
  {
    of: /^check: (memory beyond the end is exported|a wait for what has come is done)$/,
    why: 'the size of the memory is looked at once more, and a wait for what has come again when it is handed over',
    equivalent: true,
  },
  {
    of: /^reset: who closes a card within its time to look keeps it from its reset$/,
    why: 'the card is reset all the same when that time is over',
    equivalent: true,
  },
  {
    of: /^nic: (completion queues of other users are good|(a completion queue|an event queue|a domain) goes while it is used|handles of other domains are taken back|every queue pair has retries|regions may be of no bytes|pages are of any size|reserved bits may be set)$/,
    why: 'the kernel refuses it, or never asks for it (core/uverbs_cmd.c, core/umem.c, efa_verbs.c), and programs reach the admin queue through the driver only',
    equivalent: true,
  },
  {
    of: /^mmu: what no table reaches is at its beginning$/,
    why: 'the bus of the chip refuses such an address before the MMU is asked, and no mapping goes on to there (chip-bus.ts)',
    equivalent: true,
  },
  {
    of: /^submit: a stopped limit goes on$/,
    why: 'what has ended is left alone when its limit is over',
    equivalent: true,
  },
  {
    of: /^trace: a buffer may wrap$/,
    why: 'it ends within no memory then either, and is refused with the same errno',
    equivalent: true,
  },
  {
    of: /^reset: two timeouts in a row disable the card$/,
    why: 'work has a program that has the card, and then it does not count what a reset is for (card.ts, #countTrigger)',
    equivalent: true,
  },
  // what makes one that no suite sees
  {
    of: /^errno: CS (EXECUTE|SIGNAL|WAIT) says EINVAL for ENOMEM$/,
    why: 'no suite makes the host run out of memory',
  },
  {
    of: /^errno: INFO (PLL_FREQUENCY|POWER) says EIO for ETIMEDOUT$/,
    why: 'firmware that is silent for as long as from one heartbeat to the next has the card disabled',
  },
  {
    of: /^errno: INFO (CLK_RATE|PCI_COUNTERS|DRAM_PENDING_ROWS|SECURED_ATTESTATION|FW_GENERIC_REQ|DEV_SIGNED) says EIO for ETIMEDOUT$/,
    why: 'suite faults asks one question in a run of firmware that is silent, because each costs a reset: which one the seed says',
  },
  {
    of: /^errno: CS WAIT says EIO for EAGAIN$|^uapi: CS SIGNAL ignores flag CUSTOM_TIMEOUT$/,
    why: 'of waits only the one with 16384 submissions in flight is refused so; no suite has that, or a signal run into a limit of its own',
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
    of: /^efa: MODIFY_QP ignores (mask_)?sq_drained_async_notify$/,
    why: 'nothing comes of it: the driver has no event to tell of it by (efa_main.c, aenq_handlers)',
    equivalent: true,
  },
  {
    of: /^register: DMA_CORE\.WR_AWUSER_31_11 loses/,
    why: 'no suite has a DMA core reduce in memory',
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
    of: /^peer: (Linux overlooks what access control sends up|switches overlook access control|access control of the nearest bridges does not count)$/,
    why: 'no machine that the suites run on has access control turned on: test/machine and test/pci do',
  },
  {
    of: /^sync: a monitor whose status is written waits for all$/,
    why: 'no suite says which objects of a monitor shall still be waited for',
  },
  {
    of: /^protection: (the word before a range is in it|what begins before a range goes on into it)$/,
    why: 'no suite reaches for what is just before registers of the driver, or for both at once',
  },
  {
    of: /^check: buffers of all kinds are command buffers$/,
    why: 'the driver itself takes one for the other, and faults (docs/findings/0003): no suite may',
  },
  {
    of: /^check: what is received was sent$/,
    why: 'how much of either goes over the bus is nothing that a suite can know',
  },
  {
    of: /^nic: a region that was taken back is not$/,
    why: 'a region is found by its key, under which there is none any more; what goes on looks at it again (src/efa/transfer.ts)',
    equivalent: true,
  },
  {
    of: /^nic: what is under way outlives its queue pair$/,
    why: 'what goes on looks at whether it is there, too; only while a descriptor is read would its sender be refused otherwise',
    equivalent: true,
  },
  {
    of: /^nic: interrupts come without being asked for$/,
    why: 'the driver asks for the next when it has looked at its ring, and one more makes it look once more (efa_com_eq_comp_intr_handler)',
    equivalent: true,
  },
  {
    of: /^nic: a receive is the last of its buffers$/,
    why: 'drivers write the same request into all of its descriptors; what the card does with others is not published',
    equivalent: true,
  },
  {
    of: /^nic: wrong queue keys are not counted$/,
    why: 'the driver does not show this counter (efa_verbs.c, EFA_DEFINE_PORT_STATS)',
    equivalent: true,
  },
  {
    of: /^nic: a queue pair may be said to be in any state$/,
    why: 'no other change has it as an attribute than from those states (efa_verbs.c, srd_qp_state_table; core/verbs.c, qp_state_table)',
    equivalent: true,
  },
  {
    of: /^nic: any port is the first$/,
    why: 'the kernel refuses ports that the card has not before its driver is asked (core/uverbs_cmd.c, modify_qp)',
    equivalent: true,
  },
  {
    of: /^nic: a doorbell may count more than there is room for$/,
    why: 'the model tells of it as an error of the program, which fails the test that does it: test/efa has it',
  },
  {
    of: /^nic: a region that is in use is taken back at once$/,
    why: 'memory of the machines is reached directly, and by messages in their order: what was begun is done before it is answered',
    equivalent: true,
  },
  {
    of: /^nic: keys are the same on both sides$/,
    why: 'that a remote key cannot be guessed from a local one is the model’s choice: nobody may rely on it',
    equivalent: true,
  },
];

export function reasonOf(name: string): Reason | undefined {
  return reasons.find(({ of }) => of.test(name));
}
