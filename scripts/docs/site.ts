/** Puts the site together: which pages there are, where their links go, and whether there is something. */

import { copyFileSync, globSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { escaped, type Page, type Rendered, relative, render, target } from './page.ts';
import { referencePages } from './reference.ts';
import { document, type Section } from './template.ts';

interface Chapter {
  readonly title: string;
  readonly pages: readonly string[];
}

/** In the order in which a person wants them. */
const chapters: readonly Chapter[] = [
  {
    title: 'Start',
    pages: [
      'README.md',
      'docs/start.md',
      'docs/test-a-change.md',
      'docs/tpc.md',
      'docs/p2p.md',
      'docs/view.md',
      'docs/2021.md',
    ],
  },
  {
    title: 'Guides',
    pages: [
      'docs/guests.md',
      'docs/faults.md',
      'docs/fuzzing.md',
      'docs/trace.md',
      'docs/report.md',
      'docs/coverage.md',
      'docs/ci.md',
      'docs/importer.md',
      'docs/tpc-assembly.md',
      'docs/add-a-device-model.md',
      'docs/add-an-accelerator.md',
    ],
  },
  {
    title: 'The project',
    pages: ['ARCHITECTURE.md', 'CONTRIBUTING.md', 'docs/mutants.md', 'docs/dependencies.md', 'CHANGELOG.md'],
  },
];
const FINDINGS = 'docs/findings';

interface Built {
  readonly pages: number;
  /** A line for each link that leads nowhere. */
  readonly problems: readonly string[];
}

export async function buildSite(root: string, folder: string): Promise<Built> {
  const reference = await referencePages();
  const findings = globSync(`${FINDINGS}/*.md`, { cwd: root }).sort();
  const there = globSync('docs/*.md', { cwd: root });
  const known = chapters.flatMap(({ pages }) => pages);
  const forgotten = there.filter((source) => !known.includes(source)).map((source) => `${source} is in no chapter`);
  const written = chapters.map(({ title, pages }) => ({ title, pages: pages.map((source) => pageOf(root, source)) }));
  const all = [
    ...written,
    { title: 'Findings', pages: findings.map((source) => pageOf(root, source)) },
    { title: 'Reference', pages: reference },
  ];
  const sections = all.map(({ title, pages }) => ({
    title,
    entries: pages.map((page) => ({ place: target(page.source), title: page.title })),
  }));
  rmSync(folder, { recursive: true, force: true });
  const site = new Site(root, folder, sections, new Set(all.flatMap(({ pages }) => pages.map(({ source }) => source))));
  for (const page of all.flatMap(({ pages }) => pages)) site.add(page);
  return { pages: site.count, problems: [...forgotten, ...site.problems()] };
}

function pageOf(root: string, source: string): Page {
  const markdown = readFileSync(path.join(root, source), 'utf8');
  return { source, title: /^# (.*)$/m.exec(markdown)?.[1]?.replaceAll('`', '') ?? source, markdown };
}

class Site {
  readonly #root: string;
  readonly #folder: string;
  readonly #sections: readonly Section[];
  readonly #sources: ReadonlySet<string>;
  readonly #rendered = new Map<string, Rendered>();
  readonly #files = new Set<string>();
  readonly #problems: string[] = [];

  constructor(root: string, folder: string, sections: readonly Section[], sources: ReadonlySet<string>) {
    this.#root = root;
    this.#folder = folder;
    this.#sections = sections;
    this.#sources = sources;
  }

  get count(): number {
    return this.#rendered.size;
  }

  add(page: Page): void {
    const place = target(page.source);
    const rendered = render(page, (link) => this.#address(page.source, link));
    this.#rendered.set(page.source, rendered);
    this.#write(place, document(place, page.title, rendered.body, this.#sections));
  }

  /** All that is wrong, once every page is there. */
  problems(): string[] {
    const wrong = [...this.#problems];
    for (const [source, { links }] of this.#rendered) {
      for (const link of links) {
        const { file, anchor } = this.#split(source, link);
        if (file === undefined || anchor === undefined) continue;
        const there = this.#rendered.get(file);
        if (there && !there.anchors.has(anchor)) wrong.push(`${source}: ${link}: ${file} has no such heading`);
      }
    }
    return wrong;
  }

  /** File of the repository that a link leads to; undefined: elsewhere. */
  #split(source: string, link: string): { file: string | undefined; anchor: string | undefined } {
    if (/^[a-z]+:/i.test(link)) return { file: undefined, anchor: undefined };
    const [address = '', anchor] = link.split('#', 2);
    const file = address === '' ? source : path.posix.join(path.posix.dirname(source), address);
    return { file: file.replace(/\/$/, ''), anchor };
  }

  #address(source: string, link: string): string | undefined {
    const { file, anchor } = this.#split(source, link);
    if (file === undefined) return undefined;
    const place = this.#place(source, file, link);
    if (place === undefined) return undefined;
    return `${relative(target(source), place)}${anchor === undefined ? '' : `#${anchor}`}`;
  }

  /** Where in the site a file of the repository is; it is put there if it is no page. */
  #place(source: string, file: string, link: string): string | undefined {
    if (this.#sources.has(file)) return target(file);
    if (this.#sources.has(`${file}/README.md`)) return target(`${file}/README.md`);
    const whole = path.join(this.#root, file);
    const stat = file.startsWith('..') ? undefined : statSync(whole, { throwIfNoEntry: false });
    if (!stat) {
      this.#problems.push(`${source}: ${link}: there is no ${file}`);
      return undefined;
    }
    if (/\.(svg|png)$/.test(file)) return this.#once(file, () => this.#copy(file));
    const place = stat.isDirectory() ? `${file}/index.html` : `${file}.html`;
    return this.#once(place, () =>
      this.#write(place, stat.isDirectory() ? this.#listing(place, file) : this.#listed(place, file)),
    );
  }

  #once(place: string, make: () => void): string {
    if (!this.#files.has(place)) {
      this.#files.add(place);
      make();
    }
    return place;
  }

  #copy(file: string): void {
    const to = path.join(this.#folder, file);
    mkdirSync(path.dirname(to), { recursive: true });
    copyFileSync(path.join(this.#root, file), to);
  }

  #listed(place: string, file: string): string {
    const text = readFileSync(path.join(this.#root, file), 'utf8');
    return document(place, file, `<h1>${escaped(file)}</h1><pre><code>${escaped(text)}</code></pre>`, this.#sections);
  }

  #listing(place: string, folder: string): string {
    const files = readdirSync(path.join(this.#root, folder), { withFileTypes: true }).filter((entry) => entry.isFile());
    const items = files.map(({ name }) => {
      const file = `${folder}/${name}`;
      const to = this.#sources.has(file)
        ? target(file)
        : this.#once(`${file}.html`, () => this.#write(`${file}.html`, this.#listed(`${file}.html`, file)));
      return `<li><a href="${relative(place, to)}">${escaped(name)}</a></li>`;
    });
    return document(place, folder, `<h1>${escaped(folder)}</h1><ul>${items.join('')}</ul>`, this.#sections);
  }

  #write(place: string, text: string): void {
    const file = path.join(this.#folder, place);
    mkdirSync(path.dirname(file), { recursive: true });
    writeFileSync(file, text);
  }
}
