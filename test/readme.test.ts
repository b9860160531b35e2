import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';

const root = path.join(import.meta.dirname, '..');
const readme = readFileSync(path.join(root, 'README.md'), 'utf8');

test('the program in the README is the example it says it is', () => {
  const [, file = '', code] = /\[(examples\/[\w-]+\.ts)\][^\n]*\n\n```ts\n(.*?)```/s.exec(readme) ?? [];
  assert.equal(code, readFileSync(path.join(root, file), 'utf8'));
});

test('links to files lead somewhere', () => {
  const links = [...readme.matchAll(/\]\((?!https?:)([^)#]+)\)/g)].map(([, file]) => file as string);
  assert.ok(links.length > 5);
  for (const link of links) assert.ok(existsSync(path.join(root, link)), link);
});
