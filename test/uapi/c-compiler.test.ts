/**
 * The outside judge of src/uapi: the system's C compiler on the header that programs are built with. Every row must be what the
 * header says, and everything the header says must be a row.
 */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { constants, ioctls, structs } from '../../src/uapi/habanalabs/index.ts';
import { paths } from '../../src/uapi/struct.ts';
import { compiler, HEADER, include, skip } from './header.ts';

/** Compiles a program that prints lines `key value`, runs it. */
function ask(lines: readonly string[]): Map<string, string> {
  const dir = mkdtempSync(join(tmpdir(), 'sagrada-uapi-'));
  try {
    const source = join(dir, 'ask.c');
    const program = join(dir, 'ask');
    // what the header takes from the kernel's own headers and does not include
    const kernel = '#define SZ_1M 0x100000\n#define U16_MAX 0xffff\n#define BIT(n) (1UL << (n))\n';
    const prologue = `#include <stdio.h>\n#include <stddef.h>\n${kernel}#include <${HEADER}>\n`;
    writeFileSync(source, `${prologue}int main(void) {\n${lines.join('\n')}\nreturn 0; }\n`);
    const build = spawnSync(compiler as string, ['-w', '-isystem', include as string, '-o', program, source], {
      encoding: 'utf8',
    });
    assert.equal(build.status, 0, build.stderr);
    const run = spawnSync(program, { encoding: 'utf8', maxBuffer: 1 << 24 });
    assert.equal(run.status, 0);
    return new Map(
      run.stdout
        .trimEnd()
        .split('\n')
        .map((line) => line.split(' ') as [string, string]),
    );
  } finally {
    rmSync(dir, { recursive: true });
  }
}

function print(key: string, expression: string): string {
  return `printf("${key} %llu\\n", (unsigned long long)(${expression}));`;
}

function compare(expected: ReadonlyMap<string, string>, lines: readonly string[]): void {
  const actual = ask(lines);
  assert.deepEqual(Object.fromEntries(actual), Object.fromEntries(expected));
}

test('request numbers', { skip }, () => {
  compare(
    new Map(ioctls.map((row) => [row.name, String(row.request)])),
    ioctls.map((row) => print(row.name, row.name)),
  );
});

test('constants, operations, flags and enumerations', { skip }, () => {
  compare(
    new Map(Object.entries(constants).map(([name, row]) => [name, String(row.value)])),
    Object.keys(constants).map((name) => print(name, name)),
  );
});

test('sizes, offsets and signedness of every struct and member', { skip }, () => {
  const expected = new Map<string, string>();
  const lines: string[] = [];
  const expect = (key: string, value: number, expression: string) => {
    expected.set(key, String(value));
    lines.push(print(key, expression));
  };
  for (const row of structs) {
    const type = `${row.keyword} ${row.name}`;
    expect(`${row.name}`, row.size, `sizeof(${type})`);
    expect(`${row.name}:align`, row.align, `_Alignof(${type})`);
    for (const { path, offset, field } of paths(row.members)) {
      const member = `((${type} *)0)->${path}`;
      expect(`${row.name}.${path}:offset`, offset, `offsetof(${type}, ${path})`);
      expect(`${row.name}.${path}:size`, field.size, `sizeof(${member})`);
      if (field.signed !== undefined)
        expect(`${row.name}.${path}:signed`, Number(field.signed), `(__typeof__(${member}))-1 < 0`);
    }
  }
  compare(expected, lines);
});

test('nothing of the header is missing', { skip }, () => {
  const header = readFileSync(join(include as string, HEADER), 'utf8').replace(/\/\*[\s\S]*?\*\//g, '');
  const missing: string[] = [];
  const known = new Set([...Object.keys(constants), ...ioctls.map((row) => row.name)]);
  for (const [, name] of header.matchAll(/^#define\s+(\w+)[ \t]+\S/gm))
    if (name !== undefined && !known.has(name)) missing.push(name);
  for (const [, body] of header.matchAll(/^enum\s+\w+\s*\{([^}]*)\}/gm))
    for (const [name] of (body ?? '').matchAll(/\b[A-Z]\w+(?=\s*(,|=|$))/gm)) {
      if (!known.has(name) && /^[A-Z]/.test(name)) missing.push(name);
    }
  const described = new Set(structs.map((row) => row.name));
  for (const [, name] of header.matchAll(/^(?:struct|union)\s+(\w+)\s*\{/gm))
    if (name !== undefined && !described.has(name)) missing.push(name);
  assert.deepEqual(missing, []);
  assert.ok(known.size > 600 && described.size > 40, 'the header was read');
});
