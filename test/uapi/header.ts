/** The C compiler and the headers that tests compare with, and why they are skipped where one is missing. */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';

export const HEADER = 'drm/habanalabs_accel.h';

/** Where the header is: named by the caller, fetched by our set-up, or the system's own. */
function includeDirectory(): string | undefined {
  const { SAGRADA_UAPI_INCLUDE, SAGRADA_CACHE, XDG_CACHE_HOME } = process.env;
  const cache = SAGRADA_CACHE ?? join(XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'sagrada');
  const places = [SAGRADA_UAPI_INCLUDE, join(cache, 'uapi/usr/include'), '/usr/include'];
  return places.find((dir) => dir !== undefined && existsSync(join(dir, HEADER)));
}

export const include = includeDirectory();
export const compiler = ['cc', 'gcc', 'clang'].find((name) => spawnSync(name, ['--version']).status === 0);
export const noCompiler = compiler === undefined ? 'no C compiler' : false;
export const skip =
  noCompiler !== false
    ? noCompiler
    : include === undefined
      ? `no ${HEADER}: set SAGRADA_UAPI_INCLUDE, or run sagrada vm setup`
      : false;

/** Compiles a program that prints lines `key value`, runs it. @param headers as `#include` has them */
export function ask(headers: readonly string[], lines: readonly string[]): Map<string, string> {
  const dir = mkdtempSync(join(tmpdir(), 'sagrada-uapi-'));
  try {
    const source = join(dir, 'ask.c');
    const program = join(dir, 'ask');
    // what the header takes from the kernel's own headers and does not include
    const kernel = '#define SZ_1M 0x100000\n#define U16_MAX 0xffff\n#define BIT(n) (1UL << (n))\n';
    const prologue = `#include <stdio.h>\n#include <stddef.h>\n${kernel}${headers.map((name) => `#include ${name}\n`).join('')}`;
    writeFileSync(source, `${prologue}int main(void) {\n${lines.join('\n')}\nreturn 0; }\n`);
    const includes = include === undefined ? [] : ['-isystem', include];
    const build = spawnSync(compiler as string, ['-w', ...includes, '-o', program, source], {
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

/** A statement that prints a number. */
export function print(key: string, expression: string): string {
  return `printf("${key} %llu\\n", (unsigned long long)(${expression}));`;
}
