/**
 * The rows of verbs against the headers that programs are built with. Headers of older kernels lack what came later: of what the
 * rows say is not in 6.12 only what the header has is compared.
 */

import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import * as commandRows from '../../src/uapi/rdma/commands.ts';
import * as efa from '../../src/uapi/rdma/efa.ts';
import {
  attributeFlags,
  ib_uverbs_attr,
  ib_uverbs_ioctl_hdr,
  ioctlConstants,
  objects,
  RDMA_VERBS_IOCTL,
} from '../../src/uapi/rdma/ioctl.ts';
import { methods } from '../../src/uapi/rdma/methods.ts';
import * as verbs from '../../src/uapi/rdma/verbs.ts';
import { paths, type Struct } from '../../src/uapi/struct.ts';
import { ask, include, skip as noHeader, print } from './header.ts';

const HEADERS = [
  'rdma/rdma_user_ioctl_cmds.h',
  'rdma/ib_user_ioctl_cmds.h',
  'rdma/ib_user_verbs.h',
  'rdma/ib_user_ioctl_verbs.h',
  'rdma/efa-abi.h',
];
const files = HEADERS.map((name) => join(include ?? '', name));
const skip =
  noHeader || (files.every((file) => existsSync(file)) ? false : 'no headers of RDMA beside that of habanalabs');

/** Names that the headers of 6.12 do not have. */
const LATER =
  /DMAH|DMABUF$|COMP_CNTR|GET_CONTEXT_FD_ARR|CREATE_CQ_BUF|BUF_UMEM|QUERY_PORT_SPEED|METHOD_REG_MR|ATTR_REG_MR_|SUPP_CAPS|ROBUST_UDATA|64_BIT_REQ_ID|CQ_WITH_EXT_MEM|IB_UVERBS_GID_TYPE/;
/** Structs and members likewise; those that were renamed have the place of what they were. */
const LATER_STRUCTS = new Set(['ib_uverbs_buffer_desc']);
const LATER_MEMBERS = new Set([
  'efa_ibv_alloc_ucontext_cmd.supported_caps',
  'efa_ibv_alloc_ucontext_resp.inline_buf_size_ex',
  'efa_ibv_alloc_ucontext_resp.reserved_b0',
  'efa_ibv_create_qp.sl',
  'efa_ibv_create_qp.reserved_98',
  'ib_uverbs_query_port_resp_ex.active_speed_ex',
  'ib_uverbs_query_port_resp_ex.reserved',
]);

const constants: Readonly<Record<string, { readonly value: number | bigint }>> = {
  ...attributeFlags,
  ...ioctlConstants,
  ...objects,
  ...Object.fromEntries(Object.entries(methods).map(([name, { id }]) => [name, { value: id }])),
  ...Object.fromEntries(
    Object.values(methods).flatMap(({ attributes }) =>
      Object.entries(attributes).map(([name, { id }]) => [name, { value: id }]),
    ),
  ),
  ...commandRows.commandConstants,
  ...commandRows.commands,
  ...commandRows.extendedCommands,
  ...efa.efaConstants,
  ...verbs.coreSupport,
  ...verbs.accessFlags,
  ...verbs.qpTypes,
  ...verbs.qpCreateFlags,
  ...verbs.cqCreateFlags,
  ...verbs.gidTypes,
  ...verbs.driverIds,
};
type Row = Struct<unknown, never>;
const structs: readonly Row[] = [
  ib_uverbs_attr,
  ib_uverbs_ioctl_hdr,
  ...[commandRows, efa, verbs].flatMap((file) => (Object.values(file) as unknown[]).filter(isStruct)),
];

function isStruct(row: unknown): row is Row {
  return typeof row === 'object' && row !== null && 'keyword' in row && 'members' in row;
}

/** What the compiler makes of expressions. */
function evaluate(expressions: ReadonlyMap<string, string>): Map<string, string> {
  return ask(
    HEADERS.map((name) => `<${name}>`),
    [...expressions].map(([key, expression]) => print(key, expression)),
  );
}

const header = () => files.map((file) => readFileSync(file, 'utf8')).join('\n');
const has = (text: string, name: string) => new RegExp(`\\b${name}\\b`).test(text);

test('the request, numbers of objects, methods, attributes, commands and flags', { skip }, () => {
  const text = header();
  const compared = Object.entries(constants).filter(([name]) => has(text, name) || !LATER.test(name));
  assert.ok(compared.length > 180, `${compared.length} names`);
  const expected = new Map(compared.map(([name, { value }]) => [name, String(value)]));
  expected.set('RDMA_VERBS_IOCTL', String(RDMA_VERBS_IOCTL.request));
  const actual = evaluate(new Map([...expected.keys()].map((name) => [name, name])));
  assert.deepEqual(Object.fromEntries(actual), Object.fromEntries(expected));
});

test('sizes, offsets and signedness of every struct and member', { skip }, () => {
  const text = header();
  const expected = new Map<string, string>();
  const asked = new Map<string, string>();
  const expect = (key: string, value: number, expression: string) => {
    expected.set(key, String(value));
    asked.set(key, expression);
  };
  for (const row of structs) {
    if (LATER_STRUCTS.has(row.name) && !has(text, row.name)) continue;
    const type = `struct ${row.name}`;
    expect(row.name, row.size, `sizeof(${type})`);
    // the alignment is not compared: arrays without a length at the end of structs, which no row has, raise it
    const [, body = ''] = new RegExp(`struct ${row.name} \\{([\\s\\S]*?)\\n\\}`).exec(text) ?? [];
    for (const { path, offset, field } of paths(row.members)) {
      const name = `${row.name}.${path}`;
      if (LATER_MEMBERS.has(name) && !has(body, path)) continue;
      const member = `((${type} *)0)->${path}`;
      // what was reserved has shrunk with what took its place
      if (LATER_MEMBERS.has(name) && path === 'reserved') continue;
      expect(`${name}:offset`, offset, `offsetof(${type}, ${path})`);
      expect(`${name}:size`, field.size, `sizeof(${member})`);
      if (field.signed !== undefined) expect(`${name}:signed`, Number(field.signed), `(__typeof__(${member}))-1 < 0`);
    }
  }
  assert.ok(expected.size > 800, `${expected.size} facts`);
  assert.deepEqual(Object.fromEntries(evaluate(asked)), Object.fromEntries(expected));
});

test('nothing of what efa and its user-space half tell each other is missing', { skip }, () => {
  const text = readFileSync(join(include as string, 'rdma/efa-abi.h'), 'utf8').replace(/\/\*[\s\S]*?\*\//g, '');
  const missing: string[] = [];
  // renamed after 6.12: EFA_ALLOC_UCONTEXT_CMD_SUPP_CAPS_*
  const renamed = /^EFA_ALLOC_UCONTEXT_CMD_COMP_/;
  for (const [, body] of text.matchAll(/^enum[^{]*\{([^}]*)\}/gm))
    for (const [name] of (body ?? '').matchAll(/\bEFA_\w+(?=\s*(,|=|$))/gm))
      if (!(name in constants) && !renamed.test(name)) missing.push(name);
  const described = new Set(structs.map(({ name }) => name));
  for (const [, name] of text.matchAll(/^struct\s+(\w+)\s*\{/gm))
    if (name !== undefined && !described.has(name)) missing.push(name);
  assert.deepEqual(missing, []);
});
