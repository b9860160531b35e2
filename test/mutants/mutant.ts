/** A mutant: one small mistake in the device models or in the executable specification of the drivers. */

/** A piece of source text that is replaced by another. */
export interface Edit {
  /** From the root of the repository. */
  readonly file: string;
  /**
   * Occurs once in the file. Ends it with `;`, `{` or `}` it is a statement, or the beginning of one; else it is an expression.
   */
  readonly find: string;
  readonly replace: string;
}

/** `edit`: in the source; without one the mistake is made by a tap (taps.ts), which knows it by the mutant's name. */
export interface Mutant {
  /** `family: what`. */
  readonly name: string;
  readonly edit?: Edit;
}

export function familyOf({ name }: Mutant): string {
  return name.slice(0, name.indexOf(':'));
}

/** @returns where the text begins. @throws Error when it is not there once: the source has changed, and the mutant must follow */
export function place(source: string, { file, find }: Edit): number {
  const at = source.indexOf(find);
  if (at < 0) throw new Error(`${file} has no text ${JSON.stringify(find)} any more`);
  if (source.indexOf(find, at + 1) >= 0) throw new Error(`${file} has the text ${JSON.stringify(find)} more than once`);
  return at;
}

export function apply(source: string, edit: Edit): string {
  const at = place(source, edit);
  return source.slice(0, at) + edit.replace + source.slice(at + edit.find.length);
}

/** Calls may do more than to tell a value; these do not. */
const CALL = /[\w\]]\(|yield/;
const HARMLESS = /\.(get|min|max|floor|sort)\(|#meets\(/g;

/** Whether statements can be put into braces: nothing is declared in them, and what they open they close. */
function isWhole(statements: string): boolean {
  const count = (brace: string) => statements.split(brace).length;
  return statements.endsWith(';') && count('{') === count('}') && !/(^|[;{}]\s*)(const|let) /.test(statements);
}

/** The source, telling `sagradaMutant.reached` when what an edit would change is executed, or has another value. */
export function mark(source: string, edits: readonly (Edit & { readonly name: string })[]): string {
  const insertions = edits.flatMap((edit, order) => {
    const at = place(source, edit);
    const call = `globalThis.sagradaMutant.reached(${JSON.stringify(edit.name)})`;
    const { length } = edit.find;
    if (/[;{}]$/.test(edit.find)) {
      const begin = { at, text: `${call};`, opens: true, length: 0, order };
      if (!isWhole(edit.find)) return [begin];
      // it may be all of what an `if` without braces does
      return [
        { ...begin, text: `{${call};` },
        { at: at + length, text: '}', opens: false, length: Infinity, order },
      ];
    }
    if (CALL.test(edit.replace.replaceAll(HARMLESS, ''))) {
      return [
        { at, text: `(${call}, `, opens: true, length, order },
        { at: at + length, text: ')', opens: false, length, order },
      ];
    }
    const compare = `globalThis.sagradaMutant.differs(${JSON.stringify(edit.name)}, `;
    return [
      { at, text: compare, opens: true, length, order },
      { at: at + length, text: `, () => (${edit.replace}))`, opens: false, length, order },
    ];
  });
  // what ends goes before what begins; of two that begin at one place the longer is the outer one, and a statement outside of both;
  // of two that are the same text the first
  const outer = (length: number) => (length === 0 ? Infinity : length);
  insertions.sort((a, b) => {
    if (a.at !== b.at) return a.at - b.at;
    if (a.opens !== b.opens) return a.opens ? 1 : -1;
    return a.opens ? outer(b.length) - outer(a.length) || a.order - b.order : a.length - b.length || b.order - a.order;
  });
  let marked = '';
  let from = 0;
  for (const { at, text } of insertions) {
    marked += source.slice(from, at) + text;
    from = at;
  }
  return marked + source.slice(from);
}
