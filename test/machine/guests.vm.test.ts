/** Two guests with the real drivers, in a network that loses and reorders: what one moves into the memory of the other's card. */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { PassThrough } from 'node:stream';
import { after, before, describe, test } from 'node:test';
import { bundle } from '../../src/exercise/bundle.ts';
import { parts } from '../../src/machine/vm/cache-parts.ts';
import type { DeviceReport } from '../../src/machine/vm/device-server.ts';
import { privateQemu } from '../../src/machine/vm/qemu.ts';
import { bootGuests, type Vm } from '../../src/machine/vm/vm.ts';
import { cacheFolder } from '../../src/os/cache.ts';
import { processesWith } from './processes.ts';

const SIZE = 4 * 2 ** 20;
const PERFTEST = '-d efa_0 -x 0 -F -n 200';

const folder = realpathSync(mkdtempSync(path.join(tmpdir(), 'vm-guests-')));
after(() => rmSync(folder, { recursive: true }));

/** A program in one of the guests, which says lines and waits for lines. */
class Program {
  readonly ended: Promise<number | Error>;
  readonly lines: string[] = [];
  over = false;
  #rest = '';
  #told = () => {};
  readonly #input = new PassThrough();

  constructor(vm: Vm, command: readonly string[]) {
    const take = (data: Buffer) => {
      const lines = (this.#rest + data.toString()).split('\n');
      this.#rest = lines.pop() ?? '';
      this.lines.push(...lines);
      this.#told();
      return undefined;
    };
    const options = { stdin: this.#input, onStdout: take, onStderr: take };
    this.ended = vm.run(command, options).catch((error: Error) => error);
    void this.ended.then(() => {
      this.over = true;
      this.#told();
    });
  }

  /** Waits for a line. */
  async said(line: string): Promise<void> {
    while (!this.lines.includes(line)) {
      assert.ok(!this.over, `"${line}" was not said:\n${this.lines.join('\n')}`);
      await new Promise<void>((resolve) => {
        this.#told = resolve;
      });
    }
  }

  go(): void {
    this.#input.write('\n');
  }
}

type Traffic = DeviceReport['traffic'];

/** Bytes that went between two devices, or to and from all. */
function moved(before: Traffic, after: Traffic, from: RegExp, to: string) {
  const sum = (list: Traffic, what: 'read' | 'written') =>
    list.filter((t) => from.test(t.from) && t.to === to).reduce((bytes, t) => bytes + t[what], 0);
  return { read: sum(after, 'read') - sum(before, 'read'), written: sum(after, 'written') - sum(before, 'written') };
}

describe('two guests, each with a Gaudi and a NIC', () => {
  let vms: readonly Vm[] = [];
  const both = <T>(body: (vm: Vm, guest: number) => Promise<T>) => Promise.all(vms.map(body));
  before(async () => {
    const network = { loss: 0.01, reorder: 0.1, seed: 11 };
    const options = { machine: 'gaudi-efa', kernel: 'backports', cache: cacheFolder(), say: () => {} };
    vms = await bootGuests({ ...options, memory: 2 ** 30, devices: { network } }, 2);
  });
  after(() => both((vm) => vm.close()));

  for (const name of ['ib_write_bw', 'ib_send_bw']) {
    test(`${name} moves all its messages, whatever the network loses`, async () => {
      const server = `${name} -c SRD ${PERFTEST}`;
      // The server is there when its port is.
      const client = `for i in $(seq 300); do ${server} guest0 >/tmp/client 2>&1 && break
        grep -q "Couldn't connect" /tmp/client || break; sleep 0.2; done; cat /tmp/client`;
      const outputs = await both(async (vm, guest) => {
        const program = new Program(vm, ['sh', '-c', guest === 0 ? server : client]);
        const status = await program.ended;
        return { status, text: program.lines.join('\n') };
      });
      for (const { status, text } of outputs) {
        assert.equal(status, 0, text);
        assert.match(text, /#bytes +#iterations[\s\S]*\n +(65536|8928) +200 /, text);
      }
      const [report] = await both((vm) => vm.deviceReport());
      assert.ok((report?.network.lost ?? 0) > 0);
    });
  }

  test("memory of one's card into memory of the other's, and from a guest whose power fails nothing comes", async () => {
    const program = await bundle(path.join(import.meta.dirname, 'guests-transfer.ts'), folder);
    const programs = vms.map((vm) => new Program(vm, [process.execPath, program, String(SIZE)]));
    const all = (body: (program: Program) => Promise<void>) => Promise.all(programs.map(body));
    const traffic = () => both(async (vm) => (await vm.deviceReport()).traffic);
    await all((p) => p.said('ready'));
    const before = await traffic();
    for (const p of programs) p.go();
    await all((p) => p.said('moved'));
    const after = await traffic();
    for (const p of programs) p.go();
    await all((p) => p.said('running'));
    for (const [guest, { lines }] of programs.entries()) {
      assert.deepEqual(lines.slice(0, 4), ['ready', 'moved', 'written equal', 'read equal'], `guest${guest}`);
      const [from, to] = [before[guest] ?? [], after[guest] ?? []];
      const { read, written } = moved(from, to, /^efa0$/, 'gaudi0');
      assert.equal(written, 2 * SIZE, `guest${guest}`);
      // What the network loses is read once more.
      assert.ok(read >= 2 * SIZE, `guest${guest}: ${read}`);
      const host = moved(from, to, /./, 'host');
      assert.ok(host.read + host.written < SIZE / 16, `guest${guest}: ${host.read + host.written} bytes of the host`);
    }
    const [first, second] = vms as readonly [Vm, Vm];
    const [lost, left] = programs as [Program, Program];
    const carried = async () => (await second.deviceReport()).network.carried;
    const start = await carried();
    while ((await carried()) < start + 1000) assert.ok(!lost.over && !left.over, left.lines.join('\n'));
    first.powerOff();
    assert.ok((await lost.ended) instanceof Error);
    assert.equal(await left.ended, 0, left.lines.join('\n'));
    const [failed, itself] = left.lines.slice(5);
    assert.match(failed ?? '', /^failed (UNRESP_REMOTE|UNREACH_REMOTE|REMOTE_)/);
    assert.equal(itself, 'itself equal');
    assert.match(await first.end.then(String), /power of the guest was cut/);
    for (const vm of vms) assert.deepEqual(vm.unexpected(), []);
    const { devices } = await second.deviceReport();
    for (const { name, errors } of devices) assert.deepEqual(errors, [], name);
  });
});

test('where one of two does not come up, both are ended, and one line names it', () => {
  const temporary = path.join(folder, 'temporary');
  mkdirSync(temporary);
  const { command } = privateQemu(parts(cacheFolder()).qemu, '');
  // Ends the second guest when the first has started.
  const script = `#!/bin/sh
case "$*" in
*/guest1/*) until test -e ${folder}/started; do sleep 0.1; done; echo 'no more today' >&2; exit 1 ;;
*/guest0/*) touch ${folder}/started ;;
esac
exec ${command.map((word) => `'${word}'`).join(' ')} "$@"
`;
  const qemu = path.join(folder, 'qemu');
  writeFileSync(qemu, script, { mode: 0o755 });
  const program = path.join(import.meta.dirname, '..', '..', 'bin/sagrada.js');
  const words = ['vm', 'run', '--guests', '2', '--qemu', qemu, '--log', path.join(folder, 'log'), '--', 'echo', 'runs'];
  const env = { ...process.env, TMPDIR: temporary };
  const { status, stdout, stderr } = spawnSync(process.execPath, [program, ...words], { encoding: 'utf8', env });
  assert.equal(status, 125, stderr);
  assert.equal(stdout, '');
  const reasons = stderr.split('\n').filter((line) => line.includes('QEMU has ended'));
  assert.deepEqual(reasons, ['sagrada: guest1: QEMU has ended: no more today'], stderr);
  assert.deepEqual(processesWith(temporary), []);
  const left = readdirSync(temporary).filter((name) => name.startsWith('sagrada-'));
  assert.deepEqual(left, []);
});
