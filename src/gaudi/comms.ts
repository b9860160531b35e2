/**
 * COMMS, the protocol by which the driver loads firmware: commands in one register, status in another. A command is
 * acknowledged when it is seen and carried out when the driver has cleared the acknowledgement and the command, so that
 * neither side takes an old word for a new one. Source: hl_boot_if.h; common/firmware_if.c, hl_fw_dynamic_send_protocol_cmd.
 */

import { COMMS_CMD, COMMS_COMMAND, COMMS_STATUS, COMMS_STS } from '../../specs/gaudi/boot.ts';

export interface CommsPorts {
  /** Writes CPU_CMD_STATUS_TO_HOST. */
  status(word: number): void;
  /**
   * Makes room for `size` bytes and a descriptor that says where.
   * @returns where the descriptor is: memory, and byte offset in it; undefined where there is no room
   */
  prepare(size: number): { ram: number; offset: number } | undefined;
  /** Whether what was loaded there can be used. */
  validate(): boolean;
  /** Acts on what was loaded: starts it if it is an image. */
  execute(): 'image' | 'message';
  /** @returns false where there is no waiting for a board controller to be skipped */
  skipBmc(): boolean;
}

/** What the firmware has to do after a command. */
export type CommsAction = 'none' | 'start-image' | 'reset' | 'halt';

type Stage = 'empty' | 'prepared' | 'valid';

export class Comms {
  readonly #ports: CommsPorts;
  /** Acknowledged, to be carried out upon NOOP. */
  #pending: { readonly cmd: number; readonly size: number } | undefined;
  #stage: Stage = 'empty';

  constructor(ports: CommsPorts) {
    this.#ports = ports;
  }

  reset(): void {
    this.#pending = undefined;
    this.#stage = 'empty';
  }

  /** @param word what the driver wrote to KMD_MSG_TO_CPU */
  command(word: number): CommsAction {
    const cmd = word >>> COMMS_COMMAND.CMD_SHIFT;
    if (cmd === COMMS_CMD.CLR_STS) {
      this.#status(COMMS_STS.NOOP);
      return 'none';
    }
    if (cmd !== COMMS_CMD.NOOP) {
      this.#pending = { cmd, size: word & COMMS_COMMAND.SIZE };
      this.#status(COMMS_STS.ACK);
      return 'none';
    }
    const pending = this.#pending;
    this.#pending = undefined;
    return pending ? this.#carryOut(pending.cmd, pending.size) : 'none';
  }

  #carryOut(cmd: number, size: number): CommsAction {
    switch (cmd) {
      case COMMS_CMD.RST_STATE:
        this.#stage = 'empty';
        this.#status(COMMS_STS.OK);
        return 'none';
      case COMMS_CMD.PREP_DESC: {
        const place = this.#ports.prepare(size);
        this.#stage = place ? 'prepared' : 'empty';
        if (place) this.#status(COMMS_STS.OK, place.ram, place.offset);
        else this.#status(COMMS_STS.ERR);
        return 'none';
      }
      case COMMS_CMD.DATA_RDY:
        if (this.#stage === 'empty') this.#status(COMMS_STS.ERR);
        else if (this.#ports.validate()) {
          this.#stage = 'valid';
          this.#status(COMMS_STS.OK);
        } else this.#status(COMMS_STS.VALID_ERR);
        return 'none';
      case COMMS_CMD.EXEC: {
        if (this.#stage !== 'valid') {
          this.#status(COMMS_STS.ERR);
          return 'none';
        }
        this.#stage = 'empty';
        // The image that takes over tells of itself in CPU_BOOT_STATUS; only a message is answered.
        if (this.#ports.execute() === 'image') return 'start-image';
        this.#status(COMMS_STS.OK);
        return 'none';
      }
      case COMMS_CMD.RST_DEV:
        return 'reset';
      case COMMS_CMD.GOTO_WFE:
        return 'halt';
      case COMMS_CMD.SKIP_BMC:
        this.#status(this.#ports.skipBmc() ? COMMS_STS.OK : COMMS_STS.ERR);
        return 'none';
      default:
        this.#status(COMMS_STS.ERR);
        return 'none';
    }
  }

  #status(status: number, ram = 0, offset = 0): void {
    const word =
      (status << COMMS_STATUS.STATUS_SHIFT) |
      (ram << COMMS_STATUS.RAM_TYPE_SHIFT) |
      (offset >>> COMMS_STATUS.OFFSET_SHIFT);
    this.#ports.status(word >>> 0);
  }
}
