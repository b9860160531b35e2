/** Where the page has its traces from: the server that it came from, or, in an exported page, itself. */

import type { PageSetup } from '../page-setup.ts';

export interface Source {
  readonly setup: PageSetup;
  /** Bytes of a trace from an offset on, not all of them where they are many; `size` is that of the whole, now. */
  read(index: number, from: number): Promise<{ readonly bytes: Uint8Array; readonly size: number }>;
  /** Address of the report of what was exercised. */
  report(): Promise<string>;
}

export async function openSource(): Promise<Source> {
  const embedded = document.getElementById('setup');
  return embedded ? embeddedSource(JSON.parse(embedded.textContent ?? '')) : await servedSource();
}

/** Bytes that are asked for at a time: a page that reads a large trace shows how far it is. */
const PIECE = 16 * 2 ** 20;

async function servedSource(): Promise<Source> {
  const setup = (await (await fetch('setup.json')).json()) as PageSetup;
  return {
    setup,
    async read(index, from) {
      const response = await fetch(`trace/${index}?from=${from}&most=${PIECE}`);
      if (!response.ok) throw new Error((await response.text()).trim());
      const bytes = new Uint8Array(await response.arrayBuffer());
      return { bytes, size: Number(response.headers.get('x-size')) };
    },
    report: async () => 'report.html',
  };
}

function embeddedSource(setup: PageSetup): Source {
  const cache = new Map<string, Promise<Uint8Array>>();
  const block = (id: string) => {
    const known = cache.get(id) ?? unpack(document.getElementById(id)?.textContent ?? '');
    cache.set(id, known);
    return known;
  };
  return {
    setup,
    async read(index, from) {
      const bytes = await block(`trace-${index}`);
      return { bytes: bytes.subarray(from), size: bytes.length };
    },
    async report() {
      const bytes = await block('report');
      return URL.createObjectURL(new Blob([bytes as Uint8Array<ArrayBuffer>], { type: 'text/html' }));
    },
  };
}

/** Base64 of gzip. */
async function unpack(text: string): Promise<Uint8Array> {
  const packed = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream('gzip'));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}
