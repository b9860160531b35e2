/** Splits the text of one instruction into tokens. */

export type ScanKind = 'name' | 'integer' | 'real' | 'symbol' | 'bad';

export interface ScanToken {
  readonly kind: ScanKind;
  readonly text: string;
  /** Offsets into the source text. */
  readonly start: number;
  readonly end: number;
  /** Nothing stands between it and the token before. */
  readonly joined: boolean;
}

const token =
  /((?:[A-Za-z_$%]|\.(?!\d))[\w.$]*)|(0[xX][0-9a-fA-F]*\.?[0-9a-fA-F]*[pP][+-]?\d+|\d+\.\d*(?:[eE][+-]?\d+)?|\d+[eE][+-]?\d+|\.\d+(?:[eE][+-]?\d+)?)|(0[xX][0-9a-fA-F]+|0[bB][01]+|0[oO][0-7]+|\d+)|(<=|>=|==|!=|[-+,=!<>:[\]()])|(.|\n)/y;

/** The tokens of `text`, which begins at `base` of the source. */
export function scan(text: string, base: number): ScanToken[] {
  const tokens: ScanToken[] = [];
  let before = -1;
  for (let at = 0; at < text.length; ) {
    const code = text.charCodeAt(at);
    if (code === 32 || (code >= 9 && code <= 13 && code !== 10)) {
      at++;
      continue;
    }
    const start = at;
    const short = shortKind(text, code, at);
    let kind: ScanKind;
    if (short) {
      kind = short;
      at = kind === 'symbol' ? at + 1 : endOfWord(text, at + 1);
    } else {
      token.lastIndex = at;
      kind = kindOf(token.exec(text));
      at = token.lastIndex;
    }
    tokens.push({ kind, text: text.slice(start, at), start: base + start, end: base + at, joined: start === before });
    before = at;
  }
  return tokens;
}

/** What most tokens are, told by their first characters; the others are left to the expression. */
function shortKind(text: string, code: number, at: number): ScanKind | undefined {
  const lower = code | 32;
  if ((lower >= 97 && lower <= 122) || code === 95 || code === 36 || code === 37) return 'name';
  if (code === 44 || code === 43 || code === 45 || code === 58) return 'symbol';
  // A number of decimal digits alone.
  if (code < 48 || code > 57) return undefined;
  const end = endOfWord(text, at + 1);
  for (let n = at + 1; n < end; n++) if (text.charCodeAt(n) > 57 || text.charCodeAt(n) < 48) return undefined;
  return 'integer';
}

/** After letters, digits, and what else names may have. */
function endOfWord(text: string, from: number): number {
  for (let at = from; ; at++) {
    const code = text.charCodeAt(at);
    const lower = code | 32;
    const part =
      (lower >= 97 && lower <= 122) || (code >= 48 && code <= 57) || code === 95 || code === 46 || code === 36;
    if (!part) return at;
  }
}

function kindOf(match: RegExpExecArray | null): ScanKind {
  if (match?.[1] !== undefined) return 'name';
  if (match?.[2] !== undefined) return 'real';
  if (match?.[3] !== undefined) return 'integer';
  return match?.[4] !== undefined ? 'symbol' : 'bad';
}
