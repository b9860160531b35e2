import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Recorder } from '../../src/exercise/agreement/recorder.ts';
import { runInProcess } from '../../src/exercise/in-process.ts';
import { ktapReporter } from '../../src/exercise/report/ktap.ts';
import { suite, type Test } from '../../src/exercise/suite.ts';
import { ModelMachine } from '../../src/machine/model.ts';
import { CommandStream } from '../../src/runtime/command-stream.ts';
import { DRM_IOCTL_HL_CB } from '../../src/uapi/habanalabs/cb.ts';
import { DRM_IOCTL_HL_INFO, infoOperations } from '../../src/uapi/habanalabs/info.ts';
import { hl_info_reset_count } from '../../src/uapi/habanalabs/info-results.ts';
import { FakeDriver, refuse } from '../runtime/fake-driver.ts';
import { failed, written } from './scripted.ts';

const create = (size: number) => DRM_IOCTL_HL_CB.argument.encode({ in: { op: 0, cb_size: size } });

describe('what is written down', () => {
  test('a call, its operation, what it was given and what became of it', () => {
    const fake = new FakeDriver().on(DRM_IOCTL_HL_CB.request, () => refuse('EINVAL'));
    const { driver, ...recorder } = bound(new Recorder(fake, true));
    const fd = driver.open('/dev/accel/accel0', 2);
    assert.throws(() => driver.ioctl(fd, DRM_IOCTL_HL_CB.request, create(4096)), { code: 'EINVAL' });
    assert.match(recorder.explain().events.at(-1) ?? '', /accel0: CB HL_CB_OP_CREATE \{cb_size: 4096\}: EINVAL$/);
    assert.deepEqual(recorder.trace(), [
      { call: 1, key: 'open /dev/accel/accel0', outcome: 'ok' },
      { call: 2, key: 'accel0: CB HL_CB_OP_CREATE', outcome: 'EINVAL' },
    ]);
  });

  test('an ioctl that nobody knows, and an argument that is too short for its number', () => {
    const { driver, ...recorder } = bound(new Recorder(new FakeDriver(), true));
    const fd = driver.open('/dev/accel/accel0', 2);
    driver.ioctl(fd, 0x1234, new Uint8Array(0));
    driver.ioctl(fd, DRM_IOCTL_HL_CB.request, new Uint8Array(3));
    const keys = recorder.trace().map(({ key }) => key);
    assert.deepEqual(keys.slice(1), [
      'accel0: ioctl 0x1234',
      `accel0: ioctl 0x${DRM_IOCTL_HL_CB.request.toString(16)}`,
    ]);
  });

  test('a thousand calls alike are one event, and few are kept of a thousand that differ', () => {
    const { driver, ...recorder } = bound(new Recorder(new FakeDriver()));
    const fd = driver.open('/dev/accel/accel0', 2);
    for (let i = 0; i < 1000; i++) driver.ioctl(fd, DRM_IOCTL_HL_CB.request, create(64));
    assert.equal(recorder.explain().events.length, 2);
    assert.match(recorder.explain().events[1] ?? '', /\(1000 times\)$/);
    for (let i = 0; i < 1000; i++) driver.ioctl(fd, DRM_IOCTL_HL_CB.request, create(i));
    assert.equal(recorder.explain().events.length, 24);
  });

  test('of very many calls the first are compared, and every one that is refused', () => {
    const fake = new FakeDriver().on(DRM_IOCTL_HL_CB.request, (argument) => {
      const { in: asked } = DRM_IOCTL_HL_CB.argument.decode(argument);
      if (asked.cb_size === 0) refuse('EINVAL');
      return undefined;
    });
    const { driver, ...recorder } = bound(new Recorder(fake, true));
    const fd = driver.open('/dev/accel/accel0', 2);
    const make = (size: number) => driver.ioctl(fd, DRM_IOCTL_HL_CB.request, create(size));
    for (let i = 0; i < 3000; i++) make(64);
    assert.throws(() => make(0), { code: 'EINVAL' });
    assert.deepEqual(
      recorder.trace().map(({ call, outcome }) => [call, outcome.split(' ')[0]]),
      [
        [1, 'ok'],
        [2, 'ok'],
        [3002, 'EINVAL'],
      ],
    );
  });

  test('of what is counted since the driver was loaded the increase is compared', () => {
    const { argument, request } = DRM_IOCTL_HL_INFO;
    const fake = new FakeDriver();
    const { driver, ...recorder } = bound(new Recorder(fake, true));
    const memory = driver.allocate(4096);
    let resets = 41;
    fake.on(request, () => {
      memory.bytes.set(hl_info_reset_count.encode({ hard_reset_cnt: resets++ }));
      return undefined;
    });
    const fd = driver.open('/dev/accel/accel_controlD0', 2);
    const op = infoOperations.HL_INFO_RESET_COUNT.value;
    const ask = argument.encode({ op, return_pointer: memory.address, return_size: hl_info_reset_count.size });
    for (let i = 0; i < 2; i++) driver.ioctl(fd, request, ask.slice());
    const outcomes = recorder.trace().map(({ outcome }) => /hard_reset_cnt: \d+/.exec(outcome)?.[0]);
    assert.deepEqual(outcomes, [undefined, 'hard_reset_cnt: 0', 'hard_reset_cnt: 1']);
  });

  test('of an answer that is cut off only what was told is compared', () => {
    const { argument, request } = DRM_IOCTL_HL_INFO;
    const fake = new FakeDriver();
    const { driver, ...recorder } = bound(new Recorder(fake, true));
    const memory = driver.allocate(4096);
    fake.on(request, () => {
      memory.bytes.fill(0);
      memory.bytes.set(hl_info_reset_count.encode({ hard_reset_cnt: 41 }).subarray(0, 4));
      return undefined;
    });
    const fd = driver.open('/dev/accel/accel_controlD0', 2);
    const op = infoOperations.HL_INFO_RESET_COUNT.value;
    driver.ioctl(fd, request, argument.encode({ op, return_pointer: memory.address, return_size: 4 }));
    const outcome = recorder.trace().at(-1)?.outcome ?? '';
    assert.match(outcome, /hard_reset_cnt: 0/);
    assert.doesNotMatch(outcome, /soft_reset_cnt/);
  });

  test('of events those that have come until then are compared', () => {
    const { argument, request } = DRM_IOCTL_HL_INFO;
    const fake = new FakeDriver();
    const { driver, ...recorder } = bound(new Recorder(fake, true));
    const memory = driver.allocate(4096);
    const looks = [0x80n, 0n, 0x20n];
    fake.on(request, () => {
      new DataView(memory.bytes.buffer, memory.bytes.byteOffset).setBigUint64(0, looks.shift() ?? 0n, true);
      return undefined;
    });
    const fd = driver.open('/dev/accel/accel0', 2);
    const op = infoOperations.HL_INFO_GET_EVENTS.value;
    const ask = argument.encode({ op, return_pointer: memory.address, return_size: 8 });
    for (let i = 0; i < 3; i++) driver.ioctl(fd, request, ask.slice());
    const outcomes = recorder.trace().map(({ outcome }) => /value: (\d+)/.exec(outcome)?.[1]);
    assert.deepEqual(outcomes, [undefined, '128', '160']);
  });

  test('nothing of one test is left for the next', () => {
    const { driver, ...recorder } = bound(new Recorder(new FakeDriver(), true));
    driver.open('/dev/accel/accel0', 2);
    recorder.begin();
    assert.deepEqual(recorder.explain(), { programs: [], events: [] });
    assert.deepEqual(recorder.trace(), []);
  });

  function bound(recorder: Recorder) {
    return {
      driver: recorder.driver,
      explain: () => recorder.explain(),
      begin: () => recorder.begin(),
      trace: () => [...recorder.trace],
    };
  }
});

describe('a test that fails on the model', () => {
  const failure = async (run: Test['run']) => {
    using machine = new ModelMachine({ machine: 'gaudi' });
    const { tests } = suite('s', '', (declare) => declare('t', run));
    const [result] = await runInProcess(tests, machine, { seed: 1, timeout: 60 }, () => {});
    assert.equal(result?.status, 'failed');
    return result?.failure;
  };

  test('shows its last program by queue, and what the card did with it', async () => {
    const told = await failure(async ({ device }) => {
      const [host, sram] = [device.allocHost(4096), device.sram.allocate(4096)];
      await device.wait(device.submit({ queue: 'DMA_0_0', stream: new CommandStream().dma(sram, host, 4096) }));
      device.createCb(64);
      throw new Error('why');
    });
    assert.deepEqual(told?.programs?.[0], 'DMA_0_0:');
    assert.match(told?.programs?.[1] ?? '', /^ {2}lin_dma \[0x7ff0000080\], .*4096, eb, mb$/);
    const events = told?.events?.join('\n') ?? '';
    assert.match(events, /gaudi0: DMA_0_0 is given \d+ bytes of packets\n(.*\n)*.*gaudi0: DMA_0_0 tells the end/);
    assert.match(told?.events?.at(-1) ?? '', /mmap|HL_CB_OP_CREATE/, 'what tidies up afterwards is not told');
  });

  test('also when only the log says that it has failed', async () => {
    const told = await failure(async ({ device }) => {
      const host = device.allocHost(4096);
      const nowhere = { address: 0x123n } as never;
      device.submit({ queue: 'DMA_0_0', stream: new CommandStream().dma(nowhere, host, 4096) });
    });
    assert.match(told?.programs?.join('\n') ?? '', /lin_dma \[0x123\]/);
  });
});

test('a report for machines has it as diagnostics, none of which looks like a result', () => {
  const { failure, ...rest } = failed('s: t', 'why');
  const events = ['ok 1 open', 'not ok 2'];
  const text = written(
    (write) => ktapReporter(write, (id) => `again ${id}`),
    [{ ...rest, failure: { message: failure?.message ?? '', programs: ['DMA_0_0:', '  nop'], events } }],
  );
  const lines = text.split('\n').map((line) => line.trim());
  assert.equal(lines.filter((line) => /^(not )?ok/.test(line)).length, 2, 'the test and its suite');
  for (const line of ['#   DMA_0_0:', '#     nop', '#   ok 1 open', '# again: again s: t'])
    assert.ok(lines.includes(line));
});
