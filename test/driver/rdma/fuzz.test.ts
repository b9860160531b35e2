/** Any bytes in any call of the verbs interface: an errno or success, and nothing is left when the file is closed. */

import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import fc from 'fast-check';
import { O_RDWR, SystemError } from '../../../src/driver/driver.ts';
import { seed } from '../../seed.ts';
import { hostileCall } from './calls.ts';
import { machineWith, RawVerbs } from './raw.ts';

const PAGE = 4096;

describe('hostile calls', () => {
  const machine = machineWith('gaudi-efa');
  const { driver, nic } = machine;
  const nothing = { ...nic.objects() };
  after(() => machine[Symbol.dispose]());

  const memory = driver.allocate(8 * PAGE);
  /** What has some objects, so that handles are found. */
  const made = (verbs: RawVerbs) => {
    const pd = verbs.pd();
    const cq = verbs.cq();
    verbs.qp(pd, cq.handle);
    verbs.mr(pd, memory.address, PAGE);
    verbs.channel();
  };

  test('an argument of any bytes, and calls of any attributes, end with an errno or are done', () => {
    const call = hostileCall(memory.address, memory.bytes.length);
    let done = 0;
    fc.assert(
      fc.property(fc.array(call, { minLength: 15, maxLength: 30 }), (calls) => {
        const verbs = new RawVerbs(driver).context();
        made(verbs);
        for (const one of calls) {
          try {
            one(verbs);
            done++;
          } catch (error) {
            if (!(error instanceof SystemError)) throw error;
          }
        }
        verbs.close();
        verbs.memory.unmap();
        for (let fd = 3; fd < 60; fd++) {
          try {
            driver.close(fd);
          } catch (error) {
            if (!(error instanceof SystemError)) throw error;
          }
        }
        assert.deepEqual(nic.objects(), nothing);
        driver.messages();
        machine.takeRefusals();
      }),
      { seed: seed(), numRuns: 200 },
    );
    assert.ok(done > 300, `${done} calls were done`);
    const after = new RawVerbs(driver).context();
    made(after);
    after.close();
    driver.close(driver.open('/dev/infiniband/uverbs0', O_RDWR));
  });
});
