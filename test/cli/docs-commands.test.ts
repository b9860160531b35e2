/**
 * Every command of ours that a page shows, in a block or between backticks, is one that the program takes: its words, its options, their
 * values. What can be run quickly is run besides, by the tests that test/docs/site.test.ts names.
 */

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { globSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';
import type { Command } from 'commander';
import { makeProgram } from '../../src/cli/commands.ts';

const root = path.join(import.meta.dirname, '../..');
const pages = ['README.md', 'CONTRIBUTING.md', 'ARCHITECTURE.md', ...globSync('docs/*.md', { cwd: root })];

/** What stands for something that a reader puts in its place, and is no value of an option. */
const PLACEHOLDER = /\.\.\.|…|\bi\/n\b|\bN\b|\[|<|\|/;

function commandsOf(text: string): readonly string[] {
  const blocks = [...text.matchAll(/^```(.*)\n([\s\S]*?)^```$/gm)].flatMap(([, info = '', body = '']) =>
    /^(sh( .*)?|text)?$/.test(info) ? body.split('\n') : [],
  );
  const inline = [...text.replaceAll(/^```[\s\S]*?^```$/gm, '').matchAll(/`([^`\n]+)`/g)].map(([, body = '']) => body);
  return [...blocks, ...inline]
    .map((line) => line.replace(/^\$ /, '').replace(/^.*&& (?=npx sagrada )/, ''))
    .filter((line) => /^(npx )?sagrada [a-z]/.test(line))
    .map((line) =>
      line
        .replace(/^npx /, '')
        .replace(/ (#|>|2>|&&|\|\|) .*$/, '')
        .replace(/ <\(.*$/, ''),
    )
    .filter((line) => !PLACEHOLDER.test(line) && !line.endsWith('\\') && (line.match(/'/g)?.length ?? 0) % 2 === 0);
}

/** The words of a line, as a shell takes it apart. */
function words(line: string): string[] {
  const text = execFileSync('sh', ['-f', '-c', `set -- ${line}; printf '%s\\n' "$@"`], { encoding: 'utf8' });
  return text.trimEnd().split('\n');
}

/** @throws CommanderError where the program would refuse the line */
async function parse(line: string): Promise<void> {
  const program = await makeProgram('');
  let told = '';
  const disarm = (command: Command) => {
    command.exitOverride();
    command.configureOutput({
      writeErr: (text) => {
        told += text;
      },
    });
    command.action(() => {});
    command.commands.forEach(disarm);
  };
  program.commands.forEach(disarm);
  program.exitOverride();
  try {
    await program.parseAsync(words(line).slice(1), { from: 'user' });
  } catch (error) {
    const { code } = error as { code?: string };
    // a page may name a command without what it is given
    if (code === 'commander.missingArgument' || code === 'commander.missingMandatoryOptionValue') return;
    throw new Error(`${line}: ${told || error}`);
  }
}

describe('commands on pages are taken by the program', () => {
  let count = 0;
  for (const page of pages) {
    const found = [...new Set(commandsOf(readFileSync(path.join(root, page), 'utf8')))];
    count += found.length;
    if (found.length === 0) continue;
    test(page, async () => {
      for (const line of found) await parse(line);
    });
  }

  test('and are many', () => assert.ok(count > 80, `only ${count} were found`));

  test('a command that is not there, an option and a value that are not taken are noticed', async () => {
    await assert.rejects(parse('sagrada exercize'));
    await assert.rejects(parse('sagrada exercise --machin gaudi'));
    await assert.rejects(parse('sagrada exercise --format html'));
  });
});
