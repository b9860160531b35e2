import type { Suite } from '../suite.ts';
import { attributes } from './attributes.ts';
import { binding } from './binding.ts';
import { cb } from './cb.ts';
import { debug } from './debug.ts';
import { debugfs } from './debugfs.ts';
import { dma } from './dma.ts';
import { dmabuf } from './dmabuf.ts';
import { errors } from './errors.ts';
import { faults } from './faults.ts';
import { hwmon } from './hwmon.ts';
import { info } from './info.ts';
import { interfaces } from './interface.ts';
import { lifetimes } from './lifetimes.ts';
import { limits } from './limits.ts';
import { memory } from './memory.ts';
import { p2p } from './p2p.ts';
import { queues } from './queues.ts';
import { records } from './records.ts';
import { reset } from './reset.ts';
import { shortage } from './shortage.ts';
import { sync } from './sync.ts';
import { threads } from './threads.ts';
import { tpc } from './tpc.ts';

/** What is run only where it is named. */
export const namedSuites: readonly Suite[] = [shortage];

/** All other suites, in the order in which they run. */
export const suites: readonly Suite[] = [
  info,
  attributes,
  hwmon,
  memory,
  cb,
  dma,
  sync,
  queues,
  tpc,
  dmabuf,
  p2p,
  debug,
  debugfs,
  limits,
  errors,
  threads,
  lifetimes,
  records,
  interfaces,
  reset,
  binding,
  faults,
];
