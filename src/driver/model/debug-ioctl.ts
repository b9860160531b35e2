/**
 * DRM_IOCTL_HL_DEBUG: the debug mode, and the trace units that can be configured in it. Source: common/habanalabs_ioctl.c
 * (hl_debug_ioctl, debug_coresight), common/device.c (hl_device_set_debug_mode).
 */

import type { Steps } from '../../sim/process.ts';
import { debugOperations, type hl_debug_args } from '../../uapi/habanalabs/debug.ts';
import { nameOf } from '../../uapi/rows.ts';
import type { Decoded } from '../../uapi/struct.ts';
import { parameterSize, type TraceOperation, type TraceUnits } from './coresight.ts';
import { errnoOf, negative, refuse } from './errno.ts';
import type { Kernel } from './kernel.ts';

/** linux/slab.h, KMALLOC_MAX_SIZE: bytes. Longer answers are refused, by the kernel with a warning (docs/findings/0008). */
const LARGEST_ALLOCATION = 4 * 1024 * 1024;

type DebugArguments = Decoded<typeof hl_debug_args>;

export interface DebugPorts {
  readonly kernel: Kernel;
  readonly units: TraceUnits;
  log(level: 'err', text: string): void;
  operational(): boolean;
  /** Whether the card is being reset: its registers are left alone then. */
  inReset(): boolean;
}

export class DebugMode {
  readonly #ports: DebugPorts;
  #on = false;

  constructor(ports: DebugPorts) {
    this.#ports = ports;
  }

  /** hl_debug_ioctl. @throws SystemError */
  *ioctl(input: DebugArguments): Steps {
    const { log, operational } = this.#ports;
    if (!operational()) refuse('EBUSY');
    const name = nameOf(debugOperations, input.op) as keyof typeof debugOperations | undefined;
    if (name === undefined) {
      log('err', `Invalid request ${input.op | 0}`);
      refuse('EINVAL');
    }
    if (name === 'HL_DEBUG_OP_SET_MODE') {
      yield* this.#set(input.enable !== 0);
      return;
    }
    if (!this.#on) {
      log('err', 'Rejecting debug configuration request because device not in debug mode');
      refuse('EFAULT');
    }
    yield* this.#trace(name.slice('HL_DEBUG_OP_'.length) as TraceOperation, input);
  }

  /** Whose mode it was has gone (hl_ctx_fini). */
  *end(): Steps {
    if (this.#on) yield* this.#set(false);
  }

  /** hl_device_set_debug_mode. @throws SystemError EFAULT */
  *#set(enable: boolean): Steps {
    const { log, inReset, units } = this.#ports;
    if (enable === this.#on) {
      const state = enable ? 'is already in' : 'was not in';
      log('err', `Failed to ${enable ? 'enable' : 'disable'} debug mode because device ${state} debug mode`);
      refuse('EFAULT');
    }
    if (!enable && !inReset()) yield* units.halt();
    this.#on = enable;
  }

  /** debug_coresight. @throws SystemError */
  *#trace(operation: TraceOperation, args: DebugArguments): Steps {
    const { kernel, units, log } = this.#ports;
    const { program } = kernel;
    const input = Math.min(args.input_size, parameterSize[operation]);
    const output = args.output_ptr === 0n ? 0 : args.output_size;
    let parameters: Uint8Array | undefined;
    if (args.input_ptr !== 0n && input > 0) {
      const given = program.bytes(args.input_ptr, input);
      if (!given) {
        log('err', 'failed to copy input debug data');
        refuse('EFAULT');
      }
      // what the program has not given is zero
      parameters = new Uint8Array(parameterSize[operation]);
      parameters.set(given);
    }
    if (output > LARGEST_ALLOCATION) refuse('ENOMEM');
    const answer = output > 0 ? new Uint8Array(output) : undefined;
    try {
      const request = { unit: args.reg_idx, enable: args.enable !== 0, input: parameters, output: answer };
      yield* units.configure(operation, request);
    } catch (error) {
      log('err', `debug coresight operation failed ${negative(errnoOf(error))}`);
      throw error;
    }
    if (!answer) return;
    const target = program.bytes(args.output_ptr, output);
    if (!target) {
      log('err', 'copy to user failed in debug ioctl');
      refuse('EFAULT');
    }
    target.set(answer);
  }
}
