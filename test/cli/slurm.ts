/** A Slurm cluster on this machine, for a test: Debian's daemons, two nodes, nothing installed and no root. */

import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { hostname, userInfo } from 'node:os';
import path from 'node:path';
import { privateCommand } from '../../src/machine/vm/private-tree.ts';
import { run } from '../../src/os/run.ts';
import { privatePackages } from '../private-packages.ts';

const PACKAGES = {
  name: 'slurm',
  packages: ['slurmctld', 'slurmd', 'slurm-client', 'munge'],
  // plug-ins for other hardware, and what sets a whole system up
  unused:
    /^(perl|base-passwd|init-system-helpers|debconf|libdebconfclient|libaudit|libpam|adduser|passwd|login|systemd|libsystemd-shared|libsem|libsepol|openssl-provider|mount|procps|sensible|ucf|libtext|libhwloc-plugins|ocl-icd|libze1|libxnvctrl|libx11|libxcb|libxau|libxdmcp|libxext|readline-common)/,
  space: 200e6,
};
const LIBRARIES = 'usr/lib/x86_64-linux-gnu';
const PLUGINS = `${LIBRARIES}/slurm-wlm`;

export interface Cluster extends AsyncDisposable {
  /** For programs that submit to it. */
  readonly env: Readonly<Record<string, string>>;
  /** What a client program says. @throws Error when it fails */
  ask(program: string, ...args: readonly string[]): Promise<string>;
}

/** @param folder with a short name, for it and its sockets */
export async function startCluster(folder: string): Promise<Cluster> {
  const tree = await privatePackages(PACKAGES);
  const at = (name: string) => path.join(folder, name);
  for (const name of ['bin', 'state']) mkdirSync(at(name));
  const way = (program: string, name = path.basename(program)) => {
    const [loader = '', ...args] = privateCommand(tree, program) ?? [];
    const words = [loader, ...args].map((word) =>
      // Slurm's own library is with its plug-ins
      word === path.basename(program)
        ? at(`bin/${name}`)
        : word.replace(`${tree}/${LIBRARIES}:`, `${tree}/${LIBRARIES}:${tree}/${PLUGINS}:`),
    );
    // it starts itself again by its name, which is therefore that of this script
    writeFileSync(at(`bin/${name}`), `#!/bin/sh\nexec ${words.join(' ')} "$@"\n`, { mode: 0o755 });
  };
  way('usr/sbin/munged');
  for (const name of ['slurmctld', 'slurmd', 'slurmstepd']) way(`usr/sbin/${name}-wlm`, name);
  for (const name of ['sbatch', 'squeue', 'sinfo', 'scontrol']) way(`usr/bin/${name}`);
  const [controller, first, second] = await freePorts(3);
  const user = userInfo().username;
  const host = hostname().split('.')[0];
  writeFileSync(at('key'), 'a key that everybody may know, of 128 bytes or fewer', { mode: 0o600 });
  writeFileSync(at('cgroup.conf'), 'CgroupPlugin=disabled\n');
  const nodes = [first, second].map(
    (port, i) => `NodeName=node${i + 1} NodeHostname=${host} NodeAddr=127.0.0.1 Port=${port} CPUs=2 RealMemory=8192\n`,
  );
  writeFileSync(
    at('slurm.conf'),
    `ClusterName=test
SlurmctldHost=${host}(127.0.0.1)
SlurmctldPort=${controller}
AuthType=auth/munge
AuthInfo=socket=${at('munge')}
CredType=cred/munge
PluginDir=${tree}/${PLUGINS}
SlurmUser=${user}
SlurmdUser=${user}
StateSaveLocation=${at('state')}
SlurmdSpoolDir=${at('spool.%n')}
SlurmctldPidFile=${at('slurmctld.pid')}
SlurmdPidFile=${at('slurmd.%n.pid')}
MailProg=/bin/true
ProctrackType=proctrack/pgid
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
ReturnToService=2
${nodes.join('')}PartitionName=test Nodes=node[1-2] Default=YES State=UP
`,
  );
  const env = { SLURM_CONF: at('slurm.conf'), PATH: `${at('bin')}:${process.env.PATH}` };
  const daemons: ChildProcess[] = [];
  const start = (name: string, program: string, ...args: readonly string[]) => {
    const log = openSync(at(`${name}.out`), 'w');
    daemons.push(
      spawn(at(`bin/${program}`), args, { env: { ...process.env, ...env }, stdio: ['ignore', log, log], cwd: folder }),
    );
    closeSync(log);
  };
  const ask = async (program: string, ...args: readonly string[]) => {
    const { status, stdout, stderr } = await run(at(`bin/${program}`), args, { env: { ...process.env, ...env } });
    if (status !== 0) throw new Error(`${program}: ${stderr}`);
    return stdout.toString();
  };
  const cluster: Cluster = {
    env,
    ask,
    async [Symbol.asyncDispose]() {
      for (const daemon of daemons.toReversed()) {
        if (daemon.exitCode !== null || daemon.signalCode !== null) continue;
        const ended = new Promise((resolve) => daemon.once('exit', resolve));
        daemon.kill();
        await ended;
      }
    },
  };
  try {
    const munge = ['key-file=key', 'socket=munge', 'pid-file=munge.pid', 'seed-file=munge.seed'].map((option) =>
      option.replace('=', `=${folder}/`),
    );
    start('munged', 'munged', '--foreground', '--force', ...munge.map((option) => `--${option}`));
    start('slurmctld', 'slurmctld', '-D', '-i');
    for (const node of ['node1', 'node2']) start(node, 'slurmd', '-D', '-N', node, '-d', at('bin/slurmstepd'));
    await until(async () => (await ask('sinfo', '-h', '-N', '-o', '%T').catch(() => '')).trim() === 'idle\nidle');
  } catch (error) {
    await cluster[Symbol.asyncDispose]();
    const said = ['munged', 'slurmctld', 'node1'].map((name) => readFileSync(at(`${name}.out`), 'utf8').slice(-2000));
    throw new Error(said.join('\n'), { cause: error });
  }
  return cluster;
}

/** @throws Error when it is not so within two minutes */
export async function until(condition: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 120_000;
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error('this has taken too long');
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}

async function freePorts(count: number): Promise<readonly number[]> {
  const servers = Array.from({ length: count }, () => createServer().listen(0, '127.0.0.1'));
  const ports: number[] = [];
  for (const server of servers) {
    if (!server.listening) await new Promise((resolve) => server.once('listening', resolve));
    ports.push((server.address() as { readonly port: number }).port);
  }
  for (const server of servers) server.close();
  return ports;
}
