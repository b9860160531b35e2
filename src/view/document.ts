/** The viewer's HTML: as a page that loads its parts from the server, and as one file with everything in it. */

import { gzipSync } from 'node:zlib';
import type { PageFiles } from './bundle.ts';
import type { PageSetup } from './page-setup.ts';

const HEAD =
  '<meta charset="utf-8"><meta name="viewport" content="width=device-width"><meta name="color-scheme" content="light dark">';

/** The document that the server sends. */
export function servedDocument(): string {
  return `<!DOCTYPE html>
<html lang="en"><head>${HEAD}<title>Sagrada</title><link rel="stylesheet" href="style.css"></head>
<body><div id="root"></div><script src="page.js"></script></body></html>
`;
}

/**
 * The same page with the traces in it, for a bug report: no server, no network.
 * @param traces the files' contents.
 * @param report a whole HTML document, where there is one.
 */
export function exportedDocument(
  files: PageFiles,
  setup: PageSetup,
  traces: readonly Uint8Array[],
  report: string | undefined,
): string {
  const data = traces.map((bytes, index) => block(`trace-${index}`, gzipSync(bytes)));
  if (report !== undefined) data.push(block('report', gzipSync(report)));
  return `<!DOCTYPE html>
<html lang="en"><head>${HEAD}<meta http-equiv="Content-Security-Policy" content="${exportedPolicy}"><title>Sagrada</title><style>${files.style}</style></head>
<body><div id="root"></div><script type="application/json" id="setup">${inScript(JSON.stringify(setup))}</script>
${data.join('\n')}
<script>${inScript(files.script)}</script></body></html>
`;
}

/** What an exported page may do: nothing that reaches outside of it. */
const exportedPolicy =
  "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:; frame-src blob:";

function block(id: string, bytes: Uint8Array): string {
  return `<script type="application/octet-stream" id="${id}">${Buffer.from(bytes).toString('base64')}</script>`;
}

/** Text that cannot end the script element that it is in. */
function inScript(text: string): string {
  return text.replaceAll('</', '<\\/').replaceAll('<!--', '<\\!--');
}
