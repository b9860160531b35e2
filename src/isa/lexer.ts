/** Splits assembly text into tokens. Comments begin with `#` or `//` and end with the line. */

export type TokenKind = 'name' | 'number' | 'symbol' | 'newline' | 'end' | 'bad';

export interface Token {
  readonly kind: TokenKind;
  readonly text: string;
  /** Offsets into the source text. */
  readonly start: number;
  readonly end: number;
}

const NEWLINE = 10;
const SLASH = 47;
const HASH = 35;

/** The tokens of `text`; the last one is of kind `end`. Never throws: what is no token is of kind `bad`. */
export function tokenize(text: string): Token[] {
  const tokens: Token[] = [];
  const length = text.length;
  let at = 0;
  while (at < length) {
    const start = at;
    const c = text.charCodeAt(at);
    if (c === NEWLINE) {
      at++;
      tokens.push({ kind: 'newline', text: '\n', start, end: at });
    } else if (isBlank(c)) {
      at++;
    } else if (c === HASH || (c === SLASH && text.charCodeAt(at + 1) === SLASH)) {
      const end = text.indexOf('\n', at);
      at = end < 0 ? length : end;
    } else if (isDigit(c)) {
      while (at < length && isNamePart(text.charCodeAt(at))) at++;
      const word = text.slice(start, at);
      tokens.push({ kind: isNumber(word) ? 'number' : 'bad', text: word, start, end: at });
    } else if (isNameStart(c)) {
      at++;
      while (at < length && isNamePart(text.charCodeAt(at))) at++;
      tokens.push({ kind: 'name', text: text.slice(start, at), start, end: at });
    } else {
      const two = text.slice(at, at + 2);
      at += two === '<<' || two === '>>' ? 2 : 1;
      const symbol = text.slice(start, at);
      tokens.push({ kind: isSymbol(symbol) ? 'symbol' : 'bad', text: symbol, start, end: at });
    }
  }
  tokens.push({ kind: 'end', text: '', start: length, end: length });
  return tokens;
}

/** Value of a number token. */
export function numberValue(text: string): bigint {
  return BigInt(text.replaceAll('_', ''));
}

function isBlank(c: number): boolean {
  return c === 32 || c === 9 || c === 13 || c === 11 || c === 12 || c === 0xfeff || c === 0xa0;
}

function isDigit(c: number): boolean {
  return c >= 48 && c <= 57;
}

/** Letters, underscore, and the dot that begins directives. */
function isNameStart(c: number): boolean {
  return (c >= 97 && c <= 122) || (c >= 65 && c <= 90) || c === 95 || c === 46;
}

function isNamePart(c: number): boolean {
  return isNameStart(c) || isDigit(c);
}

function isNumber(word: string): boolean {
  return (
    word.length <= 64 &&
    /^(0[xX][0-9a-fA-F_]*[0-9a-fA-F]|0[bB][01_]*[01]|0[oO][0-7_]*[0-7]|[1-9][0-9_]*|0+)$/.test(word)
  );
}

function isSymbol(symbol: string): boolean {
  return symbol === '<<' || symbol === '>>' || '[](){},:=+-*/%&|^~$'.includes(symbol);
}
