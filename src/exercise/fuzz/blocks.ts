/** Blocks of the model of the driver that run, as V8 counts them: what stands for its branches. */

import { Session } from 'node:inspector';
import type { Driver } from '../../driver/driver.ts';
import { CoverageRecorder } from '../coverage/recorder.ts';
import type { Probe } from './course.ts';

/** Sources whose blocks count. */
const MODEL = /\/src\/(driver\/model\/.*)\.ts$/;

interface Coverage {
  readonly result: readonly {
    readonly url: string;
    readonly functions: readonly {
      readonly ranges: readonly { readonly startOffset: number; readonly endOffset: number; readonly count: number }[];
    }[];
  }[];
}

/** Points of the interface that calls reach, and blocks of the model. Counts what runs in this thread from now on. */
export class BlockProbe implements Probe, Disposable {
  readonly title = 'points of the interface and blocks of the model';
  /** What sequences are to call. */
  readonly driver: Driver;
  readonly #points: CoverageRecorder;
  readonly #session = new Session();

  constructor(driver: Driver) {
    this.#points = new CoverageRecorder(driver);
    this.driver = this.#points.driver;
    this.#session.connect();
    this.#session.post('Profiler.enable');
    this.#session.post('Profiler.startPreciseCoverage', { callCount: true, detailed: true });
  }

  begin(): void {
    this.#points.begin();
    this.#take();
  }

  end(): readonly string[] {
    const features: string[] = this.#points.points().map((point) => `point ${point}`);
    for (const { url, functions } of this.#take().result) {
      const file = MODEL.exec(url)?.[1];
      if (file === undefined) continue;
      for (const { ranges } of functions)
        for (const { startOffset, endOffset, count } of ranges)
          if (count > 0) features.push(`block ${file} ${startOffset}-${endOffset}`);
    }
    return features;
  }

  [Symbol.dispose](): void {
    this.#session.disconnect();
  }

  /** What ran since the last call. */
  #take(): Coverage {
    let coverage: Coverage = { result: [] };
    // in one's own thread the answer comes at once
    this.#session.post('Profiler.takePreciseCoverage', (error, result) => {
      if (error) throw error;
      coverage = result as Coverage;
    });
    return coverage;
  }
}
