/** Global configuration of the PSOC: the driver's mailbox, boot state, and the resets of the chip's units. */

import { psocGlobalConf } from '../../specs/gaudi/registers/psoc-global-conf.ts';
import { type ResetUnit, resetUnits } from '../../specs/gaudi/resets.ts';
import { type Body, RegisterBlock } from '../sim/registers.ts';

export interface PsocPorts {
  /** The driver has a message for the firmware. */
  message(word: number): void;
  /** An interrupt mailbox of the firmware has been written. */
  interrupt(spi: number): void;
  /** Whether the boot state machine is at work. */
  booting(): boolean;
  /** @param restart the driver has asked for the boot sequence to start again */
  resetUnits(units: readonly ResetUnit[], restart: boolean): void;
}

/** State of the boot state machine while it runs; which of its states it is nobody asks. */
const BTM_RUNNING = 1;
/** What survives a reset that is not a cold one. */
const KEPT = ['NON_RST_FLOPS', 'COLD_RST_FLOPS_0', 'PREBOOT_PCIE_EN', 'COLD_RST_DATA', 'UPD_PENDING_STS'] as const;

export class Psoc {
  readonly block: RegisterBlock<typeof psocGlobalConf.rows>;
  #restart = false;

  constructor(ports: PsocPorts) {
    const mailbox = (name: keyof typeof psocGlobalConf.rows & string): Body => ({
      write: (value) => {
        this.block.set(name, value);
        ports.interrupt(value);
      },
    });
    const pulse = (low: 'SW_ALL_RST_CFG_L' | 'SOFT_RST_CFG_L', high: 'SW_ALL_RST_CFG_H' | 'SOFT_RST_CFG_H'): Body => ({
      write: (value) => {
        if ((value & 1) === 0) return;
        const restart = this.#restart;
        this.#restart = false;
        ports.resetUnits(
          this.#selected(this.block.get(low), this.block.get(high), (u) => u.cfg),
          restart,
        );
      },
    });
    const hold = (name: 'UNIT_RST_N' | 'UNIT_RST_N_L' | 'UNIT_RST_N_H'): Body => ({
      write: (value) => {
        const before = this.#held();
        this.block.set(name, value);
        const now = this.#held().filter((unit) => !before.includes(unit));
        if (now.length > 0) ports.resetUnits(now, false);
      },
    });
    this.block = new RegisterBlock(psocGlobalConf, 'PSOC_GLOBAL_CONF', {
      KMD_MSG_TO_CPU: {
        write: (value) => {
          this.block.set('KMD_MSG_TO_CPU', value);
          ports.message(value);
        },
      },
      GIC_HOST_PI_UPD_IRQ_POLL: mailbox('GIC_HOST_PI_UPD_IRQ_POLL'),
      GIC_TPC_QM_IRQ_CTRL_POLL: mailbox('GIC_TPC_QM_IRQ_CTRL_POLL'),
      GIC_MME_QM_IRQ_CTRL_POLL: mailbox('GIC_MME_QM_IRQ_CTRL_POLL'),
      GIC_DMA_QM_IRQ_CTRL_POLL: mailbox('GIC_DMA_QM_IRQ_CTRL_POLL'),
      GIC_NIC_QM_IRQ_CTRL_POLL: mailbox('GIC_NIC_QM_IRQ_CTRL_POLL'),
      GIC_DMA_CR_IRQ_CTRL_POLL: mailbox('GIC_DMA_CR_IRQ_CTRL_POLL'),
      GIC_HOST_HALT_IRQ_POLL: mailbox('GIC_HOST_HALT_IRQ_POLL'),
      GIC_HOST_INTS_IRQ_POLL: mailbox('GIC_HOST_INTS_IRQ_POLL'),
      BTM_FSM: { read: () => (ports.booting() ? BTM_RUNNING : 0) },
      BOOT_SEQ_RE_START: {
        write: (value) => {
          this.#restart = (value & 1) !== 0;
        },
      },
      SW_ALL_RST: pulse('SW_ALL_RST_CFG_L', 'SW_ALL_RST_CFG_H'),
      SOFT_RST: pulse('SOFT_RST_CFG_L', 'SOFT_RST_CFG_H'),
      UNIT_RST_N: hold('UNIT_RST_N'),
      UNIT_RST_N_L: hold('UNIT_RST_N_L'),
      UNIT_RST_N_H: hold('UNIT_RST_N_H'),
    });
  }

  /** @param cold everything; otherwise the flops that survive keep their values */
  reset(cold: boolean): void {
    const kept = KEPT.flatMap((name) => {
      const count = psocGlobalConf.rows[name].count[0] ?? 1;
      return Array.from({ length: count }, (_, i) => this.block.offsetOf(name, ...(count > 1 ? [i] : [])) / 4);
    }).map((word) => [word, this.block.words[word] as number] as const);
    this.block.reset();
    if (!cold) for (const [word, value] of kept) this.block.words[word] = value;
    this.#restart = false;
  }

  /** Units that SOFT_RST would reset. */
  softResetUnits(): readonly ResetUnit[] {
    return this.#selected(this.block.get('SOFT_RST_CFG_L'), this.block.get('SOFT_RST_CFG_H'), (u) => u.cfg);
  }

  /** Units that are held in reset by UNIT_RST_N. */
  #held(): readonly ResetUnit[] {
    if ((this.block.get('UNIT_RST_N') & 1) !== 0) return [];
    const low = ~this.block.get('UNIT_RST_N_L');
    const high = ~this.block.get('UNIT_RST_N_H');
    return this.#selected(low, high, (u) => u.unit);
  }

  #selected(low: number, high: number, bit: (unit: ResetUnit) => number): readonly ResetUnit[] {
    return resetUnits.filter((unit) => {
      const at = bit(unit);
      return ((at < 32 ? low : high) >>> (at & 31)) & 1;
    });
  }
}
