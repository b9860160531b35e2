/** Under the real drivers: Debian's RDMA programs, memory of a Gaudi registered with the NIC, and what ends while bytes move. */

import assert from 'node:assert/strict';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { DeviceReport } from '../../src/machine/vm/device-server.ts';
import type { Vm } from '../../src/machine/vm/vm.ts';
import { DRM_IOCTL_HL_MEMORY, hl_mem_args, memoryOperations } from '../../src/uapi/habanalabs/memory.ts';
import { boot, GaudiRdma, lines, output } from './guest.ts';

const SIZE = 8 * 1024 ** 2;
/** Where user memory of a Gaudi begins. */
const DRAM_USER_BASE = 0x2000_0000;
const O_CLOEXEC_RDWR = 0o2000002;
const EPERM = 1;

function transfer(vm: Vm): Promise<string> {
  const { value: op } = memoryOperations.HL_MEM_OP_EXPORT_DMABUF_FD;
  const export_dmabuf_fd = { addr: DRAM_USER_BASE, mem_size: SIZE };
  const argument = Buffer.from(hl_mem_args.encode({ in: { export_dmabuf_fd, op, flags: O_CLOEXEC_RDWR } })).toString(
    'hex',
  );
  const program = path.join(import.meta.dirname, 'peer-transfer.py');
  // The tree of the RDMA programs sees the guest's files below /host.
  const words = [`/host${program}`, String(DRM_IOCTL_HL_MEMORY.request), argument, String(SIZE)];
  return output(vm, ['rdma-python3', ...words]);
}

/** Objects of the NIC that are left of programs. */
function objects(report: DeviceReport, name = 'efa0'): Record<string, number> {
  const stats = report.devices.find((device) => device.name === name)?.stats as Record<string, number> | undefined;
  assert.ok(stats);
  return Object.fromEntries(['pds', 'ahs', 'cqs', 'qps', 'mrs'].map((kind) => [kind, stats[kind] as number]));
}

const NOTHING = { pds: 0, ahs: 0, cqs: 0, qps: 0, mrs: 0 };

/** Nothing was refused by a model, and the kernel has said nothing that a real card would not cause. */
async function checkQuiet(vm: Vm): Promise<void> {
  const { devices } = await vm.deviceReport();
  for (const { name, errors } of devices) assert.deepEqual(errors, [], name);
  assert.deepEqual(vm.unexpected(), []);
}

describe('a Gaudi and a NIC under one switch', () => {
  let vm: Vm;
  let program: GaudiRdma | undefined;
  before(async () => {
    program = await GaudiRdma.build();
    vm = await boot('gaudi-efa');
  });
  after(async () => {
    await vm?.close();
    program?.[Symbol.dispose]();
  });

  /** A script with our program as "$@". What the shell says itself, e.g. of programs that were killed, is left out. */
  const shell = (script: string) =>
    lines(vm, ['sh', '-c', `exec 2>/dev/null; ${HELPERS}\n${script}`, 'sh', ...(program?.command ?? [])]);

  test('bytes go there and back across the switch, and the card outlives its program', async () => {
    const info = await output(vm, ['ibv_devinfo', '-v']);
    assert.match(info, /hca_id:\s+efa_0/);
    assert.match(info, /state:\s+PORT_ACTIVE/);
    const before = await vm.deviceReport();
    assert.deepEqual((await transfer(vm)).trim().split('\n'), [
      'write 0',
      'read 0',
      'equal True',
      'beyond 10',
      'closed 0',
    ]);
    const { traffic } = await vm.deviceReport();
    assert.deepEqual(
      traffic.filter(({ from, to }) => from === 'efa0' && to === 'gaudi0'),
      [{ from: 'efa0', to: 'gaudi0', route: 'switch', read: SIZE + 4096, written: SIZE }],
    );
    assert.equal(before.traffic.filter(({ from, to }) => from === 'efa0' && to === 'gaudi0').length, 0);
    await checkQuiet(vm);
  });

  test('the calls of an RDMA benchmark with a Gaudi option: card by bus address, device address as that of the region', async (t) => {
    if (!program) return t.skip('no C compiler on this host');
    const card = (await output(vm, ['cat', '/sys/class/accel/accel0/device/pci_addr'])).trim();
    assert.deepEqual(await lines(vm, [...program.command, 'transfer', '--card', card, '--size', String(SIZE)]), [
      'address base',
      'whole equal',
      'odd equal',
      'send equal',
      'beyond 10',
      'unregister 0',
      'done',
    ]);
    assert.deepEqual(await lines(vm, [...program.command, 'transfer', '--card', '0000:77:00.0'], 1), [
      'card 19 No such device',
    ]);
  });

  test('64 regions at once hold what was written to each', async (t) => {
    if (!program) return t.skip('no C compiler on this host');
    const words = ['many', '--count', '64', '--size', '65536'];
    assert.deepEqual(await lines(vm, [...program.command, ...words]), ['wrong 0', 'done']);
    assert.deepEqual(objects(await vm.deviceReport()), NOTHING);
  });

  test("datagrams leave the card's memory, and arrive behind a route header", async (t) => {
    if (!program) return t.skip('no C compiler on this host');
    const words = ['datagrams', '--count', '50'];
    assert.deepEqual(await lines(vm, [...program.command, ...words]), ['wrong 0', 'done']);
  });

  test('4 GiB are one region, and half of it copied to the other half holds up nobody', async (t) => {
    if (!program) return t.skip('no C compiler on this host');
    const words = ['large', '--size', String(2 ** 32), '--count', '1'];
    assert.deepEqual(await lines(vm, [...program.command, ...words]), ['wrong 0', 'beyond 10', 'done']);
    await checkQuiet(vm);
  });

  test('a program that is killed in mid-transfer leaves nothing behind', async (t) => {
    if (!program) return t.skip('no C compiler on this host');
    assert.deepEqual(await shell('begin "$@"; pkill -9 gaudi-rdma; finish; references; "$@" transfer | tail -n 1'), [
      'ended 137',
      'efa 0 habanalabs 0',
      'done',
    ]);
    assert.deepEqual(objects(await vm.deviceReport()), NOTHING);
    await checkQuiet(vm);
  });

  test('a reset of the card in mid-transfer ends its user, and both devices go on', async (t) => {
    if (!program) return t.skip('no C compiler on this host');
    const script = `resets=$(cat $CARD/hard_reset_cnt); begin "$@"; echo 1 >$CARD/hard_reset; finish
      until test $(cat $CARD/hard_reset_cnt) -gt $resets && operational; do sleep 0.2; done; references; "$@" transfer | tail -n 1`;
    assert.deepEqual(await shell(script), ['ended 137', 'efa 0 habanalabs 0', 'done']);
    assert.deepEqual(objects(await vm.deviceReport()), NOTHING);
    await checkQuiet(vm);
  });

  test('a NIC that is removed in mid-transfer waits for its user, and works when it is found again', async (t) => {
    if (!program) return t.skip('no C compiler on this host');
    // The driver has no disassociate_ucontext: unregistering waits until nobody has the device open.
    const script = `nic=$(readlink -f /sys/class/infiniband/efa_0/device); begin "$@"; echo 1 >$nic/remove & removing=$!
      until dmesg | grep -q 'Unregister ib device'; do sleep 0.2; done
      kill -0 $removing && echo waits; kill -0 $program && echo lives
      pkill -9 gaudi-rdma; finish; wait $removing; echo removed $?; ls /sys/class/infiniband | wc -l; references
      echo 1 >/sys/bus/pci/rescan; until test -e /sys/class/infiniband/efa_0; do sleep 0.2; done; "$@" transfer | tail -n 1`;
    const expected = ['waits', 'lives', 'ended 137', 'removed 0', '0', 'efa 0 habanalabs 0', 'done'];
    assert.deepEqual(await shell(script), expected);
    await checkQuiet(vm);
  });

  test('a card that is removed in mid-transfer ends its user, and works when it is found again', async (t) => {
    if (!program) return t.skip('no C compiler on this host');
    const script = `card=$(readlink -f $CARD); begin "$@"; echo 1 >$card/remove; finish; references
      echo 1 >/sys/bus/pci/rescan; until operational; do sleep 0.2; done; "$@" transfer | tail -n 1`;
    assert.deepEqual(await shell(script), ['ended 137', 'efa 0 habanalabs 0', 'done']);
    assert.deepEqual(objects(await vm.deviceReport()), NOTHING);
    await checkQuiet(vm);
  });

  test('the drivers can be unloaded', async () => {
    const modules = ['efa', 'ib_uverbs', 'sagrada_importer', 'habanalabs'];
    const unloaded = await lines(vm, ['rdma-python3', '-c', UNLOAD, ...modules]);
    assert.deepEqual(
      unloaded,
      modules.map((name) => `${name} 0`),
    );
    const { devices } = await vm.deviceReport();
    for (const { name, errors } of devices) assert.deepEqual(errors, [], name);
    assert.deepEqual(objects(await vm.deviceReport()), NOTHING);
    assert.deepEqual(vm.unexpected(), []);
  });
});

/** For scripts of the guest. */
const HELPERS = `
CARD=/sys/class/accel/accel0/device
# Starts transfers without end and waits until they run.
begin() { "$@" endless --size 65536 >/tmp/endless 2>&1 & program=$!; until grep -q running /tmp/endless; do sleep 0.1; done; }
finish() { wait $program; echo ended $?; }
operational() { test "$(cat $CARD/status 2>/dev/null)" = Operational; }
# Users of the drivers. A kernel drops some references later.
references() { until test $(cat /sys/module/efa/refcnt)$(cat /sys/module/habanalabs/refcnt) = 00; do sleep 0.1; done; echo efa 0 habanalabs 0; }
`;

test('a list of a million pages, and completion queues of several parts', async (t) => {
  using program = await GaudiRdma.build();
  if (!program) return t.skip('no C compiler on this host');
  // The list takes 8 MiB, which no kernel has in one piece: it is chained (efa_verbs.c, pbl_indirect_initialize).
  await using vm = await boot('gaudi-efa', { memory: 2 ** 30, devices: { nicLimits: { pageSizes: 4096, subCqs: 4 } } });
  const large = ['large', '--size', String(2 ** 32), '--count', '0'];
  assert.deepEqual(await lines(vm, [...program.command, ...large]), ['wrong 0', 'beyond 10', 'done']);
  assert.deepEqual(await lines(vm, [...program.command, 'many', '--count', '20', '--size', '1000000']), [
    'wrong 0',
    'done',
  ]);
  assert.deepEqual(await lines(vm, [...program.command, 'datagrams', '--count', '20']), ['wrong 0', 'done']);
  await benchmark(vm, `ib_send_bw -c SRD ${PERFTEST} -q 4`);
  assert.deepEqual(objects(await vm.deviceReport()), NOTHING);
  await checkQuiet(vm);
});

test('two cards and two NICs: each NIC reaches each card', async (t) => {
  using program = await GaudiRdma.build();
  if (!program) return t.skip('no C compiler on this host');
  await using vm = await boot('gaudi-x2-efa-x2');
  const addresses = (await output(vm, ['sh', '-c', 'cat /sys/class/accel/accel?/device/pci_addr'])).trim().split('\n');
  assert.equal(addresses.length, 2);
  const users = addresses.map(async (card, i) => {
    for (const nic of [i, 1 - i]) {
      const words = ['transfer', '--card', card, '--nic', String(nic)];
      assert.equal((await lines(vm, [...program.command, ...words])).at(-1), 'done');
    }
  });
  await Promise.all(users);
  const { traffic } = await vm.deviceReport();
  for (const from of ['efa0', 'efa1']) {
    for (const to of ['gaudi0', 'gaudi1']) {
      const moved = traffic.find((entry) => entry.from === from && entry.to === to);
      assert.ok(moved && moved.route === 'switch' && moved.written > 2 ** 21, `${from} to ${to}`);
    }
  }
  await checkQuiet(vm);
});

/** delete_module(2), for guests without the program. */
const UNLOAD = `
import ctypes, sys
for name in sys.argv[1:]:
    print(name, ctypes.CDLL(None).syscall(176, name.encode(), 0o4000))
`;

describe('a NIC is refused memory of the card', () => {
  const refused = /cannot be used for peer-to-peer DMA/;

  test('behind a root port of its own', async () => {
    await using vm = await boot('gaudi-efa-apart');
    assert.equal((await transfer(vm)).trim(), `refused ${EPERM}`);
    assert.ok(vm.kernelLog().some(({ text }) => refused.test(text)));
  });

  test('while the port above both sends requests between them upwards', async () => {
    await using vm = await boot('gaudi-efa-board');
    assert.match(await transfer(vm), /^write 0\nread 0\nequal True\n/);
    await output(vm, ['sh', '-c', REDIRECT, 'sh', '\\014']);
    assert.equal((await transfer(vm)).trim(), `refused ${EPERM}`);
    assert.ok(vm.kernelLog().some(({ text }) => /ACS redirect is set/.test(text)));
    await output(vm, ['sh', '-c', REDIRECT, 'sh', '\\000']);
    assert.match(await transfer(vm), /^write 0\nread 0\nequal True\n/);
  });

  test('by a kernel that has no peer-to-peer DMA, whose driver of the NIC works otherwise', async () => {
    await using vm = await boot('gaudi-efa', { kernel: 'stable' });
    assert.equal((await transfer(vm)).trim(), `refused ${EPERM}`);
    for (const name of ['ib_send_bw', 'ib_read_bw', 'ib_write_bw']) await benchmark(vm, `${name} -c SRD ${PERFTEST}`);
    assert.deepEqual(vm.unexpected(), []);
  });
});

/** Writes the ACS control register of the root port (PCI Express Base 5.0, 7.7.11.3), whose bits 2 and 3 redirect. */
const REDIRECT = `port=$(dirname $(readlink -f /sys/class/accel/accel0/device))
  # Extended capabilities: identity in bits 15:0, the next in bits 31:20.
  at=256; while head=$(od -A n -t u4 -j $at -N 4 $port/config); test $((head & 65535)) -ne 13; do at=$((head >> 20)); test $at -ne 0 || exit 1; done
  printf "$1" | dd of=$port/config bs=1 seek=$((at + 6)) conv=notrunc 2>&1`;

/** Runs a benchmark against itself. @param says what its client says in the end */
async function benchmark(vm: Vm, words: string, says = /#bytes +#iterations/): Promise<void> {
  const script = `ip link set lo up; ${words} >/tmp/server 2>&1 &
    server=$!; for i in $(seq 30); do sleep 0.3; ${words} 127.0.0.1 >/tmp/client 2>&1 && break; done
    wait $server && cat /tmp/client`;
  assert.match(await output(vm, ['sh', '-c', script]), says, words);
}

const PERFTEST = '-d efa_0 -x 0 -F -n 200';

describe("Debian's programs on one NIC", () => {
  let vm: Vm;
  before(async () => {
    vm = await boot('efa');
  });
  after(() => vm?.close());

  test('perftest sends, reads and writes over SRD, and datagrams arrive', async () => {
    for (const name of ['ib_send_bw', 'ib_read_bw', 'ib_write_bw']) await benchmark(vm, `${name} -c SRD ${PERFTEST}`);
    // The plug-in of the NIC has a completion for each request, so the benchmark must want that, too.
    await benchmark(vm, `ib_send_bw -c UD -Q 1 ${PERFTEST}`);
    // It looks for what was sent behind a route header.
    await benchmark(vm, 'ibv_ud_pingpong -d efa_0 -g 0 -n 50 -s 1024 -c', /102400 bytes in/);
    await checkQuiet(vm);
  });

  test('perftest measures latencies', async () => {
    for (const name of ['ib_send_lat', 'ib_read_lat']) await benchmark(vm, `${name} -c SRD ${FEW}`, /t_typical/);
    await benchmark(vm, `ib_send_lat -c SRD -e ${FEW}`, /t_typical/);
    await benchmark(vm, `ib_send_lat -c UD ${FEW}`, /t_typical/);
    // The plug-in of rdma-core 56 lays inline data of a write over the remote address, so that must be off.
    await benchmark(vm, `ib_write_lat -c SRD -I 0 ${FEW}`, /t_typical/);
    await benchmark(vm, `ib_write_lat -c SRD -s 65536 ${FEW}`, /t_typical/);
    await checkQuiet(vm);
  });

  test('perftest with several queues, in both directions, with events, and in large pieces', async () => {
    await benchmark(vm, `ib_write_bw -c SRD -q 4 -b ${FEW}`);
    await benchmark(vm, `ib_send_bw -c SRD -e -b -s 8928 ${FEW}`);
    await benchmark(vm, `ib_write_bw -c SRD --write_with_imm -l 4 ${FEW}`);
    await benchmark(vm, `ib_send_bw -c SRD -I 32 -s 32 -t 4096 -r 4096 ${FEW}`);
    await benchmark(vm, `ib_read_bw -c SRD -s 8388608 ${FEW}`, / 8388608 +20 /);
    assert.deepEqual(objects(await vm.deviceReport()), NOTHING);
    await checkQuiet(vm);
  });

  test('what the NIC cannot do is refused in words, and leaves nothing behind', async () => {
    const refusals = [
      ['-c SRD -s 8929 -x 0', /Max message size in SRD cannot be greater than 8928/],
      ['-c SRD -t 8192 -x 0', /Unable to create QP/],
      ['-c SRD -I 64 -x 0', /Unable to create QP/],
      ['-c SRD -x 1', /Unable to set up my IB connection parameters/],
      ['-c SRD -R -x 0', /SRD does not support RDMA_CM/],
      ['-c RC -x 0', /Unable to create QP/],
    ] as const;
    for (const [words, says] of refusals) {
      // Both sides are refused; which of them first does not matter.
      // A client that comes too early finds nobody, and a server whose client has gone would wait for ever.
      const command = `timeout 60 ib_send_bw -d efa_0 -F -n 9000 ${words}`;
      const script = `${command} >/tmp/server 2>&1 & server=$!; : >/tmp/client
        for i in $(seq 30); do kill -0 $server 2>/dev/null || break; ${command} 127.0.0.1 >>/tmp/client 2>&1; sleep 0.3; done
        wait $server; cat /tmp/server /tmp/client`;
      assert.match(await output(vm, ['sh', '-c', script]), says, words);
    }
    assert.deepEqual(objects(await vm.deviceReport()), NOTHING);
    await checkQuiet(vm);
  });

  test("the 20 cases for this NIC of rdma-core's own tests", async () => {
    const out = await output(vm, ['sh', '-c', RDMA_CORE_TESTS, 'sh', 'tests.test_efa_srd', 'tests.test_efadv']);
    assert.match(out, /^Ran 20 tests in /m);
    assert.match(out, /^OK$/m, out);
    await checkQuiet(vm);
  });
});

const FEW = '-d efa_0 -x 0 -F -n 20';

/** They are packed as documentation, some of them compressed. */
const RDMA_CORE_TESTS = `mkdir /tmp/rdma-core && cd /tmp/rdma-core
  cp -r "$(dirname "$(readlink -f "$(command -v rdma-run)")")/../root/usr/share/doc/rdma-core/tests" . && gunzip tests/*.gz
  # They would all be loaded, which takes long. One must come before those of efa, because these import each other.
  find tests -name 'test_*' ! -name 'test_efa*' ! -name test_addr.py -delete
  PYTHONPATH=/host/tmp/rdma-core:/host/tmp/rdma-core/tests rdma-python3 -W ignore tests/run_tests.py --dev efa_0 -v "$@" 2>&1`;
