/**
 * The viewer's page with a million events: seconds until they are seen, and milliseconds between two pictures while it is zoomed and
 * moved. Only where the browser of the tests is in the cache: nothing is fetched for a benchmark.
 */

import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import process from 'node:process';
import { cacheFolder } from '../src/os/cache.ts';
import { createTraceFile, TraceFile } from '../src/trace/file.ts';
import { TraceReader } from '../src/trace/reader.ts';
import { TraceRecorder } from '../src/trace/recorder.ts';
import { serveView } from '../src/view/server.ts';
import { launchBrowser } from '../test/view/browser.ts';
import { contest, line, round } from './lib/measure.ts';

const brief = process.argv.includes('--brief');
const EVENTS = brief ? 200_000 : 1_000_000;
const FRAMES = brief ? 40 : 200;
/** What a screen shows of in a second. */
const SCREEN_MS = 1000 / 60;
const ENGINES = 24;
const STREAMS = 4;

if (existsSync(path.join(cacheFolder(), 'browser'))) await measure();
else line({ bench: 'view', what: 'not measured: the browser is not in the cache, "npm test" fetches it' });

async function measure(): Promise<void> {
  const folder = mkdtempSync(path.join(tmpdir(), 'sagrada-bench-'));
  const file = path.join(folder, 'million.pftrace');
  write(file);
  const served = await serveView({ files: [file] });
  const browser = await launchBrowser();
  try {
    const bytes = new Uint8Array(readFileSync(file));
    const [reading = 0] = await contest([() => new TraceReader().append(bytes)], { rounds: brief ? 1 : 3, span: 100 });
    const page = await browser.newPage({ viewport: { width: 1366, height: 768 } });
    const began = performance.now();
    await page.goto(served.url);
    await page.getByText(`${EVENTS.toLocaleString('en')} events`).waitFor({ timeout: 120_000 });
    const seconds = (performance.now() - began) / 1000;
    line({
      bench: 'view-load',
      what: `the page until it shows ${EVENTS} events, to reading them into columns`,
      seconds: round(seconds, 2),
      ratio: round(seconds / reading, 2),
    });
    await page.getByRole('button', { name: 'Unfold' }).click();
    const times: number[] = await page.evaluate(framesScript(FRAMES));
    times.sort((a, b) => a - b);
    const median = times[times.length >> 1] ?? 0;
    line({
      bench: 'view-frames',
      what: 'between two pictures while it is zoomed and moved, to a sixtieth of a second',
      medianMs: round(median, 1),
      p95Ms: round(times[Math.floor(times.length * 0.95)] ?? 0, 1),
      worstMs: round(times.at(-1) ?? 0, 1),
      ratio: round(median / SCREEN_MS, 2),
    });
  } finally {
    await browser.close();
    await served.close();
    rmSync(folder, { recursive: true });
  }
}

/** As a busy card: engines with streams of buffers, and packets and messages in them. */
function write(file: string): void {
  createTraceFile(file);
  using sink = new TraceFile(file);
  let time = 0;
  const recorder = new TraceRecorder({ sink, sequence: 1, root: 'bench', now: () => time });
  const tracks = Array.from({ length: ENGINES * STREAMS }, (_, n) => {
    const [engine, stream] = [`DMA${n >> 2}_QM`, n % STREAMS];
    return [
      recorder.track('gaudi0', engine, `CP${stream}`),
      recorder.track('gaudi0', engine, `CP${stream} messages`),
    ] as const;
  });
  const words = new Uint8Array(16);
  for (let told = 0; told < EVENTS; told += 4) {
    const [packets, messages] = tracks[(told * 7) % tracks.length] ?? [];
    time += 20;
    packets?.begin('buffer', undefined, { address: 0x1000, size: 32, control: 0 }, recorder.flow());
    for (let n = 0; n < 2; n++) {
      packets?.begin('packet', n === 0 ? 'LIN_DMA' : 'MSG_LONG', { address: 0x1000 + n * 16, words });
      time += 50 + (told % 97);
      packets?.end('packet');
    }
    messages?.instant('message', 'host', { address: 0x80_0000_0000, value: told });
    packets?.end('buffer');
  }
  recorder.close();
}

/** Zooms in, moves, and zooms out again, a step for each picture. */
function framesScript(frames: number): string {
  return `(async () => {
    const timeline = document.querySelector('[role=application]');
    const next = () => new Promise((resolve) => requestAnimationFrame(resolve));
    const keys = ['+', '+', '+', 'd', 'd', 'ArrowDown', '+', 'a', '-', '-', '-', '-', 'd', 'ArrowUp'];
    const times = [];
    let last = await next();
    for (let n = 0; n < ${frames}; n++) {
      timeline.dispatchEvent(new KeyboardEvent('keydown', { key: keys[n % keys.length], bubbles: true }));
      const now = await next();
      times.push(now - last);
      last = now;
    }
    return times;
  })()`;
}
