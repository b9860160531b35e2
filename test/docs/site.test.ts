/** `npm run docs`: every page is there, and every link of ours leads somewhere. */

import assert from 'node:assert/strict';
import { globSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { render } from '../../scripts/docs/page.ts';
import { buildSite } from '../../scripts/docs/site.ts';

const root = path.join(import.meta.dirname, '..', '..');

/** Pages whose blocks of commands are run by a test, and by which. */
const tried: Readonly<Record<string, string>> = {
  'docs/start.md': 'test/cli/docs-trace.test.ts',
  'docs/faults.md': 'test/cli/docs-trace.test.ts',
  'docs/fuzzing.md': 'test/cli/docs-trace.test.ts',
  'docs/ci.md': 'test/cli/ci.test.ts',
  'docs/tpc.md': 'test/cli/docs-tpc.test.ts',
  'docs/p2p.md': 'test/cli/docs-p2p.vm.test.ts',
  'docs/guests.md': 'test/cli/docs-p2p.vm.test.ts',
  'docs/trace.md': 'test/cli/docs-trace.test.ts',
  'docs/view.md': 'test/cli/docs-trace.test.ts',
};

describe('the documentation', () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'sagrada-site-'));
  let built: Awaited<ReturnType<typeof buildSite>>;

  before(async () => {
    built = await buildSite(root, folder);
  });
  after(() => rmSync(folder, { recursive: true }));

  it('has no link that leads nowhere, and no page that is in no chapter', () => assert.deepEqual(built.problems, []));

  it('has a page for what every room gives: commands, packets, instructions, registers, calls, faults, events', () => {
    const page = (name: string) => readFileSync(path.join(folder, `reference/${name}.html`), 'utf8');
    assert.match(page('commands'), /sagrada exercise[\s\S]*--fault/);
    assert.match(page('gaudi-qman/gaudi-qman'), /LIN_DMA/);
    assert.match(page('registers'), /FENCE/);
    assert.match(page('uapi'), /HL_MEM_OP_MAP/);
    assert.match(page('faults'), /what the driver does/);
    assert.match(page('events'), /sync_object/);
    assert.match(page('faithful'), /REPEAT[\s\S]*What the hardware leaves open[\s\S]*What no test holds the model to/);
    assert.match(page('api-sagrada-sequences'), /UserError/);
    assert.match(page('api-sagrada'), /CommandStream[\s\S]*Encoded packets/);
    assert.match(page('api-sagrada-device'), /Endpoint[\s\S]*FunctionPorts[\s\S]*Raises a vector/);
  });

  it('loads nothing from elsewhere', () => {
    for (const file of globSync('**/*.html', { cwd: folder })) {
      const text = readFileSync(path.join(folder, file), 'utf8');
      assert.doesNotMatch(text, /<(script|iframe|object)|<(img|link)[^>]+(src|href)="(https?:)?\/\//, file);
    }
  });

  it('says of no block of commands that it works unless a test runs it', () => {
    for (const page of globSync('docs/*.md', { cwd: root })) {
      if (!/^```sh$/m.test(readFileSync(path.join(root, page), 'utf8'))) continue;
      const test = tried[page];
      assert.ok(test, `${page} has blocks marked sh that no test runs`);
      assert.ok(globSync(test, { cwd: root }).length === 1, test);
    }
  });

  it('shows text that looks like HTML as it is, and gives headings of one name addresses of their own', () => {
    const page = {
      source: 'a.md',
      title: 'a',
      markdown: '# A b\n\n## A b\n\n<script>alert(1)</script> `<b>`\n\n[x](b.md#c)',
    };
    const { body, anchors, links } = render(page, (link) => `to-${link}`);
    assert.doesNotMatch(body, /<script>|<b>/);
    assert.deepEqual([...anchors], ['a-b', 'a-b-1']);
    assert.deepEqual(links, ['b.md#c']);
    assert.match(body, /href="to-b.md#c"/);
  });
});
