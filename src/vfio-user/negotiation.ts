/** The VERSION message: protocol version and capabilities (vfio-user.rst, VFIO_USER_VERSION). */

import { constants } from 'node:os';
import { MAX_RANGES, PAGE } from './dma-map.ts';
import { Refusal, VERSION, VERSION_MAJOR, VERSION_MINOR } from './messages.ts';

const { EINVAL } = constants.errno;

/** Most bytes of one REGION_READ or REGION_WRITE; the protocol's default. */
export const MAX_TRANSFER = 1024 * 1024;

/** Most descriptors of one message that are taken; QEMU sends no more than 16 (VFIO_USER_MAX_MAX_FDS). */
export const MAX_DESCRIPTORS = 16;

/** What the client can do; where it does not say, the protocol's defaults. */
export interface ClientCapabilities {
  readonly minor: number;
  /** Descriptors it takes with one message. */
  readonly maxDescriptors: number;
  /** Bytes it takes or gives with one DMA_READ or DMA_WRITE. */
  readonly maxTransfer: number;
  readonly writeMultiple: boolean;
}

interface Capability {
  /** What this side says of itself. */
  readonly ours: number | boolean;
  readonly valid: (value: unknown) => boolean;
}

const positive = (value: unknown): boolean => Number.isSafeInteger(value) && (value as number) > 0;
const natural = (value: unknown): boolean => Number.isSafeInteger(value) && (value as number) >= 0;

/** Capabilities that are understood. Others, such as `migration` and `twin_socket`, are left out of the reply. */
const CAPABILITIES: Readonly<Record<string, Capability>> = {
  max_msg_fds: { ours: MAX_DESCRIPTORS, valid: natural },
  max_data_xfer_size: { ours: MAX_TRANSFER, valid: positive },
  max_dma_maps: { ours: MAX_RANGES, valid: natural },
  pgsizes: { ours: PAGE, valid: positive },
  write_multiple: { ours: true, valid: (value) => typeof value === 'boolean' },
};

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function parse(bytes: Uint8Array): Record<string, unknown> {
  if (bytes.length === 0) return {};
  if (bytes[bytes.length - 1] !== 0) throw new Refusal(EINVAL, 'version data does not end with NUL');
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes.subarray(0, -1)));
  } catch {
    throw new Refusal(EINVAL, 'version data is not JSON');
  }
  if (!isObject(value)) throw new Refusal(EINVAL, 'version data is not an object');
  const { capabilities } = value;
  if (capabilities === undefined) return {};
  if (!isObject(capabilities)) throw new Refusal(EINVAL, 'capabilities are not an object');
  return capabilities;
}

/** The major version that a VERSION request of `size` bytes proposes. @throws Refusal */
export function proposedMajor(view: DataView, base: number, size: number): number {
  if (size < VERSION.size) throw new Refusal(EINVAL, `VERSION of ${size} bytes`);
  return VERSION.fields.major.get(view, base);
}

/**
 * Answers a VERSION request with the lower version and, of the capabilities proposed, those that are understood.
 * @param payload the request without its header, at least 4 bytes
 * @throws Refusal
 */
export function negotiate(payload: Uint8Array): { client: ClientCapabilities; reply: Uint8Array } {
  const view = new DataView(payload.buffer, payload.byteOffset, payload.length);
  const proposed = VERSION.decode(view, 0);
  const theirs = parse(payload.subarray(VERSION.size));
  const ours: Record<string, number | boolean> = {};
  for (const [name, value] of Object.entries(theirs)) {
    if (!Object.hasOwn(CAPABILITIES, name)) continue;
    const capability = CAPABILITIES[name] as Capability;
    if (!capability.valid(value)) throw new Refusal(EINVAL, `capability ${name}: ${JSON.stringify(value)}`);
    ours[name] = capability.ours;
  }
  const minor = Math.min(proposed.minor, VERSION_MINOR);
  const data = new TextEncoder().encode(`${JSON.stringify({ capabilities: ours })}\0`);
  const reply = new Uint8Array(VERSION.size + data.length);
  reply.set(VERSION.encode({ major: VERSION_MAJOR, minor }));
  reply.set(data, VERSION.size);
  return {
    client: {
      minor,
      maxDescriptors: (theirs.max_msg_fds as number | undefined) ?? 1,
      maxTransfer: (theirs.max_data_xfer_size as number | undefined) ?? MAX_TRANSFER,
      writeMultiple: theirs.write_multiple === true,
    },
    reply,
  };
}
