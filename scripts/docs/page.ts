/** A page of the site: Markdown in, HTML out, with the ids of its headings and where it links to. */

import path from 'node:path';
import { Marked } from 'marked';

export interface Page {
  /** Place in the repository, or for what is generated the place it would have, e.g. `docs/tpc.md`. */
  readonly source: string;
  readonly title: string;
  readonly markdown: string;
}

export interface Rendered {
  readonly body: string;
  /** Ids of headings. */
  readonly anchors: ReadonlySet<string>;
  /** Addresses as they were written. */
  readonly links: readonly string[];
}

/** Where a page is in the site, with `/` between folders. */
export function target(source: string): string {
  return source === 'README.md' ? 'index.html' : source.replace(/\.md$/, '.html');
}

/**
 * @param resolve address of the site for an address of the repository, both seen from the page; undefined: leave it
 */
export function render(page: Page, resolve: (link: string) => string | undefined): Rendered {
  const anchors = new Set<string>();
  const links: string[] = [];
  const marked = new Marked({
    gfm: true,
    renderer: {
      heading({ tokens, depth }) {
        const text = this.parser.parseInline(tokens);
        const id = unique(slug(text.replaceAll(/<[^>]+>/g, '')), anchors);
        return `<h${depth} id="${id}">${text} <a class="anchor" href="#${id}" aria-label="link to this section">#</a></h${depth}>\n`;
      },
      link({ href, tokens }) {
        links.push(href);
        return `<a href="${escaped(resolve(href) ?? href)}">${this.parser.parseInline(tokens)}</a>`;
      },
      image({ href, text }) {
        links.push(href);
        return `<img src="${escaped(resolve(href) ?? href)}" alt="${escaped(text)}">`;
      },
      // Our pages are Markdown; what looks like HTML in them is the text of an example.
      html: ({ text }) => escaped(text),
    },
  });
  return { body: marked.parse(page.markdown, { async: false }), anchors, links };
}

/** As the places where people read Markdown make them, so that links work there and here. */
function slug(text: string): string {
  return text
    .toLowerCase()
    .replaceAll(/&\w+;/g, '')
    .replaceAll(/[^\p{L}\p{N}\s_-]/gu, '')
    .trim()
    .replaceAll(/\s/g, '-');
}

function unique(id: string, taken: Set<string>): string {
  let name = id;
  for (let n = 1; taken.has(name); n++) name = `${id}-${n}`;
  taken.add(name);
  return name;
}

export function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');
}

/** Address of `to` as `from` has to write it; both are places in the site. */
export function relative(from: string, to: string): string {
  const address = path.posix.relative(path.posix.dirname(from), to);
  return address === '' ? path.posix.basename(to) : address;
}
