/** The viewer's server: to whom it answers, and with what. */

import assert from 'node:assert/strict';
import { appendFileSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { serveView, type View } from '../../src/view/server.ts';

interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: Buffer;
}

function ask(url: string, headers: Record<string, string> = {}, method = 'GET'): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const sent = request(url, { headers, method }, (response) => {
      const parts: Buffer[] = [];
      response.on('data', (part: Buffer) => parts.push(part));
      response.on('end', () =>
        resolve({ status: response.statusCode ?? 0, headers: response.headers, body: Buffer.concat(parts) }),
      );
      response.on('error', reject);
    });
    sent.on('error', reject);
    sent.end();
  });
}

describe('the server of the viewer', () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'sagrada-view-'));
  const file = path.join(folder, 'a <b> trace.pftrace');
  let view: View;

  before(async () => {
    writeFileSync(file, 'first');
    view = await serveView({ files: [file], report: () => '<h1>report</h1>' });
  });
  after(async () => {
    await view.close();
    rmSync(folder, { recursive: true });
  });

  it('listens on loopback, at an address that cannot be guessed', () => {
    const { hostname, pathname } = new URL(view.url);
    assert.equal(hostname, '127.0.0.1');
    assert.match(pathname, /^\/[\w-]{22}\/$/);
  });

  it('gives nothing to whoever does not know the token', async () => {
    const { origin, pathname } = new URL(view.url);
    const wrong = `/${'x'.repeat(pathname.length - 2)}/`;
    for (const place of ['/', '/setup.json', '/trace/0', wrong, `${wrong}trace/0`, `/${pathname.slice(1, -2)}/`, '//'])
      assert.equal((await ask(origin + place)).status, 404, place);
  });

  it('gives only what it was told to', async () => {
    for (const place of [
      'trace/1',
      'trace/-1',
      'trace/',
      'trace/..%2f..%2fetc%2fpasswd',
      '../../etc/passwd',
      'constructor',
      '__proto__',
    ])
      assert.equal((await ask(view.url + place)).status, 404, place);
  });

  it('does not answer to another name: a page elsewhere that has its name resolved to this machine sends its own', async () => {
    for (const host of ['evil.example', 'evil.example:80', '127.0.0.1.evil.example'])
      assert.equal((await ask(view.url, { host })).status, 421, host);
  });

  it('lets no other origin read what it serves, nor the page load anything from elsewhere', async () => {
    const { headers } = await ask(`${view.url}trace/0`, { origin: 'http://evil.example' });
    assert.equal(headers['access-control-allow-origin'], undefined);
    assert.equal(headers['cross-origin-resource-policy'], 'same-origin');
    assert.match(String(headers['content-security-policy']), /default-src 'none'/);
    assert.equal(headers['x-content-type-options'], 'nosniff');
  });

  it('takes no other method than those that read', async () => {
    for (const method of ['POST', 'PUT', 'DELETE', 'OPTIONS'])
      assert.equal((await ask(view.url, {}, method)).status, 405, method);
  });

  it('tells the page what there is', async () => {
    const { body } = await ask(`${view.url}setup.json`);
    assert.deepEqual(JSON.parse(String(body)), {
      traces: [{ title: 'a <b> trace.pftrace', size: 5 }],
      live: true,
      report: true,
    });
    assert.match(String((await ask(view.url)).body), /<script src="page.js">/);
    assert.equal(String((await ask(`${view.url}report.html`)).body), '<h1>report</h1>');
  });

  it('gives of a file that grows what is new, and says so when another has taken its place', async () => {
    const read = async (from: string) => {
      const { status, headers, body } = await ask(`${view.url}trace/0?from=${from}`);
      return [status, headers['x-size'], String(body)];
    };
    assert.deepEqual(await read('0'), [200, '5', 'first']);
    assert.deepEqual(await read('5'), [200, '5', '']);
    appendFileSync(file, ' second');
    assert.deepEqual(await read('5'), [200, '12', ' second']);
    const { body } = await ask(`${view.url}trace/0?from=2&most=5`);
    assert.equal(String(body), 'rst s');
    for (const most of ['0', '-1', 'x', '1.5']) {
      assert.equal((await ask(`${view.url}trace/0?most=${most}`)).status, 400, most);
    }
    truncateSync(file, 3);
    assert.deepEqual(await read('12'), [200, '3', '']);
    for (const from of ['-1', 'x', '1.5', '1e99']) assert.equal((await read(from))[0], 400, from);
  });

  it('goes on when a reader goes away in the middle, and when what it reads is gone', async () => {
    writeFileSync(file, Buffer.alloc(32 * 2 ** 20));
    const { port, pathname } = new URL(view.url);
    const socket = connect(Number(port), '127.0.0.1');
    socket.on('error', () => {});
    socket.write(`GET ${pathname}trace/0 HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n`);
    await new Promise((resolve) => socket.once('data', resolve));
    socket.destroy();
    rmSync(file);
    const gone = await ask(`${view.url}trace/0`);
    assert.equal(gone.status, 500);
    assert.match(String(gone.body), /ENOENT/);
    writeFileSync(file, 'again');
    assert.equal(String((await ask(`${view.url}trace/0`)).body), 'again');
  });

  it('serves two readers at the same time', async () => {
    const answers = await Promise.all([ask(`${view.url}page.js`), ask(`${view.url}page.js`)]);
    assert.equal(answers[0]?.status, 200);
    assert.deepEqual(answers[0]?.body, answers[1]?.body);
  });
});
