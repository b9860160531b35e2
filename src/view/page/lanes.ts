/** Values of registers in words. */

type Read = (view: DataView, at: number) => number;

interface LaneType {
  readonly bytes: number;
  readonly read: Read;
}

export const laneTypes = {
  f32: { bytes: 4, read: (view, at) => view.getFloat32(at, true) },
  i32: { bytes: 4, read: (view, at) => view.getInt32(at, true) },
  u32: { bytes: 4, read: (view, at) => view.getUint32(at, true) },
  // bfloat16 is the upper half of a float
  bf16: { bytes: 2, read: (view, at) => floatOf(view.getUint16(at, true) * 0x1_0000) },
  f16: { bytes: 2, read: (view, at) => view.getFloat16(at, true) },
  i16: { bytes: 2, read: (view, at) => view.getInt16(at, true) },
  i8: { bytes: 1, read: (view, at) => view.getInt8(at) },
  u8: { bytes: 1, read: (view, at) => view.getUint8(at) },
} satisfies Readonly<Record<string, LaneType>>;

const LEAST_FLOAT = 1e-30;

const scratch = new DataView(new ArrayBuffer(4));

function floatOf(bits: number): number {
  scratch.setUint32(0, bits);
  return scratch.getFloat32(0);
}

/** @param type of the lanes of a vector */
export function registerText(name: string, bytes: Uint8Array, type: keyof typeof laneTypes): string {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (/^V\d/.test(name)) return lanes(view, laneTypes[type]);
  if (/^VP/.test(name)) return predicate(bytes);
  if (/^I/.test(name)) return lanes(view, laneTypes.i32);
  if (bytes.length < 4) return '';
  if (/^AD/.test(name) && bytes.length >= 8) return `0x${view.getBigUint64(0, true).toString(16)}`;
  const word = view.getUint32(0, true);
  if (/^SP/.test(name)) return String(word);
  const float = view.getFloat32(0, true);
  const text = `${word | 0}  0x${word.toString(16).padStart(8, '0')}`;
  // a small whole number is no float that anybody means
  return Math.abs(float) < LEAST_FLOAT ? text : `${text}  ${numberText(float)}`;
}

function lanes(view: DataView, { bytes, read }: LaneType): string {
  const texts: string[] = [];
  for (let at = 0; at + bytes <= view.byteLength; at += bytes) texts.push(numberText(read(view, at)));
  return runs(texts).join(' ');
}

/** `0 0 0 0 5` as `0×4 5`. */
function runs(texts: readonly string[]): string[] {
  const result: string[] = [];
  for (let at = 0; at < texts.length; ) {
    let end = at;
    while (texts[end] === texts[at]) end++;
    result.push(end - at > 2 ? `${texts[at]}×${end - at}` : texts.slice(at, end).join(' '));
    at = end;
  }
  return result;
}

function predicate(bytes: Uint8Array): string {
  if (bytes.every((byte) => byte === 0xff)) return 'all lanes';
  if (bytes.every((byte) => byte === 0)) return 'no lane';
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

function numberText(value: number): string {
  return Number.isInteger(value) ? String(value) : String(Number(value.toPrecision(6)));
}
