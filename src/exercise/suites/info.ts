import assert from 'node:assert/strict';
import { ControlDevice } from '../../runtime/device.ts';
import type { Dcore, Pll } from '../../runtime/info.ts';
import { DRM_IOCTL_HL_INFO, infoOperations } from '../../uapi/habanalabs/info.ts';
import { suite } from '../suite.ts';
import { assertErrno, call, GiB, MiB } from './lib.ts';

const dcores: readonly Dcore[] = ['W_S', 'W_N', 'E_N', 'E_S'];
const plls: readonly Pll[] = ['CPU', 'PCI', 'SRAM', 'HBM', 'NIC', 'DMA', 'MESH', 'MME', 'TPC', 'IF'];

export const info = suite('info', 'What the driver tells about the card and its state.', (test) => {
  test('identity: a Gaudi1, its memories and engines', ({ device }) => {
    const ip = device.info.hwIp();
    assert.equal(ip.device_id, 0x1000);
    assert.equal(ip.dram_enabled, 1);
    assert.equal(Number(ip.dram_base_address), 512 * MiB, 'the first 512 MiB are the driver’s');
    assert.equal(Number(ip.dram_size), 32 * GiB - 512 * MiB);
    assert.ok(Number(ip.sram_base_address) >= 0x7ff0000000);
    assert.ok(ip.sram_size > 19 * MiB && ip.sram_size <= 20 * MiB, `SRAM of ${ip.sram_size} bytes`);
    assert.equal(ip.tpc_enabled_mask, 0xff);
    assert.notEqual(ip.num_of_events, 0);
  });

  test('identity: versions and card name are text', ({ device }) => {
    const ip = device.info.hwIp();
    assert.match(ip.card_name, /^HL\d+/);
    assert.notEqual(ip.cpucp_version, '');
  });

  test('a buffer that is too small gets the first bytes of the answer', ({ device }) => {
    const whole = device.info.raw('HL_INFO_HW_IP_INFO', infoOperations.HL_INFO_HW_IP_INFO.answer.size);
    const part = device.info.raw('HL_INFO_HW_IP_INFO', 24);
    assert.deepEqual(part.bytes, whole.bytes.slice(0, 24));
  });

  test('a buffer of no size is refused', ({ device }) => {
    assertErrno('EINVAL', () => device.info.raw('HL_INFO_HW_IP_INFO', 0));
  });

  test('a buffer that is no memory is refused', ({ device }) => {
    const ask = { return_pointer: 0x10n, return_size: 64, op: infoOperations.HL_INFO_HW_IP_INFO.value };
    assertErrno('EFAULT', () => call(device, DRM_IOCTL_HL_INFO, ask));
  });

  test('padding must be zero', ({ device }) => {
    const ask = { return_pointer: 0n, return_size: 64, op: 0, pad: 1 };
    assertErrno('EINVAL', () => call(device, DRM_IOCTL_HL_INFO, ask));
  });

  test('an operation that does not exist is refused, and either node says so', (t) => {
    t.expectMessages(/^habanalabs .*: Invalid request 1000/, /^accel accel_controlD0: Invalid request 1000/);
    const ask = { return_pointer: 0x1000n, return_size: 64, op: 1000 };
    assertErrno('EINVAL', () => call(t.device, DRM_IOCTL_HL_INFO, ask));
    const node = t.use(ControlDevice.open({ driver: t.target.driver, index: 0 }));
    const argument = DRM_IOCTL_HL_INFO.argument.encode(ask);
    assertErrno('EINVAL', () => t.target.driver.ioctl(node.fd, DRM_IOCTL_HL_INFO.request, argument));
  });

  test('status is operational', ({ device }) => {
    assert.equal(device.info.status(), 'OPERATIONAL');
  });

  test('a card without work is idle', ({ device }) => {
    assert.deepEqual(device.info.idle(), { idle: true, busy: [], mask: 0n, shortMask: 0 });
  });

  test('the clocks of device and host go forward', ({ device }) => {
    const first = device.info.timeSync();
    const second = device.info.timeSync();
    assert.ok(second.device_time > first.device_time, `device ${first.device_time} then ${second.device_time}`);
    assert.ok(second.host_time > first.host_time, `host ${first.host_time} then ${second.host_time}`);
  });

  test('the time of the host is that of its clock that only goes forward', ({ device, target: { driver } }) => {
    const before = driver.now();
    const { host_time } = device.info.timeSync();
    // CLOCK_MONOTONIC_RAW, which the driver tells, is not corrected as CLOCK_MONOTONIC is, by 500 parts in a million at most
    const slack = 1e9 + before / 1000;
    assert.ok(Math.abs(Number(host_time) - before) < slack, `told ${host_time}, where it is ${before}`);
  });

  test('clock rate: current not above maximum', ({ device }) => {
    const { cur_clk_rate_mhz, max_clk_rate_mhz } = device.info.clockRate();
    assert.ok(cur_clk_rate_mhz > 0 && cur_clk_rate_mhz <= max_clk_rate_mhz, `${cur_clk_rate_mhz}, ${max_clk_rate_mhz}`);
  });

  test('every PLL tells its outputs', ({ device }) => {
    for (const pll of plls) {
      const outputs = device.info.pllFrequency(pll);
      assert.ok(outputs.some((mhz) => mhz > 0) && outputs.every((mhz) => mhz < 10_000), `${pll}: ${outputs}`);
    }
  });

  test('a PLL that does not exist is refused', (t) => {
    t.expectMessages(/PLL|pll/);
    const size = infoOperations.HL_INFO_PLL_FREQUENCY.answer.size;
    // firmware without a map of its PLLs is asked, and refuses itself
    assertErrno(['EINVAL', 'EIO'], () => t.device.info.raw('HL_INFO_PLL_FREQUENCY', size, { pll_index: 1000 }));
  });

  test('power is drawn, energy adds up', ({ device }) => {
    assert.ok(device.info.power() > 0n);
    const before = device.info.energy();
    const after = device.info.energy();
    assert.ok(after >= before, `${before} then ${after}`);
  });

  test('PCIe counters answer', ({ device }) => {
    const { rx_throughput, tx_throughput, replay_cnt } = device.info.pciCounters();
    assert.equal(replay_cnt, 0n, 'a link without faults replays nothing');
    assert.ok(rx_throughput >= 0n && tx_throughput >= 0n);
  });

  test('nothing throttles the clock', ({ device }) => {
    assert.equal(device.info.throttle().clk_throttling_reason, 0);
  });

  test('utilisation is a percentage', ({ device }) => {
    const percent = device.info.utilization();
    assert.ok(percent >= 0 && percent <= 100, `${percent}`);
  });

  test('each DCORE leaves sync objects and monitors to user space', ({ device }) => {
    for (const dcore of dcores) {
      const { first_available_sync_object, first_available_monitor } = device.info.syncManager(dcore);
      assert.ok(first_available_sync_object < 2048, `${dcore}: sync objects from ${first_available_sync_object}`);
      assert.ok(first_available_monitor < 512, `${dcore}: monitors from ${first_available_monitor}`);
    }
  });

  test('a DCORE that does not exist is refused', ({ device }) => {
    assertErrno('EINVAL', () => device.info.raw('HL_INFO_SYNC_MANAGER', 12, { dcore_id: 8 }));
  });

  test('device memory has no choice of page sizes', ({ device }) => {
    assert.equal(device.info.pageSizes(), 0n);
  });

  test('event counters have one number per event', ({ device }) => {
    const since = device.info.hwEvents();
    const all = device.info.hwEventsAggregate();
    assert.equal(since.length, device.info.hwIp().num_of_events);
    assert.ok(
      since.every((count, i) => count <= (all[i] ?? 0)),
      'more since the last reset than ever',
    );
  });

  test('opening is counted, and how long it was open', (t) => {
    const { driver } = t.target;
    const control = t.use(ControlDevice.open({ driver, index: 0 }));
    const before = control.info.openStats();
    const begin = driver.now();
    const device = t.open(0);
    driver.sleep(20_000_000);
    device.close();
    const after = control.info.openStats();
    const ms = Number(after.last_open_period_ms);
    // the kernel counts ticks of 4 ms
    assert.ok(ms >= 16 && ms <= (driver.now() - begin) / 1e6 + 5, `${ms} ms`);
    assert.equal(after.open_counter, before.open_counter + 1n);
    assert.equal(after.is_compute_ctx_active, 0);
  });

  test('an active context shows in the open statistics', (t) => {
    const control = t.use(ControlDevice.open({ driver: t.target.driver, index: 0 }));
    t.open(0);
    assert.equal(control.info.openStats().is_compute_ctx_active, 1);
  });

  test('the control node answers while another has the card', (t) => {
    t.open(0);
    const control = t.use(ControlDevice.open({ driver: t.target.driver, index: 0 }));
    assert.equal(control.info.status(), 'OPERATIONAL');
    assert.equal(control.info.hwIp().device_id, 0x1000);
  });

  test('two control nodes can be open', (t) => {
    const first = t.use(ControlDevice.open({ driver: t.target.driver, index: 0 }));
    const second = t.use(ControlDevice.open({ driver: t.target.driver, index: 0 }));
    assert.deepEqual(first.info.resetCount(), second.info.resetCount());
  });

  test('no error is recorded that did not happen', ({ device }) => {
    assert.equal(device.info.razwiEvent(), undefined);
    assert.equal(device.info.pageFaultEvent(), undefined);
    assert.equal(device.info.undefinedOpcodeEvent(), undefined);
  });

  test('the state of all engines as text', ({ device }) => {
    const text = device.info.engineStatus();
    for (const engine of ['DMA', 'TPC', 'MME', 'NIC']) assert.match(text, new RegExp(engine));
  });

  test('a buffer below 1 KiB is too small for the state of the engines', ({ device }) => {
    assertErrno('EINVAL', () => device.info.engineStatus(1023));
  });

  test('an eventfd is registered once', (t) => {
    const { device } = t;
    const fd = t.target.driver.eventfd(0, 0);
    t.use({ [Symbol.dispose]: () => t.target.driver.close(fd) });
    device.info.registerEventfd(fd);
    assertErrno('EINVAL', () => device.info.registerEventfd(fd));
    device.info.unregisterEventfd();
    assertErrno('EINVAL', () => device.info.unregisterEventfd());
  });

  test('a descriptor that is no eventfd is refused', ({ device }) => {
    assertErrno('EINVAL', () => device.info.registerEventfd(device.fd));
    assertErrno('EBADF', () => device.info.registerEventfd(1_000_000));
  });

  test('no event is pending', ({ device }) => {
    device.info.getEvents();
    assert.equal(device.info.getEvents(), 0n);
  });
});
