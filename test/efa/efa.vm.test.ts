/** Under the real drivers: Debian's RDMA programs, and memory of a Gaudi registered with the NIC. */

import assert from 'node:assert/strict';
import path from 'node:path';
import { test } from 'node:test';
import { bootVm, type Vm } from '../../src/machine/vm/vm.ts';
import { cacheFolder } from '../../src/os/cache.ts';
import { DRM_IOCTL_HL_MEMORY, hl_mem_args, memoryOperations } from '../../src/uapi/habanalabs/memory.ts';

const SIZE = 8 * 1024 ** 2;
/** Where user memory of a Gaudi begins. */
const DRAM_USER_BASE = 0x2000_0000;
const O_CLOEXEC_RDWR = 0o2000002;
const EPERM = 1;

async function output(vm: Vm, command: readonly string[]): Promise<string> {
  const out: Buffer[] = [];
  const take = (data: Buffer) => void out.push(Buffer.from(data));
  const status = await vm.run(command, { onStdout: take, onStderr: take });
  const text = Buffer.concat(out).toString();
  assert.equal(status, 0, text);
  return text;
}

function transfer(vm: Vm): Promise<string> {
  const { value: op } = memoryOperations.HL_MEM_OP_EXPORT_DMABUF_FD;
  const export_dmabuf_fd = { addr: DRAM_USER_BASE, mem_size: SIZE };
  const argument = Buffer.from(hl_mem_args.encode({ in: { export_dmabuf_fd, op, flags: O_CLOEXEC_RDWR } })).toString(
    'hex',
  );
  const program = path.join(import.meta.dirname, 'peer-transfer.py');
  // The tree of the RDMA programs sees /tmp, not the folder that this file is in.
  const script = 'cp "$1" /tmp/transfer.py && shift && exec rdma-python3 /tmp/transfer.py "$@"';
  const words = [program, String(DRM_IOCTL_HL_MEMORY.request), argument, String(SIZE)];
  return output(vm, ['sh', '-c', script, 'sh', ...words]);
}

const boot = (machine: string) => bootVm({ machine, kernel: 'backports', cache: cacheFolder(), say: () => {} });

test('the NIC writes and reads memory of the card across the switch, and the card outlives its program', async () => {
  await using vm = await boot('gaudi-efa');
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
  const { traffic, devices } = await vm.deviceReport();
  assert.deepEqual(
    traffic.filter(({ from, to }) => from === 'efa0' && to === 'gaudi0'),
    [{ from: 'efa0', to: 'gaudi0', route: 'switch', read: SIZE + 4096, written: SIZE }],
  );
  assert.equal(before.traffic.filter(({ from, to }) => from === 'efa0' && to === 'gaudi0').length, 0);
  for (const { name, errors } of devices) assert.deepEqual(errors, [], name);
  assert.deepEqual(vm.unexpected(), []);
});

test('a NIC behind a root port of its own is refused memory of the card', async () => {
  await using vm = await boot('gaudi-efa-apart');
  assert.equal((await transfer(vm)).trim(), `refused ${EPERM}`);
});

test('perftest sends, reads and writes over SRD', async () => {
  await using vm = await boot('efa');
  for (const name of ['ib_send_bw', 'ib_read_bw', 'ib_write_bw']) {
    const script = `ip link set lo up; ${name} -c SRD -d efa_0 -x 0 -F -n 200 >/tmp/server 2>&1 &
      for i in 1 2 3 4 5 6 7 8 9; do sleep 1; ${name} -c SRD -d efa_0 -x 0 -F -n 200 127.0.0.1 >/tmp/client 2>&1 && break; done
      wait $! && cat /tmp/client`;
    assert.match(await output(vm, ['sh', '-c', script]), /#bytes +#iterations/, name);
  }
  assert.deepEqual(vm.unexpected(), []);
});
