/**
 * `npm run docs [-- FOLDER]`: the documentation as a site of plain HTML files, in `site/` unless told otherwise: the pages of the
 * repository, and the reference that the rows give. Ends with an error for a link that leads nowhere.
 */

import { globSync } from 'node:fs';
import path from 'node:path';
import process from 'node:process';
import { buildSite } from './site.ts';

const root = path.join(import.meta.dirname, '..', '..');
const folder = path.resolve(process.argv[2] ?? path.join(root, 'site'));

const { pages, problems } = await buildSite(root, folder);
for (const problem of problems) console.error(problem);
console.log(
  `${pages} pages in ${path.relative(process.cwd(), folder) || '.'}/index.html, ${problems.length} links that lead nowhere`,
);
if (globSync('index.html', { cwd: folder }).length === 0 || problems.length > 0) process.exitCode = 1;
