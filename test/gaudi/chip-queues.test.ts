import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { events } from '../../specs/gaudi/events.ts';
import { qmanRegisters } from '../../specs/gaudi/registers/qman.ts';
import { gaudiQman } from '../../specs/gaudi-qman.ts';
import type { GaudiOptions } from '../../src/gaudi/device.ts';
import { MS, TestHost } from './test-host.ts';

const QM = 0x50_8000;
const CORE = 0x50_0000;
const HOST_BASE = 0x80_0000_0000;
const SRAM = 0x7f_f000_0000;
const CFG = 0x7f_fc00_0000;
/** Places in the host's memory. */
const [RING, BUFFER, SOURCE, DONE] = [0x5_0000, 0x6_0000, 0x7_0000, 0x8_0000];

type Row = keyof typeof qmanRegisters.rows;

function setUp(options: Partial<GaudiOptions> = {}): TestHost {
  const host = new TestHost(options).ready();
  const qm = (row: Row, value: number) => host.write(QM + qmanRegisters.rows[row].offset, value);
  // gaudi_init_pci_dma_qman and gaudi_init_dma_core, for stream 0.
  qm('PQ_BASE_LO', RING);
  qm('PQ_BASE_HI', 0x80);
  qm('PQ_SIZE', 4);
  qm('PQ_PI', 0);
  qm('PQ_CI', 0);
  qm('CP_LDMA_TSIZE_OFFSET', 0x74);
  qm('CP_LDMA_SRC_BASE_LO_OFFSET', 0x14);
  qm('CP_LDMA_DST_BASE_LO_OFFSET', 0x1c);
  qm('GLBL_ERR_CFG', 0xffff_ffff);
  qm('GLBL_ERR_ADDR_LO', (CFG + 0x80_0040) % 2 ** 32);
  qm('GLBL_ERR_ADDR_HI', 0x7f);
  qm('GLBL_ERR_WDATA', 432);
  qm('GLBL_PROT', 0x7fff);
  qm('GLBL_MSG_EN', 0xffff_ffff);
  qm('GLBL_CFG1', 0);
  host.write(CORE, 1);
  qm('GLBL_CFG0', 0xfff);
  return host;
}

/** Puts a command buffer into the ring and rings the doorbell. */
function submit(host: TestHost, packets: readonly Uint8Array[]): void {
  let size = 0;
  for (const packet of packets) {
    host.memory.bytes.set(packet, BUFFER + size);
    size += packet.length;
  }
  host.view.setBigUint64(RING, BigInt(HOST_BASE + BUFFER), true);
  host.view.setUint32(RING + 8, size, true);
  host.view.setUint32(RING + 12, 0, true);
  host.write(QM + qmanRegisters.rows.PQ_PI.offset, 1);
}

const copy = (dst: number, src: number, tsize: number) =>
  gaudiQman.encode('LIN_DMA', { dst: BigInt(dst), src: BigInt(src), tsize, eb: true, rb: true, mb: true });
const message = (addr: number, value: number) =>
  gaudiQman.encode('MSG_PROT', { addr: BigInt(addr), value, eb: true, mb: true });

describe('a queue of the chip', () => {
  it('copies, tells the host, and interrupts it, in this order', () => {
    using host = setUp();
    host.memory.bytes.fill(0x3c, SOURCE, SOURCE + 4096);
    host.writes.length = 0;
    submit(host, [
      copy(SRAM + 0x4000, HOST_BASE + SOURCE, 4096),
      message(HOST_BASE + DONE, 77),
      message(CFG + 0xc0_4100, 1),
    ]);
    let wordAtInterrupt: number | undefined;
    host.until('the interrupt', () => {
      if (host.interrupts.length > 0) wordAtInterrupt ??= host.view.getUint32(DONE, true);
      return host.interrupts.length > 0;
    });
    assert.equal(wordAtInterrupt, 77);
    const sram = new Uint8Array(4096);
    host.bar(0).read(0x4000, sram);
    assert.ok(sram.every((byte) => byte === 0x3c));
    assert.deepEqual(
      host.writes.map(({ kind, address }) => ({ kind, address })),
      [{ kind: 'store32', address: DONE }],
    );
    host.until('all to be idle', () => host.gaudi.busyEngines().length === 0);
    assert.deepEqual(host.errors, []);
  });

  it('is as late as it is told to be', () => {
    const duration = (options: Partial<GaudiOptions>) => {
      using host = setUp(options);
      const start = host.clock.now();
      submit(host, [copy(SRAM + 0x4000, HOST_BASE + SOURCE, 64), message(HOST_BASE + DONE, 1)]);
      host.until('the end', () => host.view.getUint32(DONE, true) === 1);
      return host.clock.now() - start;
    };
    const usual = duration({});
    assert.ok(usual < 1 * MS);
    const slowEngine = duration({ delays: { DMA0_CORE: 5 * MS } });
    assert.ok(slowEngine >= 5 * MS && slowEngine <= 7.5 * MS + usual);
    assert.ok(
      duration({ delays: { DMA: 5 * MS } }) >= 10 * MS,
      'the first packet, then the transfer beside the second',
    );
    assert.equal(duration({ delays: { TPC: 5 * MS } }), usual);
    const seeded = (seed: number) => duration({ delays: { DMA0_CORE: 5 * MS }, seed });
    assert.equal(seeded(7), seeded(7));
    assert.notEqual(seeded(7), seeded(8));
  });

  it('reports an unknown packet through the interrupt controller as an event', () => {
    using host = setUp();
    submit(host, [Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0x1f)]);
    host.until('the event', () => host.event(0).ready);
    assert.equal(host.event(0).id, events.find((event) => event.name === 'DMA0_QM')?.id);
  });

  it('reports an access of nothing by the engine as two events: of the interconnect and of the engine', () => {
    using host = setUp();
    host.write(CORE + 0x160, 3);
    host.write(CORE + 0x170, (CFG + 0x80_0040) % 2 ** 32);
    host.write(CORE + 0x174, 0x7f);
    host.write(CORE + 0x178, 453);
    submit(host, [copy(SRAM, 0x9_0000_0000, 64)]);
    host.until('the events', () => host.event(1).ready);
    const name = (n: number) => events.find((event) => event.id === host.event(n).id)?.name;
    assert.deepEqual([name(0), name(1)].sort(), ['DMA0_CORE', 'RAZWI_OR_ADC']);
    assert.equal(host.read(0xc1_1064), 1, 'MMU_UP.RAZWI_READ_VLD');
  });

  it('writes nothing any more once the chip is reset', () => {
    using host = setUp({ delays: { DMA0_CORE: 5 * MS } });
    submit(host, [copy(HOST_BASE + DONE, SRAM, 4096), message(HOST_BASE + DONE, 1)]);
    host.run(1 * MS);
    assert.ok(host.gaudi.busyEngines().includes('DMA0_CORE'));
    host.writes.length = 0;
    host.gaudi.reset('function-level');
    host.run(100 * MS);
    assert.deepEqual(host.writes, []);
    assert.deepEqual(host.gaudi.busyEngines(), []);
  });
});
