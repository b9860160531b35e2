/** Completion, as the shells themselves show it at their prompts. */

import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, globSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import { stripVTControlCharacters } from 'node:util';
import { privateCommand } from '../../src/machine/vm/private-tree.ts';
import { findProgram } from '../../src/os/run.ts';
import { privatePackages } from '../private-packages.ts';

const folder = mkdtempSync(path.join(tmpdir(), 'completion-'));
after(() => rmSync(folder, { recursive: true }));
const cli = path.join(import.meta.dirname, '../../bin/sagrada.js');
const bin = path.join(folder, 'bin');
const work = path.join(folder, 'work');
mkdirSync(bin);
mkdirSync(path.join(work, 'results'), { recursive: true });
writeFileSync(path.join(work, 'resume.txt'), '');
writeFileSync(path.join(bin, 'sagrada'), `#!/bin/sh\nexec ${process.execPath} ${cli} "$@"\n`, { mode: 0o755 });
const env = {
  PATH: `${bin}:${process.env.PATH}`,
  HOME: folder,
  TERM: 'dumb',
  SAGRADA_CACHE: path.join(folder, 'cache'),
};

/** What to type, and what the line is then. */
const LINES: readonly (readonly [typed: string, completed: string])[] = [
  ['sagrada exer', 'sagrada exercise '],
  ['sagrada exercise --machine gaudi-x2-ap', 'sagrada exercise --machine gaudi-x2-apart '],
  ['sagrada exercise dmab', 'sagrada exercise dmabuf '],
  ['sagrada exercise --format k', 'sagrada exercise --format ktap '],
  ['sagrada exercise --on=mod', 'sagrada exercise --on=model'],
  ['sagrada exercise --kernel st', 'sagrada exercise --kernel stable '],
  ['sagrada vm run --app', 'sagrada vm run --append '],
  ['sagrada isa list tpc', 'sagrada isa list tpc-gaudi '],
  ['sagrada report --output resum', 'sagrada report --output resume.txt '],
  ['sagrada report --results=resum', 'sagrada report --results=resume.txt '],
  ['sagrada doctor --cache resul', 'sagrada doctor --cache results/'],
  [
    'sagrada exercise --grep "dma: host to SRAM and back, 10',
    'sagrada exercise --grep "dma: host to SRAM and back, 1048577 bytes',
  ],
];

/** A shell at a prompt: types each line and the tabulator, and waits until the screen shows what is expected. */
async function atPrompt(command: string, extra: Readonly<Record<string, string>>, lines = LINES): Promise<void> {
  const shell = spawn('script', ['-qfec', command, '/dev/null'], {
    cwd: work,
    env: { ...env, ...extra },
    stdio: ['pipe', 'pipe', 'ignore'],
  });
  let screen = '';
  shell.stdout.on('data', (data: Buffer) => {
    screen += stripVTControlCharacters(data.toString()).replaceAll('\x07', '');
  });
  const ended = new Promise((resolve) => shell.on('exit', resolve));
  const shows = async (what: string, from = 0) => {
    const deadline = Date.now() + 30_000;
    while (!screen.slice(from).includes(what)) {
      assert.ok(Date.now() < deadline, `${JSON.stringify(what)} is not in ${JSON.stringify(screen.slice(from))}`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  };
  try {
    await shows('ready> ');
    for (const [typed, completed] of lines) {
      const from = screen.length;
      shell.stdin.write(`${typed}\t`);
      await shows(completed, from);
      // Ctrl-U takes the line away; a word of our own shows that it has been
      shell.stdin.write(`\x15echo at $((${from} + 1))\n`);
      await shows(`at ${from + 1}`, from);
      await shows('ready> ', screen.indexOf(`at ${from + 1}`, from));
    }
  } finally {
    // ends what it runs, too
    shell.kill();
    await ended;
  }
}

test('at the prompt of bash', async () => {
  const rc = path.join(folder, 'bashrc');
  writeFileSync(rc, "bind 'set enable-bracketed-paste off'\nsource <(sagrada completion bash)\nPS1='ready> '\n");
  await atPrompt(`bash --noprofile --rcfile ${rc} -i`, {});
});

const shells = {
  name: 'shells',
  packages: ['zsh', 'fish'],
  unused:
    /^(python3|libpython3|man-db|groff|dpkg|tar|openssl|libssl|tzdata|debconf|media-types|netbase|libdb5|libsqlite3|procps|libproc2|libsystemd|libseccomp|init-system-helpers|bsdextrautils|readline-common|libreadline|libexpat|libgdbm|libpipeline|libuchardet|libmd0|libacl1)/,
  space: 100e6,
};

test('at the prompt of zsh', async () => {
  const own = findProgram('zsh');
  const tree = own === undefined ? await privatePackages(shells) : undefined;
  const command = own ?? privateCommand(tree as string, 'usr/bin/zsh')?.join(' ');
  const home = path.join(folder, 'zsh');
  mkdirSync(home);
  const places = tree === undefined ? [] : globSync(`${tree}/usr/share/zsh/functions/**/*/`);
  const [modules] = tree === undefined ? [] : globSync(`${tree}/usr/lib/x86_64-linux-gnu/zsh/5*`);
  writeFileSync(
    path.join(home, '.zshrc'),
    [
      ...(modules === undefined ? [] : [`module_path=(${modules})`, `fpath=(${places.join(' ')})`]),
      `autoload -U compinit; compinit -u -d ${home}/dump`,
      'source <(sagrada completion zsh)',
      "PS1='ready> '",
      '',
    ].join('\n'),
  );
  await atPrompt(`${command} -i`, { ZDOTDIR: home });
});

test('in fish', async () => {
  const own = findProgram('fish');
  const tree = own === undefined ? await privatePackages(shells) : undefined;
  const [program = '', ...args] = own === undefined ? (privateCommand(tree as string, 'usr/bin/fish') ?? []) : [own];
  const places = tree === undefined ? '' : `set -g fish_function_path ${tree}/usr/share/fish/functions\n`;
  assert.ok(tree === undefined || existsSync(`${tree}/usr/share/fish/functions`));
  for (const [typed, completed] of LINES) {
    // fish closes the quote itself
    const line = typed.replaceAll('"', '');
    const [head = ''] = /^.*--grep /.exec(line) ?? /^.* /.exec(line) ?? [];
    const script = `${places}sagrada completion fish | source\ncomplete -C '${line.replaceAll(/(?<=--grep .*) /g, '\\ ')}'`;
    const { stdout, stderr } = spawnSync(program, [...args, '--no-config', '-c', script], {
      cwd: work,
      env,
      encoding: 'utf8',
    });
    assert.equal(stderr, '');
    const word = completed.replaceAll('"', '').slice(head.length).trimEnd();
    const [found = ''] = stdout.split(/[\t\n]/, 1);
    assert.ok(found.startsWith(word), `${line}: ${word}, but ${stdout}`);
  }
});
