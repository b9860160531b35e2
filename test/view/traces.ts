/** Traces for the tests of the viewer. */

import { gaudiQman } from '../../specs/gaudi-qman.ts';
import { createTraceFile, TraceFile } from '../../src/trace/file.ts';
import { TraceRecorder } from '../../src/trace/recorder.ts';

const transfer = { tsize: 0x1000, src: 0x2000_0000n, dst: 0x3000_0000n } as const;
const LIN_DMA = gaudiQman.encode('LIN_DMA', transfer);

/** A name as somebody would choose it who wants to run a script in the viewer. */
export const HOSTILE = 'dma: <img src=x onerror="document.title=1"> </script><script>document.title=1</script>';

/** @param rounds each of a submission, a buffer with a packet, a change of a sync object and two transfers */
export function writeTrace(path: string, rounds: number): void {
  createTraceFile(path);
  extendTrace(path, rounds, 1);
}

/** A machine on which nothing has happened but a line of its log. */
export function writeEmptyMachine(path: string): void {
  createTraceFile(path);
  using sink = new TraceFile(path);
  const recorder = new TraceRecorder({ sink, sequence: 1, root: 'machine 1', now: () => 0 });
  recorder.track().instant('machine', 'gaudi', { clock: 'virtual', target: 'model', seed: 1 });
  recorder.track('driver', 'log').instant('log', undefined, { level: 6, text: 'nothing else' });
  recorder.close();
}

/** Adds another machine to a trace, as a thread of a run does. */
export function extendTrace(path: string, rounds: number, sequence: number): void {
  using sink = new TraceFile(path);
  let time = 0;
  const recorder = new TraceRecorder({ sink, sequence, root: `machine ${sequence}`, now: () => time });
  recorder.track().instant('machine', 'gaudi-x2', { clock: 'virtual', target: 'model', seed: 1 });
  const [driver, stream] = [recorder.track('driver'), recorder.track('gaudi0', 'DMA0_QM', 'CP0')];
  const [sync, bus] = [recorder.track('gaudi0', 'SYNC_MNGR_E_N'), recorder.track('gaudi0', 'PCIe')];
  const tests = recorder.track('tests');
  tests.begin('test', HOSTILE, {});
  driver.instant('memory', 'allocate', {
    space: 'device',
    address: 0x2000_0000,
    size: 65536,
    owner: 'gaudi0',
    handle: 7n,
  });
  driver.instant('memory', 'export', { space: 'device', address: 0x2000_0000, size: 4096, owner: 'gaudi0' });
  for (let round = 0; round < rounds; round++) {
    const flow = recorder.flow();
    driver.instant('submission', undefined, { entry: round, queue: 'DMA_0_0', address: 0x1000, size: 24 }, flow);
    time += 100;
    stream.begin('buffer', undefined, { address: 0x1000, size: 24, control: 0 }, flow);
    time += 10;
    stream.begin(
      'packet',
      'LIN_DMA',
      { address: 0x1000, words: new Uint8Array(LIN_DMA.buffer, LIN_DMA.byteOffset, LIN_DMA.byteLength) },
      flow,
    );
    time += 400;
    bus.instant('bus', 'host', {
      from: 'gaudi0',
      to: 'host',
      access: 'read',
      address: 0x1000,
      bytes: 4096,
      peer: false,
    });
    bus.instant('bus', 'switch', {
      from: 'gaudi0',
      to: 'gaudi1',
      access: 'write',
      address: 0,
      bytes: 8192,
      peer: true,
    });
    stream.end('packet');
    stream.end('buffer');
    sync.instant('sync_object', 'SOB', { object: 12, value: round + 1, before: round }, flow);
    time += 50;
  }
  tests.end('test', { outcome: 'passed' });
  recorder.close();
}
