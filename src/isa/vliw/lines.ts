/** Lines of assembly text, by the codes of their characters: most lines of a program are looked at once. */

const HASH = 35;
const SLASH = 47;
const LETTER_N = 110;
const LETTER_O = 111;
const LETTER_P = 112;

export function isBlank(code: number): boolean {
  return code === 32 || code === 9 || code === 13 || code === 11 || code === 12 || code === 0xfeff || code === 0xa0;
}

/** Letters, digits, and what else names may have. */
export function isNamePart(code: number): boolean {
  const lower = code | 32;
  return (lower >= 97 && lower <= 122) || (code >= 48 && code <= 57) || code === 95 || code === 46 || code === 36;
}

export function isNop(text: string, at: number): boolean {
  return (
    (text.charCodeAt(at) | 32) === LETTER_N &&
    (text.charCodeAt(at + 1) | 32) === LETTER_O &&
    (text.charCodeAt(at + 2) | 32) === LETTER_P
  );
}

/** Where the comment of a line begins, or the line ends. */
export function commentStart(text: string, start: number, end: number): number {
  for (let at = start; at < end; at++) {
    const code = text.charCodeAt(at);
    if (code === HASH || (code === SLASH && text.charCodeAt(at + 1) === SLASH)) return at;
  }
  return end;
}

/** Blanks for comments between slash and asterisk; offsets and lines stay as they are. */
export function withoutBlockComments(text: string): string {
  if (!text.includes('/*')) return text;
  return text.replace(/\/\/[^\n]*|\/\*[\s\S]*?(?:\*\/|$)/g, (comment) =>
    comment.startsWith('//') ? comment : comment.replace(/[^\n]/g, ' '),
  );
}
