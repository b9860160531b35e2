/**
 * Errors of a queue manager: causes in GLBL_STS1 and ARB_ERR_CAUSE, units that stop, and the message by which the device
 * CPU hears of it (the driver points GLBL_ERR_ADDR at its interrupt controller and GLBL_ERR_WDATA at the event:
 * gaudi.c, gaudi_init_pci_dma_qman).
 */

import { ModelError } from '../sim/errors.ts';
import { Condition, type Steps } from '../sim/process.ts';
import { BusError, type Initiator } from './bus.ts';
import { addressOf, LOWER, type QmanContext, unitBit } from './qman-context.ts';

/** Bit of the arbiter among the units that an error has stopped. */
const ARBITER = 15;
/** Bit of error messages in GLBL_PROT. */
const PROTECTION = 14;

export class QmanFaults {
  readonly #qm: Omit<QmanContext, 'faults'>;
  readonly #who: Initiator;
  readonly #wake = new Condition();
  #stoppedByError = 0;
  #stoppedByPacket = 0;
  #messages = 0;

  constructor(qm: Omit<QmanContext, 'faults'>) {
    this.#qm = qm;
    // There is no property register for error messages: their address is physical.
    this.#who = {
      name: `${qm.name}.ERR`,
      asid: () => 0,
      mmuBypass: () => true,
      secure: () => ((qm.block.get('GLBL_PROT') >>> PROTECTION) & 1) === 1,
    };
  }

  /** Units that an error or a STOP packet has stopped, by their bit in GLBL_CFG0. */
  get halted(): number {
    return this.#stoppedByError | this.#stoppedByPacket;
  }

  /** Whether ARB_ERR_CAUSE has stopped the arbiter. */
  get arbiterHalted(): boolean {
    return ((this.#stoppedByError >>> ARBITER) & 1) === 1;
  }

  get busy(): boolean {
    return this.#messages > 0;
  }

  /**
   * A unit of command processor `index` has met an error. A cause that is set already is not reported again.
   * @param unit bit of the unit in GLBL_CFG0
   */
  raise(index: number, cause: number, unit: number): void {
    const { block } = this.#qm;
    const causes = block.get('GLBL_STS1', index);
    const configured = block.get('GLBL_ERR_CFG');
    if ((configured >>> (unit + 16)) % 2 === 1) this.#stoppedByError |= 1 << unit;
    if ((causes & cause) !== 0) return;
    this.#tell(`GLBL_STS1[${index}]`, cause);
    block.set('GLBL_STS1', (causes | cause) >>> 0, index);
    const wanted = index === LOWER ? block.get('GLBL_MSG_EN_4') : block.get('GLBL_MSG_EN', index);
    if ((wanted & cause) !== 0 && (configured >>> unit) % 2 === 1) this.#send();
  }

  raiseArbiter(cause: number): void {
    const { block } = this.#qm;
    const causes = block.get('ARB_ERR_CAUSE');
    if (block.get('GLBL_ERR_CFG') >>> 31 === 1) this.#stoppedByError |= 1 << ARBITER;
    if ((causes & cause) !== 0) return;
    this.#tell('ARB_ERR_CAUSE', cause);
    block.set('ARB_ERR_CAUSE', (causes | cause) >>> 0);
    if ((block.get('ARB_ERR_MSG_EN') & cause) !== 0) this.#send();
  }

  /** A STOP packet: its processor stays stopped until it is disabled. */
  stop(unit: number): void {
    this.#stoppedByPacket |= 1 << unit;
  }

  /** Ends every stop of `units`, a mask in the order of GLBL_CFG0. */
  release(units: number): void {
    this.#stoppedByError &= ~units;
    this.#stoppedByPacket &= ~units;
  }

  /** Write 1 to clear. A stream without causes is stopped by none. */
  clear(index: number, value: number): void {
    const { block } = this.#qm;
    const left = (block.get('GLBL_STS1', index) & ~value) >>> 0;
    block.set('GLBL_STS1', left, index);
    if (left !== 0) return;
    let units = (1 << unitBit.cqf(index)) | (1 << unitBit.cp(index));
    if (index !== LOWER) units |= 1 << unitBit.pqf(index);
    this.#stoppedByError &= ~units;
  }

  clearArbiter(value: number): void {
    const { block } = this.#qm;
    const left = (block.get('ARB_ERR_CAUSE') & ~value) >>> 0;
    block.set('ARB_ERR_CAUSE', left);
    if (left === 0) this.#stoppedByError &= ~(1 << ARBITER);
  }

  reset(): void {
    this.#stoppedByError = 0;
    this.#stoppedByPacket = 0;
    this.#messages = 0;
    this.#qm.spawn('errors', this.#deliver());
  }

  #tell(register: string, cause: number): void {
    const { name, trace } = this.#qm;
    trace?.track('errors').instant('engine_error', `${name}.${register}`, { cause });
  }

  #send(): void {
    this.#messages++;
    this.#wake.notify();
  }

  *#deliver(): Steps {
    const { block, bus, errors, name, timing } = this.#qm;
    for (;;) {
      while (this.#messages === 0) yield this.#wake;
      yield timing.messageNs;
      try {
        const address = addressOf(block.get('GLBL_ERR_ADDR_LO'), block.get('GLBL_ERR_ADDR_HI'), 'write', this.#who);
        const steps = bus.write32(this.#who, address, block.get('GLBL_ERR_WDATA'));
        if (steps) yield* steps;
      } catch (error) {
        if (!(error instanceof BusError)) throw error;
        // Nobody can hear of this one: the message that would tell is the one that failed.
        errors.report(new ModelError('guest', `${name}.GLBL_ERR_ADDR`, error.message));
      }
      // A message may have been the one that resets all this.
      this.#messages = Math.max(0, this.#messages - 1);
    }
  }
}
