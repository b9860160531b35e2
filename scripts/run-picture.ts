/**
 * Makes docs/run.svg of what `npx sagrada exercise` prints, read from standard input:
 * `npx sagrada exercise | node scripts/run-picture.ts > docs/run.svg`.
 */

import { text } from 'node:stream/consumers';

const ROW = 20;
const COLUMN = 8.43;
const MARGIN = 16;

/** The two colours are those of passed and failed tests in the terminal. */
const MARKS: Readonly<Record<string, string>> = { '✓': '#7ee787', '✗': '#ff7b72' };

function escaped(line: string): string {
  return line.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}

function styled(line: string): string {
  const suite = /^([✓✗])( \S+ +\d+\/\d+ \S+)( .*)$/.exec(line);
  if (suite) {
    const [, mark = '', result = '', rest = ''] = suite;
    return `<tspan fill="${MARKS[mark]}">${mark}</tspan>${escaped(result)}<tspan opacity="0.6">${escaped(rest)}</tspan>`;
  }
  if (/^\d+ passed/.test(line)) return `<tspan font-weight="bold">${escaped(line)}</tspan>`;
  if (line.startsWith('left out') || line.startsWith('--all')) return `<tspan opacity="0.6">${escaped(line)}</tspan>`;
  return escaped(line);
}

const output = (await text(process.stdin)).trimEnd();
if (output === '') {
  console.error('nothing to make a picture of: pipe the output of `npx sagrada exercise` into this');
  process.exit(2);
}
const lines = ['$ npx sagrada exercise', ...output.split('\n')];
const width = Math.ceil(Math.max(...lines.map((line) => line.length)) * COLUMN) + 2 * MARGIN;
const rows = lines.map((line, row) => {
  const shown = row === 0 ? `<tspan font-weight="bold">${line}</tspan>` : styled(line);
  return `<text x="${MARGIN}" y="${MARGIN + ROW * (row + 0.7)}">${shown}</text>`;
});
const summary = lines.find((line) => /^\d+ passed/.test(line)) ?? 'the run did not end';
console.log(`<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${lines.length * ROW + 2 * MARGIN}" role="img" aria-label="Terminal: npx sagrada exercise. ${escaped(summary)}.">
<rect width="100%" height="100%" rx="8" fill="#16181d"/>
<g font-family="ui-monospace,SFMono-Regular,Menlo,Consolas,monospace" font-size="14" fill="#d7dae0" xml:space="preserve">
${rows.join('\n')}
</g>
</svg>`);
