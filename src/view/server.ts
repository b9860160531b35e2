/**
 * Serves the viewer's page on loopback to one person: a random port, and a token in the path without which there is nothing. The
 * page loads nothing from elsewhere, and no other origin may read what is served.
 */

import { randomBytes, timingSafeEqual } from 'node:crypto';
import { createReadStream, statSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { pipeline } from 'node:stream/promises';
import { pageFiles } from './bundle.ts';
import { servedDocument } from './document.ts';
import type { PageSetup } from './page-setup.ts';

export interface ViewOptions {
  /** Traces, by path; they are read each time they are asked for, so they may still grow. */
  readonly files: readonly string[];
  /** Makes the report of what was exercised, an HTML document; none where there is nothing to report. */
  readonly report?: (() => string) | undefined;
  /** Port on loopback; default: a free one. */
  readonly port?: number | undefined;
}

export interface View {
  /** With the token. */
  readonly url: string;
  close(): Promise<void>;
}

const HEADERS = {
  'content-security-policy':
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; connect-src 'self'; img-src 'self' data: blob:; frame-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'",
  'cross-origin-resource-policy': 'same-origin',
  'cross-origin-opener-policy': 'same-origin',
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'cache-control': 'no-store',
};
/** The report is a document of its own with its style in it, and no script. */
const REPORT_POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'self'";

type Answer = (request: IncomingMessage, response: ServerResponse, query: URLSearchParams) => void | Promise<void>;

export async function serveView(options: ViewOptions): Promise<View> {
  const files = await pageFiles();
  const token = randomBytes(16).toString('base64url');
  const traces = () => options.files.map((file) => ({ title: path.basename(file), size: statSync(file).size }));
  const text =
    (type: string, body: () => string): Answer =>
    (_request, response) => {
      response.setHeader('content-type', `${type}; charset=utf-8`);
      response.end(body());
    };
  const setup = (): PageSetup => ({ traces: traces(), live: true, report: options.report !== undefined });
  const answers = new Map<string, Answer>(
    Object.entries({
      '': text('text/html', servedDocument),
      'page.js': text('text/javascript', () => files.script),
      'style.css': text('text/css', () => files.style),
      'setup.json': text('application/json', () => JSON.stringify(setup())),
    }),
  );
  for (const [index, file] of options.files.entries()) answers.set(`trace/${index}`, part(file));
  const { report } = options;
  if (report) {
    answers.set('report.html', (request, response, query) => {
      response.setHeader('content-security-policy', REPORT_POLICY);
      return text('text/html', report)(request, response, query);
    });
  }

  const server = createServer((request, response) => {
    response.on('error', () => {});
    void answer(request, response).catch((error: Error) => {
      // The reader has gone, or the file has: either way there is nobody to tell but the page.
      if (response.headersSent) response.destroy();
      else refuse(response, 500, error.message);
    });
  });
  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    for (const [name, value] of Object.entries(HEADERS)) response.setHeader(name, value);
    // A page of another origin whose name was made to resolve to loopback sends its own name.
    if (!isLoopback(request.headers.host)) return refuse(response, 421, 'this is served to 127.0.0.1 only');
    if (request.method !== 'GET' && request.method !== 'HEAD') return refuse(response, 405, 'only GET');
    // Not through URL: what is asked for is compared as it is, and no part of it is a path.
    const [place = '', query = ''] = (request.url ?? '').split('?', 2);
    const [, given = '', ...rest] = place.split('/');
    const found = same(given, token) && rest.length > 0 ? answers.get(rest.join('/')) : undefined;
    if (!found)
      return refuse(response, 404, 'not found: the address has to be the one that "sagrada view" has printed');
    await found(request, response, new URLSearchParams(query));
  }

  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(options.port ?? 0, '127.0.0.1', resolve);
  });
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}/${token}/`,
    async close() {
      const closed = new Promise((resolve) => server.close(resolve));
      server.closeAllConnections();
      await closed;
    },
  };
}

/** Answers with the bytes of a file from `?from=N` on, `most=N` of them, which are none where it has not grown. */
function part(file: string): Answer {
  return async (_request, response, query) => {
    const from = Number(query.get('from') ?? 0);
    const most = Number(query.get('most') ?? Number.MAX_SAFE_INTEGER);
    const { size } = statSync(file);
    if (!Number.isSafeInteger(most) || most <= 0) return refuse(response, 400, 'most: a number of bytes is expected');
    if (!Number.isSafeInteger(from) || from < 0) return refuse(response, 400, 'from: a number of bytes is expected');
    response.setHeader('content-type', 'application/octet-stream');
    // A file that has become shorter is another one, which the page has to read from its beginning.
    response.setHeader('x-size', String(size));
    if (from >= size) {
      response.end();
      return;
    }
    const length = Math.min(size - from, most);
    response.setHeader('content-length', length);
    await pipeline(
      createReadStream(file, { start: from, end: from + length - 1, highWaterMark: CHUNK }),
      response,
    ).catch((error) => {
      if ((error as NodeJS.ErrnoException).code !== 'ERR_STREAM_PREMATURE_CLOSE') throw error;
    });
  };
}

/** Bytes that are read at a time. */
const CHUNK = 2 ** 20;

function refuse(response: ServerResponse, status: number, why: string): void {
  response.writeHead(status, { 'content-type': 'text/plain; charset=utf-8' });
  response.end(`${why}\n`);
}

function isLoopback(host: string | undefined): boolean {
  return /^(127\.0\.0\.1|localhost|\[::1\])(:\d+)?$/.test(host ?? '');
}

function same(given: string, token: string): boolean {
  const [a, b] = [Buffer.from(given), Buffer.from(token)];
  return a.length === b.length && timingSafeEqual(a, b);
}
