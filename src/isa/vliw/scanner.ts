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
  /[ \t\r\f\v]+|((?:[A-Za-z_$%]|\.(?!\d))[\w.$]*)|(0[xX][0-9a-fA-F]*\.?[0-9a-fA-F]*[pP][+-]?\d+|\d+\.\d*(?:[eE][+-]?\d+)?|\d+[eE][+-]?\d+|\.\d+(?:[eE][+-]?\d+)?)|(0[xX][0-9a-fA-F]+|0[bB][01]+|0[oO][0-7]+|\d+)|(<=|>=|==|!=|[-+,=!<>:[\]()])|(.|\n)/y;

/** The tokens of `text`, which begins at `base` of the source. */
export function scan(text: string, base: number): ScanToken[] {
  const tokens: ScanToken[] = [];
  let end = -1;
  token.lastIndex = 0;
  for (let match = token.exec(text); match; match = token.exec(text)) {
    const start = match.index;
    const kind: ScanKind | undefined =
      match[1] !== undefined
        ? 'name'
        : match[2] !== undefined
          ? 'real'
          : match[3] !== undefined
            ? 'integer'
            : match[4] !== undefined
              ? 'symbol'
              : match[5] !== undefined
                ? 'bad'
                : undefined;
    if (kind) {
      tokens.push({ kind, text: match[0], start: base + start, end: base + token.lastIndex, joined: start === end });
      end = token.lastIndex;
    }
  }
  return tokens;
}
