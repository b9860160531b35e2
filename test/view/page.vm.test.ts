/** The viewer's page in a browser: every view, the keyboard, files that grow, files that are broken, and the page as one file. */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { pathToFileURL } from 'node:url';
import type { Browser, Page } from 'playwright-core';
import { pageFiles } from '../../src/view/bundle.ts';
import { exportedDocument } from '../../src/view/document.ts';
import { serveView } from '../../src/view/server.ts';
import { launchBrowser } from './browser.ts';
import { extendTrace, HOSTILE, writeEmptyMachine, writeTrace } from './traces.ts';

/** Where pictures of the views go, for a person to look at. */
const pictures = process.env.SAGRADA_PICTURES;
const root = path.join(import.meta.dirname, '..', '..');
/** Milliseconds after which what should be seen is missing. */
const PATIENCE = 20_000;

describe('the page of the viewer', () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'sagrada-page-'));
  const small = path.join(folder, 'small.pftrace');
  const steps = path.join(folder, 'steps.pftrace');
  const launches = path.join(folder, 'launches.pftrace');
  let browser: Browser;

  before(async () => {
    browser = await launchBrowser();
    writeTrace(small, 50);
    const kernel = ['kernels/relu.tpc', '--in', 'x=f32[100]:ramp', '--out', 'y', '--trace', steps];
    const made = spawnSync(process.execPath, ['bin/sagrada.js', 'tpc', 'run', ...kernel], {
      cwd: root,
      encoding: 'utf8',
    });
    assert.equal(made.status, 0, made.stderr);
    const ran = spawnSync(process.execPath, ['bin/sagrada.js', 'run', '--trace', launches, 'examples/tpc-kernel.ts'], {
      cwd: root,
      encoding: 'utf8',
    });
    assert.equal(ran.status, 0, ran.stderr);
  });
  after(async () => {
    await browser?.close();
    rmSync(folder, { recursive: true });
  });

  /** Opens an address; whatever the page complains of fails the test. */
  async function withPage(url: string, body: (page: Page, complaints: string[]) => Promise<void>): Promise<void> {
    const page = await browser.newPage({ viewport: { width: 1366, height: 768 } });
    page.setDefaultTimeout(PATIENCE);
    const complaints: string[] = [];
    page.on('console', (message) => message.type() === 'error' && complaints.push(message.text()));
    page.on('pageerror', (error) => complaints.push(error.message));
    try {
      await page.goto(url);
      await body(page, complaints);
      assert.deepEqual(complaints, []);
    } finally {
      await page.close();
    }
  }

  async function view(
    files: readonly string[],
    body: (page: Page) => Promise<void>,
    report?: () => string,
  ): Promise<void> {
    const served = await serveView({ files, report });
    try {
      await withPage(served.url, body);
    } finally {
      await served.close();
    }
  }

  async function picture(page: Page, name: string): Promise<void> {
    if (pictures === undefined) return;
    mkdirSync(pictures, { recursive: true });
    for (const colorScheme of ['light', 'dark'] as const) {
      await page.emulateMedia({ colorScheme });
      await page.waitForTimeout(200);
      await page.screenshot({ path: path.join(pictures, `${name}-${colorScheme}.png`) });
    }
  }

  const details = (page: Page) => page.getByRole('complementary', { name: 'Selected event' });

  it('counts the events, and finds them by name and field; one is told whole, with what led to it', () =>
    view([small], async (page) => {
      await page.getByText('304 events').waitFor();
      const box = page.getByRole('searchbox');
      await box.fill('lin_dma');
      await page.getByText('50 found').waitFor();
      await box.fill('submission entry=7');
      await page.getByText('1 found').waitFor();
      await box.fill('nothing of that name');
      await page.getByText('0 found').waitFor();
      await box.fill('lin_dma');
      await page.getByRole('button', { name: 'Next' }).click();
      const text = await details(page).innerText();
      assert.match(text, /LIN_DMA/);
      assert.match(text, /for\s+400 ns/);
      const disassembled = await details(page).locator('pre').innerText();
      assert.match(disassembled, /^lin_dma \[0x30000000\], \[0x20000000\], 4096/);
      await picture(page, 'timeline');
      await details(page).getByRole('button', { name: 'submission' }).click();
      assert.match(await details(page).innerText(), /entry\s+0/);
    }));

  it('is worked by keys alone', () =>
    view([small], async (page) => {
      await page.getByText('304 events').waitFor();
      await page.getByRole('application').focus();
      await page.keyboard.press('.');
      const first = await details(page).innerText();
      await page.keyboard.press('+');
      await page.keyboard.press('d');
      await page.keyboard.press('f');
      await page.keyboard.press('Escape');
      await details(page).waitFor({ state: 'detached' });
      await page.keyboard.press('.');
      assert.notEqual(first, '');
      await page.keyboard.press('/');
      await page.keyboard.type('buffer');
      await page.getByText('50 found').waitFor();
      await page.getByRole('tab', { name: 'Timeline' }).focus();
      await page.keyboard.press('ArrowRight');
      assert.equal(await page.getByRole('tab', { name: 'Topology' }).getAttribute('aria-selected'), 'true');
      await page.getByRole('img', { name: /Devices/ }).waitFor();
    }));

  it('measures between two events', () =>
    view([small], async (page) => {
      await page.getByText('304 events').waitFor();
      const button = page.getByRole('button', { name: 'Measure' });
      await button.click();
      assert.equal(await button.getAttribute('aria-pressed'), 'true');
      const box = await page.getByRole('application').boundingBox();
      assert.ok(box);
      await page.mouse.move(box.x + 100, box.y + 200);
      await page.mouse.down();
      await page.mouse.move(box.x + 300, box.y + 200, { steps: 4 });
      await page.mouse.up();
      await picture(page, 'measure');
    }));

  it('shows that what went from card to card was not in the memory of the host', () =>
    view([small], async (page) => {
      await page.getByRole('tab', { name: 'Topology' }).click();
      await page.getByText('went from device to device').waitFor();
      const text = await page.getByRole('tabpanel').innerText();
      assert.match(
        text,
        /400 KiB went from device to device, past the host's memory\.\s+200 KiB went to or from the host/,
      );
      assert.match(text, /gaudi0\s+gaudi1\s+400 KiB\s+50/);
      assert.match(text, /host\s+gaudi0\s+200 KiB\s+50/);
      await picture(page, 'topology');
    }));

  it('shows what lies in memory, and what of it is exported', () =>
    view([small], async (page) => {
      await page.getByRole('tab', { name: 'Memory' }).click();
      await page.getByText('gaudi0 HBM').waitFor();
      assert.match(
        await page.getByRole('tabpanel').innerText(),
        /0x20000000\s+64 KiB\s+allocate[\s\S]*0x20000000\s+4 KiB\s+export/,
      );
      await picture(page, 'memory');
    }));

  it('shows the values of sync objects', () =>
    view([small], async (page) => {
      await page.getByRole('tab', { name: 'Sync objects' }).click();
      await page.getByText('SOB 12').waitFor();
      await picture(page, 'sync');
      await page.getByRole('button', { name: /^50 at/ }).click();
      assert.match(await details(page).innerText(), /before\s+49/);
    }));

  it('goes through a kernel forwards and backwards', () =>
    view([steps], async (page) => {
      await page.getByRole('tab', { name: 'TPC program' }).click();
      const status = page.getByText(/^bundle \d+ of/);
      const marked = page.locator('[aria-current="true"]');
      await status.waitFor();
      const first = await marked.innerText();
      for (let n = 0; n < 3; n++) await page.getByRole('button', { name: 'Step' }).click();
      assert.match(await status.innerText(), /^bundle 4 of/);
      assert.notEqual(await marked.innerText(), first);
      await page.getByRole('button', { name: 'Back' }).click();
      await page.keyboard.press('Home');
      assert.equal(await marked.innerText(), first);
      await page.getByRole('button', { name: 'End' }).click();
      // the last vector of the ramp has elements 64 to 99
      assert.match(await page.getByRole('tabpanel').innerText(), /V\d+\s+64 65 66/);
      await picture(page, 'program');
    }));

  it('has the launches of a chip, and steps through the first of each program', () =>
    view([launches], async (page) => {
      await page.getByRole('tab', { name: 'TPC program' }).click();
      await page.getByText('bundle 1 of 91').waitFor();
      await page.getByRole('button', { name: 'End' }).click();
      await page.locator('[aria-current="true"]', { hasText: 'halt' }).waitFor();
      const loop = page.getByRole('row', { name: /loop 0, S1/ });
      assert.match(await loop.innerText(), /, L_\d/);
      await page.getByRole('button', { name: 'All launches' }).click();
      await page.getByText('follows a kernel to its end').waitFor();
      const rows = page.getByRole('row').filter({ hasText: 'halted' });
      // each of 16 cores is prepared by the driver, four run the program
      assert.equal(await rows.count(), 20);
      await page.getByRole('button', { name: 'Bundle by bundle' }).click();
      await picture(page, 'launches');
    }));

  it('says of a view that is empty on which machines it is not', async () => {
    const two = path.join(folder, 'two.pftrace');
    writeEmptyMachine(two);
    extendTrace(two, 3, 2);
    await view([two], async (page) => {
      for (const name of ['Topology', 'Memory', 'Sync objects']) {
        await page.getByLabel('Machine').selectOption('machine 1');
        await page.getByRole('tab', { name }).click();
        await page.getByText('There is something to see on').waitFor();
        await page.getByRole('tabpanel').getByRole('button', { name: 'machine 2' }).click();
        await page.getByText('There is something to see on').waitFor({ state: 'detached' });
      }
    });
  });

  it('has a packet tell what caused it, where the buffer that it is in knows', () =>
    view([launches], async (page) => {
      await page.getByRole('searchbox').fill('packet lin_dma');
      await page.getByRole('button', { name: 'Previous' }).click();
      const causes = details(page).locator('section', { hasText: 'Caused by' });
      await causes.getByRole('button', { name: 'DRM_IOCTL_HL_CS' }).waitFor();
    }));

  it('folds and unfolds groups', () =>
    view([launches], async (page) => {
      const queue = (expanded: boolean) => page.getByRole('button', { name: 'DMA0_QM', expanded });
      await queue(false).waitFor();
      await page.getByRole('button', { name: 'Unfold' }).click();
      await queue(true).waitFor();
      await page.getByRole('button', { name: 'Fold' }).click();
      await queue(true).waitFor({ state: 'detached' });
      await page.getByRole('button', { name: 'gaudi0' }).click();
      await queue(false).waitFor();
    }));

  it('compares two traces', () =>
    view([small, steps], async (page) => {
      await page.getByRole('tab', { name: 'Compare' }).click();
      const rows = page.getByRole('tabpanel');
      await rows.getByText('packet: LIN_DMA').waitFor();
      assert.match(await rows.innerText(), /packet: LIN_DMA\s+50\s+0/);
      await picture(page, 'compare');
    }));

  it('shows the report of what was exercised', () =>
    view(
      [small],
      async (page) => {
        await page.getByRole('tab', { name: 'Coverage' }).click();
        await page.frameLocator('iframe').getByRole('heading', { name: 'what was exercised' }).waitFor();
      },
      () => '<!DOCTYPE html><html lang="en"><title>r</title><h1>what was exercised</h1></html>',
    ));

  it('shows the report alone where there is no trace', () =>
    view(
      [],
      (page) => page.frameLocator('iframe').getByRole('heading', { name: 'what was exercised' }).waitFor(),
      () => '<!DOCTYPE html><html lang="en"><title>r</title><h1>what was exercised</h1></html>',
    ));

  it('follows a trace that is still being written', async () => {
    const growing = path.join(folder, 'growing.pftrace');
    writeTrace(growing, 10);
    await view([growing], async (page) => {
      await page.getByText('64 events').waitFor();
      extendTrace(growing, 10, 2);
      await page.getByLabel('Machine').selectOption('all');
      await page.getByText('128 events').waitFor();
      // another run has begun the file anew
      writeTrace(growing, 5);
      await page.getByText('34 events').waitFor();
    });
  });

  it('takes names for text', () =>
    view([small], async (page) => {
      await page.getByRole('searchbox').fill('onerror');
      await page.getByRole('button', { name: 'Next' }).click();
      assert.ok((await details(page).innerText()).includes(HOSTILE));
      assert.equal(await page.locator('img').count(), 0);
      assert.equal(await page.title(), 'Sagrada');
    }));

  it('shows of a broken file what is whole, and says what is not', async () => {
    const whole = readFileSync(small);
    const cut = path.join(folder, 'cut.pftrace');
    writeFileSync(cut, whole.subarray(0, whole.length - 7));
    await view([cut], async (page) => {
      await page.getByText(/ends within the packet/).waitFor();
      await page.getByText(/3\d\d events/).waitFor();
    });
    const noise = path.join(folder, 'noise.pftrace');
    writeFileSync(noise, 'this is no trace');
    await view([noise], async (page) => {
      await page.getByText(/no trace/).waitFor();
      await page.getByText('0 events').waitFor();
    });
    writeFileSync(noise, '');
    await view([noise], (page) => page.getByText('0 events').waitFor());
  });

  it('says so when the server has ended', async () => {
    const served = await serveView({ files: [small] });
    await withPage(served.url, async (page, complaints) => {
      await page.getByText('304 events').waitFor();
      await served.close();
      await page.getByText(/No more can be read/).waitFor();
      await page.getByText('304 events').waitFor();
      complaints.length = 0;
    });
  });

  it('is the same as one file, which asks for nothing', async () => {
    const files = await pageFiles();
    const setup = { traces: [{ title: 'small </script> & <b>', size: 0 }], live: false, report: true };
    const target = path.join(folder, 'exported.html');
    writeFileSync(target, exportedDocument(files, setup, [readFileSync(small)], '<h1>what was exercised</h1>'));
    const asked: string[] = [];
    await withPage('about:blank', async (page) => {
      page.on('request', (request) => asked.push(request.url()));
      await page.goto(pathToFileURL(target).href);
      await page.getByText('304 events').waitFor();
      await page.getByText('small </script> & <b>').waitFor();
      await page.getByRole('tab', { name: 'Topology' }).click();
      await page.getByText('400 KiB').first().waitFor();
      await page.getByRole('tab', { name: 'Coverage' }).click();
      await page.frameLocator('iframe').getByRole('heading', { name: 'what was exercised' }).waitFor();
    });
    assert.deepEqual(
      asked.filter((url) => !url.startsWith('file:') && !url.startsWith('blob:')),
      [],
    );
  });
});
