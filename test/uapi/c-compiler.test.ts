/**
 * The outside judge of src/uapi: the system's C compiler on the headers that programs are built with. Every row must be what
 * its header says, and everything the header says must be a row.
 */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { test } from 'node:test';
import * as habanalabs from '../../src/uapi/habanalabs/index.ts';
import type { Constants, Ioctl } from '../../src/uapi/rows.ts';
import * as importer from '../../src/uapi/sagrada/importer.ts';
import { paths, type Struct } from '../../src/uapi/struct.ts';
import { ask, HEADER, include, noCompiler, print, skip } from './header.ts';

/** An interface as rows, and the header that says the same in C. */
interface Interface {
  readonly header: string;
  readonly file: string;
  readonly skip: string | false;
  readonly constants: Constants;
  readonly ioctls: readonly Ioctl[];
  readonly structs: readonly (Struct<unknown, never> & { readonly keyword: string })[];
  /** At least so many of each, or the header was not read. */
  readonly least: { readonly names: number; readonly structs: number };
}

const IMPORTER = join(import.meta.dirname, '../../guest/importer/sagrada_importer.h');

const interfaces: readonly Interface[] = [
  {
    header: `<${HEADER}>`,
    file: join(include ?? '', HEADER),
    skip,
    constants: habanalabs.constants,
    ioctls: habanalabs.ioctls,
    structs: habanalabs.structs,
    least: { names: 600, structs: 40 },
  },
  {
    header: `"${IMPORTER}"`,
    file: IMPORTER,
    skip: noCompiler,
    constants: {
      ...importer.importerFeatures,
      ...importer.attachFlags,
      ...importer.mapFlags,
      ...importer.importDirections,
      ...importer.importerConstants,
    },
    ioctls: Object.values(importer.importerIoctls),
    structs: [
      importer.sagrada_importer_info,
      importer.sagrada_importer_attach,
      importer.sagrada_importer_entry,
      importer.sagrada_importer_map,
      importer.sagrada_importer_handle,
    ],
    least: { names: 14, structs: 4 },
  },
];

function compare(header: string, expected: ReadonlyMap<string, string>, lines: readonly string[]): void {
  const actual = ask([header], lines);
  assert.deepEqual(Object.fromEntries(actual), Object.fromEntries(expected));
}

for (const { header, file, skip, constants, ioctls, structs, least } of interfaces) {
  const name = basename(file);
  test(`${name}: request numbers`, { skip }, () => {
    compare(
      header,
      new Map(ioctls.map((row) => [row.name, String(row.request)])),
      ioctls.map((row) => print(row.name, row.name)),
    );
  });

  test(`${name}: constants, operations, flags and enumerations`, { skip }, () => {
    compare(
      header,
      new Map(Object.entries(constants).map(([name, row]) => [name, String(row.value)])),
      Object.keys(constants).map((name) => print(name, name)),
    );
  });

  test(`${name}: sizes, offsets and signedness of every struct and member`, { skip }, () => {
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
    compare(header, expected, lines);
  });

  test(`${name}: nothing of the header is missing`, { skip }, () => {
    const text = readFileSync(file, 'utf8').replace(/\/\*[\s\S]*?\*\//g, '');
    const missing: string[] = [];
    const known = new Set([...Object.keys(constants), ...ioctls.map((row) => row.name)]);
    for (const [, name] of text.matchAll(/^#define\s+(\w+)[ \t]+\S/gm))
      if (name !== undefined && !known.has(name)) missing.push(name);
    for (const [, body] of text.matchAll(/^enum\s+\w+\s*\{([^}]*)\}/gm))
      for (const [name] of (body ?? '').matchAll(/\b[A-Z]\w+(?=\s*(,|=|$))/gm)) {
        if (!known.has(name) && /^[A-Z]/.test(name)) missing.push(name);
      }
    const described = new Set(structs.map((row) => row.name));
    for (const [, name] of text.matchAll(/^(?:struct|union)\s+(\w+)\s*\{/gm))
      if (name !== undefined && !described.has(name)) missing.push(name);
    assert.deepEqual(missing, []);
    assert.ok(known.size > least.names && described.size > least.structs, 'the header was read');
  });
}
