/** Text for mail. */

/** Longest line. */
export const WIDTH = 72;

/** Words in lines of at most `WIDTH`. */
export function wrapped(prefix: string, indent: string, words: readonly string[]): string[] {
  const lines: string[] = [];
  let line = prefix;
  for (const word of words) {
    if (line.length + 1 + word.length > WIDTH && line.trim() !== '') {
      lines.push(line.trimEnd());
      line = indent;
    }
    line += line === '' || line.endsWith(' ') ? word : ` ${word}`;
  }
  return [...lines, line.trimEnd()];
}

export const words = (sentence: string) => sentence.split(' ');
