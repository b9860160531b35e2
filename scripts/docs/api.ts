/** The reference of what the package exports, made of the declarations that the compiler writes, with their comments. */

import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import process from 'node:process';
import type { Page } from './page.ts';

const root = path.join(import.meta.dirname, '..', '..');

const entries = [
  { name: 'sagrada', file: 'src/index.ts', title: 'Runtime API: sagrada' },
  { name: 'sagrada-device', file: 'src/device.ts', title: 'Device models: sagrada/device' },
  { name: 'sagrada-sequences', file: 'src/exercise/fuzz/replay.ts', title: 'Sequences of calls: sagrada/sequences' },
] as const;

interface Declared {
  readonly name: string;
  readonly doc: string;
  readonly text: string;
}

/** @throws Error when the compiler fails, or an exported name is declared nowhere */
export function apiPages(): Page[] {
  const folder = mkdtempSync(path.join(tmpdir(), 'sagrada-api-'));
  try {
    declare(folder);
    return entries.map(({ name, file, title }) => {
      const place = path.join(folder, file.replace(/\.ts$/, '.d.ts'));
      const { doc } = commentBefore(readFileSync(path.join(root, file), 'utf8').split('*/')[0] ?? '');
      return { source: `reference/api-${name}.md`, title, markdown: pageText(title, doc, exportsOf(place)) };
    });
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function declare(folder: string): void {
  const config = {
    extends: path.join(root, 'tsconfig.json'),
    compilerOptions: {
      noEmit: false,
      declaration: true,
      emitDeclarationOnly: true,
      rootDir: root,
      outDir: folder,
      typeRoots: [path.join(root, 'node_modules/@types')],
    },
    files: entries.map(({ file }) => path.join(root, file)),
    include: [],
  };
  const file = path.join(folder, 'tsconfig.json');
  writeFileSync(file, JSON.stringify(config));
  const compiler = path.join(root, 'node_modules/typescript/bin/tsc');
  const { status, stdout, stderr } = spawnSync(process.execPath, [compiler, '-p', file], { encoding: 'utf8' });
  if (status !== 0) throw new Error(`declarations cannot be made:\n${stdout}${stderr}`);
}

/** What a file exports, its own declarations and those that it takes from others. */
function exportsOf(file: string): Declared[] {
  const text = readFileSync(file, 'utf8');
  const own = declarations(text).filter(({ text: body }) => body.startsWith('export '));
  const others = [...text.matchAll(/^export (?:type )?\{([^}]*)\} from '(\.[^']*)';$/gm)].flatMap(
    ([, names = '', from = '']) => {
      const there = path.join(path.dirname(file), from.replace(/\.(ts|js)$/, '.d.ts'));
      const found = exportsOf(there);
      return names
        .split(',')
        .map((name) => name.trim().replace(/^type /, ''))
        .filter((name) => name !== '')
        .map((name) => {
          const one = found.find((each) => each.name === name);
          if (!one) throw new Error(`${file}: ${name} is not declared in ${there}`);
          return one;
        });
    },
  );
  // names of an import that are exported again
  const again = [...text.matchAll(/^export (?:type )?\{([^}]*)\};$/gm)].flatMap(([, names = '']) =>
    names.split(',').map((name) => name.trim().replace(/^type /, '')),
  );
  const imported = again.flatMap((name) => {
    const from = new RegExp(`^import [^;]*\\b${name}\\b[^;]* from '(\\.[^']*)';$`, 'm').exec(text)?.[1];
    if (from === undefined) return [];
    return exportsOf(path.join(path.dirname(file), from.replace(/\.ts$/, '.d.ts'))).filter((one) => one.name === name);
  });
  return [...own, ...others, ...imported];
}

/** Declarations of a file as the compiler writes them: they begin in the first column, and so does their end. */
function declarations(text: string): Declared[] {
  const found: Declared[] = [];
  const start = /^(?:export )?(?:declare )?(?:abstract )?(?:interface|class|function|const|let|type|enum) ([\w$]+)/gm;
  for (const match of text.matchAll(start)) {
    const rest = text.slice(match.index);
    const end = /^\}.*$|;$(?!\n[ }])/m.exec(rest);
    const body = rest.slice(0, end ? end.index + end[0].length : undefined);
    const whole = /\{$/.test(rest.slice(0, rest.indexOf('\n'))) ? body.replace(/;$/, '') : body;
    const name = match[1] as string;
    const { doc } = commentBefore(text.slice(0, match.index));
    const same = found.findIndex((one) => one.name === name);
    // overloads of a function, or a type and a value of one name
    if (same >= 0) found[same] = { name, doc: found[same]?.doc || doc, text: `${found[same]?.text}\n${tidy(whole)}` };
    else found.push({ name, doc, text: tidy(whole) });
  }
  return found;
}

function tidy(text: string): string {
  return text
    .replaceAll(/^ +(#private|private constructor\(\));\n/gm, '')
    .replaceAll(/^( +)/gm, (indent) => ' '.repeat(indent.length - Math.floor(indent.length / 4) * 2));
}

/** The words of the comment that a text ends with, without stars. */
function commentBefore(text: string): { doc: string } {
  const begin = text.lastIndexOf('/**');
  if (begin < 0) return { doc: '' };
  const comment = text.slice(begin + 3);
  const end = comment.indexOf('*/');
  // a comment is that of a declaration only when nothing is in between
  if (end >= 0 && comment.slice(end + 2).trim() !== '') return { doc: '' };
  const lines = (end < 0 ? comment : comment.slice(0, end)).split('\n').map((line) => line.replace(/^\s*\* ?/, ''));
  return { doc: lines.join('\n').trim() };
}

/** A comment as Markdown: what is indented in it is code, and each tag is a paragraph. */
function prose(doc: string): string {
  return doc
    .replaceAll(/((?:^ {2,}\S.*(?:\n|$))+)/gm, (code, ...rest) =>
      // an indented line right after a tag goes on with its words
      /@\w+[^\n]*\n$/.test(doc.slice(0, rest[1] as number))
        ? code
        : `\n\`\`\`ts\n${code.replaceAll(/^ {2}/gm, '').trimEnd()}\n\`\`\`\n`,
    )
    .replaceAll(/\s*@throws (?=\S)/g, '\n\nThrows ')
    .replaceAll(/\s*@returns? (?=\S)/g, '\n\nReturns ')
    .replaceAll(/\s*@param (\S+) /g, '\n\n`$1`: ')
    .trim();
}

function pageText(title: string, doc: string, declared: readonly Declared[]): string {
  const sorted = [...declared].sort((a, b) => a.name.localeCompare(b.name, 'en'));
  const list = sorted.map(({ name }) => `[${name}](#${name.toLowerCase()})`).join(', ');
  const parts = sorted.flatMap(({ name, doc: words, text }) => [
    `## ${name}`,
    prose(words),
    `\`\`\`ts\n${text}\n\`\`\``,
  ]);
  return [`# ${title}`, prose(doc), list, ...parts].filter((part) => part !== '').join('\n\n');
}
