/**
 * The arbiter of a queue manager: between ARB_POINT packets one stream at a time has the engine. By priority, a larger
 * number goes first; weighted round robin gives a stream as many grants in a row as its weight says. Between two grants
 * ARB_MST_QUIET_PER cycles pass, so that streams that ask at about the same time are compared
 * (hl-thunk, tests/command_submission, test_cs_two_streams_with_priority_arb).
 *
 * A master may have slaves in other queue managers: it queues each of its choices at them by a message, and they grant
 * in that order, returning a credit for each (register descriptions of block_qman in SynapseAI_Core).
 */

import { arbiterError } from '../../specs/gaudi/registers/qman.ts';
import type { Timer } from '../sim/clock.ts';
import { ModelError } from '../sim/errors.ts';
import { Condition, type Steps } from '../sim/process.ts';
import { BusError, type Initiator } from './bus.ts';
import { addressOf, type QmanContext, STREAMS } from './qman-context.ts';

/** Bit of ARB messages in GLBL_PROT. */
const PROTECTION = 15;
/** Choices that a slave can queue: the reset value of the master's credits. */
const CHOICES = 0x40;

interface ArbiterMessage {
  /** Bytes from ARB_BASE. */
  readonly offset: number;
  readonly value: number;
}

export class Arbiter {
  readonly #qm: QmanContext;
  readonly #who: Initiator;
  /** Notified when a request may be granted that could not be before. */
  readonly #changed = new Condition();
  readonly #send = new Condition();
  /** Per stream the priority it asks with, while it asks. */
  readonly #requests: (number | undefined)[] = new Array(STREAMS).fill(undefined);
  #owner: number | undefined;
  #quietUntil = 0;
  #quiet: Timer | undefined;
  /** Round robin: whose turn it is, and how many grants it has left; also breaks ties of priority. */
  #turn = 0;
  #left = 0;
  #choices: number[] = [];
  #watchdog: Timer | undefined;
  #messages: ArbiterMessage[] = [];

  constructor(qm: QmanContext) {
    this.#qm = qm;
    const secure = () => ((qm.block.get('GLBL_PROT') >>> PROTECTION) & 1) === 1;
    const properties = () => qm.block.get(secure() ? 'ARB_MSG_AWUSER_SEC_PROP' : 'ARB_MSG_AWUSER_NON_SEC_PROP');
    this.#who = {
      name: `${qm.name}.ARB`,
      asid: () => properties() & 0x3ff,
      mmuBypass: () => (properties() & 0x400) !== 0,
      secure,
    };
  }

  get busy(): boolean {
    return this.#messages.length > 0;
  }

  get choices(): number {
    return this.#choices.length;
  }

  get head(): number {
    return this.#choices[0] ?? 0;
  }

  /** ARB_POINT without release: waits until the stream has the engine. Without an arbiter nobody waits. */
  *acquire(stream: number, priority: number): Steps {
    if (!this.#enabled || this.#owner === stream) return;
    if (((this.#configuration >>> 12) >>> stream) % 2 === 1) {
      throw new ModelError(
        'unimplemented',
        `${this.#qm.name}.ARB_CFG_0`,
        'what the mask keeps a stream from is not public',
      );
    }
    this.#requests[stream] = priority;
    while (this.#enabled && !this.#grant(stream)) yield this.#changed;
    this.#requests[stream] = undefined;
  }

  /** ARB_POINT with release. */
  release(stream: number): void {
    if (this.#owner !== stream) return;
    this.#owner = undefined;
    this.#changed.notify();
  }

  /** ARB_CFG_0 was written, or an error that stopped the arbiter was cleared. */
  configured(): void {
    if (!this.#enabled) this.clear();
    this.#changed.notify();
  }

  /** ARB_CFG_1.CLR: forgets grants, choices and turns; requests stay. */
  clear(): void {
    this.#owner = undefined;
    this.#turn = 0;
    this.#left = 0;
    this.#choices = [];
    this.#quiet?.cancel();
    this.#quietUntil = 0;
    this.#watch();
    this.#changed.notify();
  }

  /** ARB_CHOISE_Q_PUSH: the master has chosen a stream. */
  pushChoice(stream: number): void {
    if (this.#choices.length >= CHOICES) {
      this.#qm.block.set('ARB_ERR_STS_DRP', stream);
      this.#qm.faults.raiseArbiter(arbiterError.choiceOverflow);
      return;
    }
    this.#choices.push(stream);
    if (this.#choices.length === 1) this.#watch();
    this.#changed.notify();
  }

  /** ARB_MST_CRED_INC: slave number `slave` has granted a choice. */
  returnCredit(slave: number): void {
    const { block } = this.#qm;
    const credits = block.get('ARB_MST_CRED_STS', slave);
    block.set('ARB_MST_CRED_STS', Math.min(credits + 1, block.get('ARB_MST_AVAIL_CRED', slave) & 0x7f), slave);
    this.#changed.notify();
  }

  reset(): void {
    this.#requests.fill(undefined);
    this.#messages = [];
    this.clear();
    this.#qm.spawn('arbiter messages', this.#deliver());
  }

  get #configuration(): number {
    return this.#qm.block.get('ARB_CFG_0');
  }

  get #enabled(): boolean {
    return ((this.#configuration >>> 8) & 1) === 1;
  }

  get #master(): boolean {
    return ((this.#configuration >>> 4) & 1) === 1;
  }

  #grant(stream: number): boolean {
    if (this.#owner !== undefined || this.#qm.faults.arbiterHalted) return false;
    if (!this.#master) return this.#grantChosen(stream);
    if (this.#qm.clock.now() < this.#quietUntil) return false;
    const chosen = this.#weighted ? this.#byWeight() : this.#byPriority();
    if (chosen !== stream || !this.#creditsFor()) return false;
    if (this.#weighted) {
      if (this.#turn !== stream) this.#left = 0;
      if (this.#left === 0) this.#left = this.#weight(stream);
      this.#left--;
      this.#turn = this.#left > 0 ? stream : (stream + 1) % STREAMS;
    } else this.#turn = (stream + 1) % STREAMS;
    this.#owner = stream;
    this.#tellSlaves(stream);
    this.#beQuiet();
    return true;
  }

  get #weighted(): boolean {
    return (this.#configuration & 1) === 1;
  }

  #byPriority(): number | undefined {
    let best: number | undefined;
    for (let i = 0; i < STREAMS; i++) {
      const stream = (this.#turn + i) % STREAMS;
      const priority = this.#requests[stream];
      if (priority !== undefined && priority > (best === undefined ? -1 : (this.#requests[best] as number)))
        best = stream;
    }
    return best;
  }

  #byWeight(): number | undefined {
    for (let i = 0; i < STREAMS; i++) {
      const stream = (this.#turn + i) % STREAMS;
      if (this.#requests[stream] !== undefined) return stream;
    }
    return undefined;
  }

  #weight(stream: number): number {
    const weight = this.#qm.block.get('ARB_WRR_WEIGHT', stream);
    if (weight > 0) return weight;
    const where = `${this.#qm.name}.ARB_WRR_WEIGHT[${stream}]`;
    this.#qm.errors.report(new ModelError('undefined', where, 'a stream of weight 0 asks for the engine'));
    return 1;
  }

  /** The quiet period runs from a grant; whoever asks during it is compared with the others at its end. */
  #beQuiet(): void {
    const { clock, block, timing } = this.#qm;
    this.#quietUntil = clock.now() + block.get('ARB_MST_QUIET_PER') * timing.cycleNs;
    this.#quiet?.cancel();
    this.#quiet = clock.at(this.#quietUntil, () => this.#changed.notify());
  }

  #grantChosen(stream: number): boolean {
    if (this.#choices[0] !== stream) return false;
    const { block } = this.#qm;
    this.#choices.shift();
    this.#watch();
    this.#owner = stream;
    this.#post({ offset: block.get('ARB_SLV_MASTER_INC_CRED_OFST'), value: block.get('ARB_SLV_ID') & 0x1f });
    return true;
  }

  /** Whether each slave can take one more choice. ARB_CFG_0.MST_MSG_NOSTALL: the master does not wait for that. */
  #creditsFor(): boolean {
    if (((this.#configuration >>> 16) & 1) === 1) return true;
    const slaves = this.#qm.block.get('ARB_MST_SLAVE_EN');
    for (let slave = 0; slave < 32; slave++) {
      if ((slaves >>> slave) % 2 === 1 && this.#qm.block.get('ARB_MST_CRED_STS', slave) === 0) return false;
    }
    return true;
  }

  #tellSlaves(stream: number): void {
    const { block } = this.#qm;
    const slaves = block.get('ARB_MST_SLAVE_EN');
    for (let slave = 0; slave < 32; slave++) {
      if ((slaves >>> slave) % 2 === 0) continue;
      block.set('ARB_MST_CRED_STS', Math.max(0, block.get('ARB_MST_CRED_STS', slave) - 1), slave);
      this.#post({ offset: block.get('ARB_MST_CHOISE_PUSH_OFST', slave), value: stream });
    }
  }

  #post(message: ArbiterMessage): void {
    this.#messages.push(message);
    this.#send.notify();
  }

  *#deliver(): Steps {
    const { block, bus, faults, timing } = this.#qm;
    for (;;) {
      const message = this.#messages[0];
      if (!message) {
        yield this.#send;
        continue;
      }
      yield timing.messageNs;
      try {
        const base = addressOf(block.get('ARB_BASE_LO'), block.get('ARB_BASE_HI'), 'write', this.#who);
        const steps = bus.write32(this.#who, base + message.offset, message.value);
        if (steps) yield* steps;
      } catch (error) {
        if (!(error instanceof BusError)) throw error;
        faults.raiseArbiter(arbiterError.message);
      }
      this.#messages.shift();
    }
  }

  /** ARB_SLV_CHOISE_WDT: the choice at the head has waited too long for its stream. */
  #watch(): void {
    this.#watchdog?.cancel();
    this.#watchdog = undefined;
    if (this.#choices.length === 0) return;
    const { clock, block, timing, faults } = this.#qm;
    const patience = block.get('ARB_SLV_CHOISE_WDT') * timing.cycleNs;
    this.#watchdog = clock.at(clock.now() + patience, () => faults.raiseArbiter(arbiterError.choiceWatchdog));
  }
}
