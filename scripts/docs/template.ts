/** What is around every page: the list of all of them, and the style. */

import { escaped, relative } from './page.ts';

export interface Entry {
  readonly place: string;
  readonly title: string;
}

export interface Section {
  readonly title: string;
  readonly entries: readonly Entry[];
}

const STYLE = `
:root { color-scheme: light dark; font: 16px/1.55 system-ui, sans-serif; --line: light-dark(#dde0e5, #2d3139); --panel: light-dark(#f5f6f8, #1e2127); --accent: light-dark(#0b62d6, #6cb1ff); }
body { margin: 0; display: grid; grid-template-columns: 270px minmax(0, 1fr); background: light-dark(#fff, #16181d); color: light-dark(#1c1e22, #e3e6eb); }
nav { border-right: 1px solid var(--line); padding: 16px; height: 100vh; overflow: auto; position: sticky; top: 0; box-sizing: border-box; font-size: 14px; }
nav h2 { font-size: 13px; margin: 18px 0 4px; color: light-dark(#5c636e, #9aa2af); }
nav ul { list-style: none; margin: 0; padding: 0; }
nav a { display: block; padding: 2px 6px; border-radius: 4px; text-decoration: none; color: inherit; }
nav a[aria-current] { background: var(--panel); font-weight: 600; }
main { max-width: 960px; padding: 24px 40px 80px; overflow-wrap: anywhere; }
a { color: var(--accent); }
a:focus-visible { outline: 2px solid var(--accent); }
.anchor { text-decoration: none; opacity: 0; font-size: 0.8em; }
h1:hover .anchor, h2:hover .anchor, h3:hover .anchor, .anchor:focus { opacity: 0.6; }
pre { background: var(--panel); border: 1px solid var(--line); border-radius: 6px; padding: 10px 14px; overflow: auto; }
code { font: 0.88em ui-monospace, monospace; }
table { border-collapse: collapse; display: block; overflow: auto; overflow-wrap: normal; margin: 12px 0; }
th, td { border: 1px solid var(--line); padding: 4px 10px; text-align: left; vertical-align: top; }
img { max-width: 100%; }
.all { display: none; }
@media (max-width: 760px) { body { display: flex; flex-direction: column; } nav { order: 3; position: static; height: auto; border: 0; border-top: 1px solid var(--line); } main { padding: 16px; box-sizing: border-box; width: 100%; } .all { display: block; padding: 16px 16px 0; } }
`;

export function document(place: string, title: string, body: string, sections: readonly Section[]): string {
  const list = sections.map(
    (section) =>
      `<h2>${escaped(section.title)}</h2><ul>${section.entries.map((entry) => item(place, entry)).join('')}</ul>`,
  );
  return `<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>${escaped(title)} · Sagrada</title><style>${STYLE}</style></head>
<body><a class="all" href="#pages">All pages</a><nav id="pages" aria-label="Pages"><strong><a href="${relative(place, 'index.html')}">Sagrada</a></strong>${list.join('')}</nav>
<main>${body}</main></body></html>
`;
}

function item(place: string, entry: Entry): string {
  const here = entry.place === place ? ' aria-current="page"' : '';
  return `<li><a href="${relative(place, entry.place)}"${here}>${escaped(entry.title)}</a></li>`;
}
