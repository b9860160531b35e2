/**
 * Makes docs/pictures of runs of today: `node scripts/pictures.ts`. Runs the default selection on modelled cards and a kernel, looks
 * at their traces in the browser of the tests, and takes pictures of the views.
 */

import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { Page } from 'playwright-core';
import { serveView } from '../src/view/server.ts';
import { launchBrowser } from '../test/view/browser.ts';

const root = path.join(import.meta.dirname, '..');
const target = path.join(root, 'docs', 'pictures');
const folder = mkdtempSync(path.join(tmpdir(), 'sagrada-pictures-'));
const [run, kernel, report, results] = ['run.pftrace', 'kernel.pftrace', 'report.html', 'results.sqlite'].map((name) =>
  path.join(folder, name),
) as [string, string, string, string];

function sagrada(...args: string[]): void {
  const { status, stderr } = spawnSync(process.execPath, [path.join(root, 'bin', 'sagrada.js'), ...args], {
    cwd: root,
    encoding: 'utf8',
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  if (status !== 0) throw new Error(`sagrada ${args.join(' ')}: ${stderr}`);
}

/** Opens a trace and has `body` take pictures of it. */
async function look(file: string, body: (page: Page, picture: (name: string) => Promise<void>) => Promise<void>) {
  const served = await serveView({ files: [file], report: () => readFileSync(report, 'utf8') });
  const browser = await launchBrowser();
  try {
    const page = await browser.newPage({ viewport: { width: 1280, height: 680 }, colorScheme: 'light' });
    await page.goto(served.url);
    await page.getByText(/events, /).waitFor();
    await body(page, async (name) => {
      // pictures are drawn in the next frames
      await page.waitForTimeout(400);
      const to = path.join(target, `${name}.png`);
      await page.screenshot({ path: to });
      console.log(`docs/pictures/${name}.png  ${(statSync(to).size / 1024).toFixed(0)} KiB`);
    });
  } finally {
    await browser.close();
    await served.close();
  }
}

mkdirSync(target, { recursive: true });
try {
  sagrada('exercise', '--results', results, '--trace', run);
  sagrada('report', '--results', results, '--format', 'html', '--output', report);
  sagrada('run', '--trace', kernel, 'examples/tpc-kernel.ts');

  await look(run, async (page, picture) => {
    const view = (name: string) => page.getByRole('tab', { name }).click();
    await picture('timeline');
    await view('Topology');
    await picture('topology-p2p');
    await view('Memory');
    await picture('memory');
    await view('Coverage');
    await picture('coverage');
    await view('Timeline');
    await page.getByLabel('Machine').selectOption('dma');
    await page.getByRole('searchbox').fill('ioctl hl_cs');
    for (let n = 0; n < 3; n++) await page.getByRole('button', { name: 'Next' }).click();
    await page.getByRole('searchbox').fill('');
    await page.getByRole('application').focus();
    await picture('submission');
  });
  await look(kernel, async (page, picture) => {
    await page.getByRole('tab', { name: 'TPC program' }).click();
    await page.getByLabel('Step').fill('40');
    await picture('tpc-program');
  });
} finally {
  rmSync(folder, { recursive: true });
}
