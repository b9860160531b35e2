import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { packets, RC } from '../../specs/gaudi/cpucp.ts';
import { events } from '../../specs/gaudi/events.ts';
import { HOST, MS, REG, TestHost } from './test-host.ts';

const op = (name: keyof typeof packets) => packets[name].opcode;
const id = (name: string) => events.find((event) => event.name === name)?.id as number;

describe('event queue', () => {
  it('does not take an event that does not exist, or too much payload', () => {
    using host = new TestHost().ready();
    assert.throws(() => host.gaudi.raiseEvent('NO_SUCH_EVENT'));
    assert.throws(() => host.gaudi.raiseEvent('MMU_PAGE_FAULT', new Uint8Array(57)), RangeError);
  });

  it('writes the payload, then the valid word by one store, then interrupts', () => {
    using host = new TestHost().ready();
    host.writes.length = 0;
    host.gaudi.raiseEvent('MMU_PAGE_FAULT', new Uint8Array(56).fill(0x77));
    let writesAtInterrupt = -1;
    host.until('the interrupt', () => {
      if (host.interrupts.length > 0) writesAtInterrupt = host.writes.length;
      return host.interrupts.length > 0;
    });
    assert.deepEqual(host.interrupts, [0]);
    assert.equal(writesAtInterrupt, 2);
    assert.deepEqual(
      host.writes.map(({ kind, address, bytes }) => ({ kind, address, length: bytes.length })),
      [
        { kind: 'write', address: HOST.EQ + 8, length: 56 },
        { kind: 'store32', address: HOST.EQ + 4, length: 4 },
      ],
    );
    assert.deepEqual(host.event(0), { ready: true, id: 380, index: 1, data: new Uint8Array(56).fill(0x77) });
  });

  it('numbers its entries on and on, and waits when the ring is full', () => {
    using host = new TestHost().ready();
    const names = events.filter((event) => /^(TPC\d|DMA\d)_QM$/.test(event.name)).map((event) => event.name);
    for (const name of names) host.gaudi.raiseEvent(name);
    host.run(1 * MS);
    const room = HOST.EQ_ENTRIES - 1;
    assert.equal(host.interrupts.length, room);
    // The driver takes one at a time, from where the ring goes round.
    for (let n = 0; n < names.length; n++) {
      const entry = n % HOST.EQ_ENTRIES;
      const { ready, id: number, index } = host.event(entry);
      assert.deepEqual({ ready, number, index }, { ready: true, number: id(names[n] as string), index: n + 1 });
      host.view.setUint32(HOST.EQ + entry * 64 + 4, 0, true);
      host.write(REG.EQ_RD_OFFS, (entry + 1) % HOST.EQ_ENTRIES);
      host.run(1 * MS);
    }
    assert.equal(host.interrupts.length, names.length);
  });

  it('keeps events until the driver is ready for them', () => {
    using host = new TestHost().enable().boot('comms');
    assert.equal(host.initQueues(), 2);
    host.gaudi.raiseEvent('GIC500');
    host.run(10 * MS);
    assert.equal(host.interrupts.length, 0);
    host.write(REG.GIC_SETSPI, 486);
    host.run(1 * MS);
    assert.equal(host.event(0).id, id('GIC500'));
  });

  it('sends an event of a block again only when the driver has unmasked it', () => {
    using host = new TestHost().ready();
    for (let i = 1; i <= 3; i++) host.gaudi.raiseEvent('DMA0_QM', new Uint8Array([i]));
    host.run(1 * MS);
    assert.equal(host.interrupts.length, 1);
    assert.equal(host.send(op('UNMASK_RAZWI_IRQ'), { value: BigInt(id('DMA0_QM')) }).rc, RC.SUCCESS);
    host.run(1 * MS);
    assert.equal(host.interrupts.length, 2, 'once, however often it happened meanwhile');
    assert.equal(host.event(1).data[0], 3);
    assert.equal(host.send(op('UNMASK_RAZWI_IRQ'), { value: 5000n }).rc, RC.INVALID_PARAMS);
    const array = [id('DMA0_QM'), id('TPC0_QM')];
    assert.equal(host.send(op('UNMASK_RAZWI_IRQ_ARRAY'), { array }).rc, RC.SUCCESS);
    host.gaudi.raiseEvent('DMA0_QM');
    host.run(1 * MS);
    assert.equal(host.interrupts.length, 3);
  });

  it('is silent while accesses of the host are disabled', () => {
    using host = new TestHost().ready();
    assert.equal(host.send(op('DISABLE_PCI_ACCESS')).rc, RC.SUCCESS);
    host.gaudi.raiseEvent('GIC500');
    host.run(10 * MS);
    assert.equal(host.interrupts.length, 0);
    assert.equal(host.send(op('ENABLE_PCI_ACCESS')).rc, RC.SUCCESS);
    host.run(1 * MS);
    assert.equal(host.interrupts.length, 1);
  });

  it('loses an event that the host does not take, and says so', () => {
    using host = new TestHost().enable().boot('comms');
    assert.equal(host.initQueues({ eq: 2 ** 39 + 0x6000_0000 }), 2);
    host.write(REG.GIC_SETSPI, 486);
    host.gaudi.raiseEvent('GIC500');
    host.run(1 * MS);
    assert.deepEqual(
      host.errors.map(({ category, where }) => ({ category, where })),
      [{ category: 'guest', where: 'CPU_IF.EQ' }],
    );
    assert.equal(host.interrupts.length, 0);
    assert.equal(host.send(op('TEST')).rc, RC.SUCCESS);
  });
});

describe('interrupts of the device CPU', () => {
  it('become the event of their line', () => {
    using host = new TestHost().ready();
    host.write(REG.GIC_SETSPI, 432);
    host.run(1 * MS);
    assert.equal(host.event(0).id, id('DMA0_QM'));
  });

  it('of a shared line become the event of the block that has an error', () => {
    using host = new TestHost().ready();
    host.write(REG.GIC_SETSPI, 38);
    host.run(1 * MS);
    assert.equal(host.interrupts.length, 0, 'no block of the eight has one');
  });

  it('that no block has are the guest’s mistake', () => {
    using host = new TestHost().ready();
    host.write(REG.GIC_SETSPI, 31);
    host.run(1 * MS);
    assert.equal(host.errors[0]?.category, 'guest');
    assert.equal(host.send(op('TEST')).rc, RC.SUCCESS);
  });
});
