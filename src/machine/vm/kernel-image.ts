/** Kernel images: what they are, and the kernel inside a compressed one (Documentation/arch/x86/boot.rst). */

import zlib from 'node:zlib';
import { Elf } from './elf.ts';

const SETUP_SECTORS = 0x1f1;
const MAGIC = 0x202;
const VERSION = 0x206;
const KERNEL_VERSION = 0x20e;
const PAYLOAD_OFFSET = 0x248;
const PAYLOAD_LENGTH = 0x24c;
/** Boot protocol from which on the payload is described. */
const DESCRIBES_PAYLOAD = 0x0208;

function isBzImage(image: Buffer): boolean {
  return image.length > 0x250 && image.toString('latin1', MAGIC, MAGIC + 4) === 'HdrS';
}

/** Release of a bzImage or a vmlinux; undefined where it does not say, null where it is no kernel. */
export function releaseOf(image: Buffer): string | undefined | null {
  if (isBzImage(image)) {
    const at = image.readUInt16LE(KERNEL_VERSION) + 0x200;
    return image.toString('latin1', at, at + 256).split(/[ \0]/)[0];
  }
  if (image.length < 64 || image.readUInt32BE(0) !== 0x7f454c46) return null;
  const mark = 'Linux version ';
  const at = image.indexOf(mark);
  return at < 0 ? undefined : image.toString('latin1', at + mark.length, at + 256).split(' ')[0];
}

/**
 * The kernel inside a bzImage, where it can be started directly: an emulated processor takes seconds to decompress it.
 * Undefined where it is compressed in a way that we cannot undo, or has no entry for that (CONFIG_PVH).
 */
export function uncompressed(image: Buffer): Buffer | undefined {
  if (!isBzImage(image) || image.readUInt16LE(VERSION) < DESCRIBES_PAYLOAD) return undefined;
  const start = ((image[SETUP_SECTORS] || 4) + 1) * 512 + image.readUInt32LE(PAYLOAD_OFFSET);
  const payload = image.subarray(start, start + image.readUInt32LE(PAYLOAD_LENGTH));
  try {
    const kernel = decompress(payload);
    return kernel && hasPvhEntry(new Elf(kernel)) ? kernel : undefined;
  } catch {
    return undefined;
  }
}

function decompress(payload: Buffer): Buffer | undefined {
  // The build appends the uncompressed size to what zstd writes (scripts/Makefile.lib, size_append).
  if (payload.readUInt32LE(0) === 0xfd2fb528) return zlib.zstdDecompressSync(payload.subarray(0, -4));
  if (payload.readUInt16BE(0) === 0x1f8b) return zlib.gunzipSync(payload);
  return undefined;
}

/** Type of the note that tells the address of the PVH entry (xen/include/public/elfnote.h, XEN_ELFNOTE_PHYS32_ENTRY). */
const PHYS32_ENTRY = 18;

function hasPvhEntry(kernel: Elf): boolean {
  const notes = kernel.section('.notes');
  if (!notes) return false;
  for (let at = 0; at + 12 <= notes.length; ) {
    const nameSize = notes.readUInt32LE(at);
    const size = notes.readUInt32LE(at + 4);
    const name = notes.toString('latin1', at + 12, at + 12 + nameSize);
    if (name === 'Xen\0' && notes.readUInt32LE(at + 8) === PHYS32_ENTRY) return true;
    at += 12 + ((nameSize + 3) & ~3) + ((size + 3) & ~3);
  }
  return false;
}
