import assert from 'node:assert/strict';
import { closeSync, openSync } from 'node:fs';
import { constants } from 'node:os';
import { test } from 'node:test';
import { close, EFD_NONBLOCK, eventfd, write } from '../../src/os/libc.ts';
import { IRQ_FLAG, IRQ_INFO, IRQ_SET_FLAG } from '../../src/vfio-user/messages.ts';
import { counter, irqPayload, type RawClient, withBench } from './raw-client.ts';

const { EINVAL } = constants.errno;
const { NONE, BOOL, EVENTFD, MASK, UNMASK, TRIGGER } = IRQ_SET_FLAG;
const INTX = 0;
const MSI = 1;
const MSIX = 2;
const ERROR = 3;

function eventfds(count: number): number[] {
  return Array.from({ length: count }, () => eventfd(0, EFD_NONBLOCK));
}

function connect(client: RawClient, index: number, start: number, fds: readonly number[], action: number = TRIGGER) {
  client.ask('DEVICE_SET_IRQS', irqPayload({ flags: EVENTFD | action, index, start, count: fds.length }), fds);
}

test(
  'every kind of interrupt is described',
  withBench((bench) => {
    const client = bench.client();
    const described = [0, 1, 2, 3, 4].map((index) => {
      const { flags, count } = IRQ_INFO.decode(
        client.ask('DEVICE_GET_IRQ_INFO', IRQ_INFO.encode({ argsz: 16, index })).view,
        0,
      );
      return [flags, count];
    });
    const flags = IRQ_FLAG.EVENTFD | IRQ_FLAG.MASKABLE;
    assert.deepEqual(described, [
      [flags | IRQ_FLAG.AUTOMASKED, 1],
      [flags, 4],
      [flags, 0],
      [flags, 1],
      [flags, 1],
    ]);
  }),
);

const bad: [string, Parameters<typeof irqPayload>, number][] = [
  ['no data flag', [{ flags: TRIGGER, index: MSI, count: 1 }], 0],
  ['no action flag', [{ flags: NONE, index: MSI, count: 1 }], 0],
  ['two data flags', [{ flags: NONE | BOOL | TRIGGER, index: MSI, count: 1 }, [1]], 0],
  ['two actions', [{ flags: NONE | MASK | UNMASK, index: MSI, count: 1 }], 0],
  ['unknown flags', [{ flags: NONE | TRIGGER | 0x40, index: MSI, count: 1 }], 0],
  ['unknown index', [{ flags: NONE | TRIGGER, index: 5, count: 1 }], 0],
  ['index 2^32 - 1', [{ flags: NONE | TRIGGER, index: 0xffff_ffff, count: 1 }], 0],
  ['one too many', [{ flags: NONE | TRIGGER, index: MSI, start: 1, count: 4 }], 0],
  ['start behind the last', [{ flags: NONE | TRIGGER, index: MSI, start: 5, count: 0 }], 0],
  ['start + count beyond 2^32', [{ flags: NONE | TRIGGER, index: MSI, start: 0xffff_ffff, count: 2 }], 0],
  ['a kind without vectors', [{ flags: EVENTFD | TRIGGER, index: MSIX, count: 1 }], 1],
  ['count 0 with a start', [{ flags: NONE | TRIGGER, index: MSI, start: 1, count: 0 }], 0],
  ['count 0 to mask', [{ flags: NONE | MASK, index: MSI, count: 0 }], 0],
  ['count 0 with eventfds', [{ flags: EVENTFD | TRIGGER, index: MSI, count: 0 }], 0],
  ['too few booleans', [{ flags: BOOL | TRIGGER, index: MSI, count: 3 }, [1, 1]], 0],
  ['too few descriptors', [{ flags: EVENTFD | TRIGGER, index: MSI, count: 3 }], 2],
  ['too many descriptors', [{ flags: EVENTFD | TRIGGER, index: MSI, count: 1 }], 2],
  ['descriptors without need', [{ flags: NONE | TRIGGER, index: MSI, count: 1 }], 1],
];
test(
  'bad DEVICE_SET_IRQS requests are refused, and what is connected stays so',
  withBench((bench) => {
    const client = bench.client();
    const fds = eventfds(4);
    connect(client, MSI, 0, fds);
    for (const [what, payload, descriptors] of bad) {
      assert.equal(client.refused('DEVICE_SET_IRQS', irqPayload(...payload), fds.slice(0, descriptors)), EINVAL, what);
    }
    for (let i = 0; i < 4; i++) bench.function.ports.interrupt('msi', i);
    assert.deepEqual(fds.map(counter), [1, 1, 1, 1]);
    fds.forEach(close);
  }),
);

test(
  'a descriptor that is no eventfd is refused: writing to it could do anything',
  withBench((bench) => {
    const client = bench.client();
    const good = eventfd(0, EFD_NONBLOCK);
    const file = openSync(bench.directory, 'r');
    const payload = irqPayload({ flags: EVENTFD | TRIGGER, index: MSI, count: 2 });
    assert.equal(client.refused('DEVICE_SET_IRQS', payload, [good, file]), EINVAL);
    bench.function.ports.interrupt('msi', 0);
    assert.equal(counter(good), 0);
    closeSync(file);
    close(good);
  }),
);

test(
  'an eventfd whose counter is full does not block the device',
  withBench((bench) => {
    const client = bench.client();
    const blocking = eventfd(0, 0);
    connect(client, MSI, 0, [blocking]);
    write(blocking, Uint8Array.of(0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff));
    bench.function.ports.interrupt('msi', 0);
    client.readRegion(0, 0, 4);
    close(blocking);
  }),
);

test(
  'each vector signals its own eventfd; one that is not connected, nothing',
  withBench((bench) => {
    const client = bench.client();
    const { ports } = bench.function;
    ports.interrupt('msi', 0);
    const fds = eventfds(2);
    connect(client, MSI, 1, fds);
    for (const vector of [0, 1, 2, 2, 3]) ports.interrupt('msi', vector);
    ports.interrupt('intx', 0);
    assert.deepEqual(fds.map(counter), [1, 2]);
    assert.throws(() => ports.interrupt('msi', 4), RangeError);
    assert.throws(() => ports.interrupt('msix', 0), RangeError);
    fds.forEach(close);
  }),
);

test(
  'a vector can be moved to another eventfd, disconnected, and all of a kind disabled',
  withBench((bench) => {
    const client = bench.client();
    const { ports } = bench.function;
    const [first, second] = eventfds(2) as [number, number];
    connect(client, MSI, 0, [first, second]);
    // As QEMU does when the guest moves one vector to another processor.
    connect(client, MSI, 0, [second]);
    ports.interrupt('msi', 0);
    assert.deepEqual([counter(first), counter(second)], [0, 1]);
    client.ask('DEVICE_SET_IRQS', irqPayload({ flags: EVENTFD | TRIGGER, index: MSI, start: 1, count: 1 }));
    ports.interrupt('msi', 1);
    assert.equal(counter(second), 0);
    client.ask('DEVICE_SET_IRQS', irqPayload({ flags: NONE | TRIGGER, index: MSI }));
    ports.interrupt('msi', 0);
    assert.equal(counter(second), 0);
    close(first);
    close(second);
  }),
);

test(
  'a client can trigger interrupts itself, all of a range or those it chooses',
  withBench((bench) => {
    const client = bench.client();
    const fds = eventfds(4);
    connect(client, MSI, 0, fds);
    client.ask('DEVICE_SET_IRQS', irqPayload({ flags: NONE | TRIGGER, index: MSI, start: 1, count: 3 }));
    assert.deepEqual(fds.map(counter), [0, 1, 1, 1]);
    client.ask('DEVICE_SET_IRQS', irqPayload({ flags: BOOL | TRIGGER, index: MSI, count: 4 }, [1, 0, 0, 255]));
    assert.deepEqual(fds.map(counter), [1, 0, 0, 1]);
    const [error] = eventfds(1) as [number];
    connect(client, ERROR, 0, [error]);
    client.ask('DEVICE_SET_IRQS', irqPayload({ flags: NONE | TRIGGER, index: ERROR, count: 1 }));
    assert.equal(counter(error), 1);
    [...fds, error].forEach(close);
  }),
);

test(
  'a masked vector is delivered once when it is unmasked, and masking can be watched',
  withBench((bench) => {
    const client = bench.client();
    const { ports } = bench.function;
    const [trigger, masked, unmasked] = eventfds(3) as [number, number, number];
    connect(client, MSI, 2, [trigger]);
    connect(client, MSI, 2, [masked], MASK);
    connect(client, MSI, 2, [unmasked], UNMASK);
    const set = (flags: number) => client.ask('DEVICE_SET_IRQS', irqPayload({ flags, index: MSI, start: 2, count: 1 }));
    set(NONE | MASK);
    set(NONE | MASK);
    ports.interrupt('msi', 2);
    ports.interrupt('msi', 2);
    assert.deepEqual([trigger, masked, unmasked].map(counter), [0, 1, 0]);
    set(NONE | UNMASK);
    set(NONE | UNMASK);
    assert.deepEqual([trigger, masked, unmasked].map(counter), [1, 0, 1]);
    [trigger, masked, unmasked].forEach(close);
  }),
);

test(
  'INTx masks itself until the client unmasks it',
  withBench((bench) => {
    const client = bench.client();
    const { ports } = bench.function;
    const [fd] = eventfds(1) as [number];
    connect(client, INTX, 0, [fd]);
    ports.interrupt('intx', 0);
    ports.interrupt('intx', 0);
    assert.equal(counter(fd), 1);
    const unmask = irqPayload({ flags: NONE | UNMASK, index: INTX, count: 1 });
    client.ask('DEVICE_SET_IRQS', unmask);
    assert.equal(counter(fd), 1);
    client.ask('DEVICE_SET_IRQS', unmask);
    assert.equal(counter(fd), 0);
    close(fd);
  }),
);

test(
  'the next client has none of the interrupts of the last',
  withBench((bench) => {
    const first = bench.client();
    const [fd] = eventfds(1) as [number];
    connect(first, MSI, 0, [fd]);
    first.close();
    bench.function.ports.interrupt('msi', 0);
    bench.client();
    bench.function.ports.interrupt('msi', 0);
    assert.equal(counter(fd), 0);
    close(fd);
  }),
);
