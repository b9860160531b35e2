/**
 * A private apt: it has its own lists, status and archive folder, needs no root, and installs nothing. apt verifies
 * every package against the signed lists of the Debian archive; packages are then unpacked with dpkg-deb.
 */

import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, readdir, rm, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { findProgram, type RunResult, run } from '../../os/run.ts';
import { UserError } from '../../sim/errors.ts';

/** What to do where the archive cannot be used. */
const INSTEAD = 'pass --qemu, --kernel and --modules to "sagrada vm run" instead';

const KEYRING = '/usr/share/keyrings/debian-archive-keyring.gpg';

export interface Package {
  readonly name: string;
  readonly version: string;
  /** File name in the archive folder. */
  readonly file: string;
  /** Bytes to download. */
  readonly size: number;
  /** SHA-256 of the file, hexadecimal. */
  readonly sha256: string;
}

/** Suites of the archive that are used. */
export const SUITES = { stable: 'trixie', backports: 'trixie-backports' } as const;

export class Apt {
  readonly #folder: string;
  readonly #environment: NodeJS.ProcessEnv;
  readonly #signal: AbortSignal | undefined;

  private constructor(folder: string, signal: AbortSignal | undefined) {
    this.#folder = folder;
    this.#signal = signal;
    this.#environment = { ...process.env, APT_CONFIG: path.join(folder, 'apt.conf'), LC_ALL: 'C' };
  }

  /**
   * @param folder where lists and packages are kept.
   * @param mirror URI of a Debian archive; default: the one the host's own apt uses.
   * @throws UserError where the host has no apt, or no mirror is known.
   */
  static async open(folder: string, mirror: string | undefined, signal?: AbortSignal): Promise<Apt> {
    const missing = ['apt-get', 'apt-config', 'dpkg-deb'].filter((name) => findProgram(name) === undefined);
    if (missing.length > 0) throw new UserError(`no ${missing.join(', ')} on this system: ${INSTEAD}`);
    if (process.arch !== 'x64') throw new UserError(`the guest is for x86-64 hosts, this is ${process.arch}`);
    const uri = mirror ?? process.env.SAGRADA_DEBIAN_MIRROR ?? (await hostMirror(signal));
    const apt = new Apt(folder, signal);
    await apt.#configure(uri);
    return apt;
  }

  async #configure(mirror: string): Promise<void> {
    await stat(KEYRING).catch(() => {
      throw new UserError(`${KEYRING} is missing: install the package debian-archive-keyring, or ${INSTEAD}`);
    });
    if (!/^[a-z][a-z0-9+.:/_~%-]*$/i.test(mirror)) throw new UserError(`not the URI of an archive: ${mirror}`);
    // Only how to reach the network is taken over from the host (proxies, time-outs, certificates), not its hooks.
    const acquire = await this.#run('apt-config', ['dump', 'Acquire'], { ...process.env, LC_ALL: 'C' });
    const kept = acquire.stdout
      .toString()
      .split('\n')
      .filter((line) => /^Acquire::/.test(line) && !/^Acquire::(IndexTargets|Changelogs|Languages)\b/.test(line));
    const file = (name: string) => path.join(this.#folder, name);
    for (const name of ['lists/partial', 'archives', 'empty/partial']) await mkdir(file(name), { recursive: true });
    const configuration = {
      'Dir::State': this.#folder,
      'Dir::State::lists': file('lists'),
      'Dir::State::status': file('status'),
      'Dir::Cache': this.#folder,
      // Not where the packages are kept: --print-uris leaves out what it finds here.
      'Dir::Cache::archives': file('empty'),
      'Dir::Cache::pkgcache': '',
      'Dir::Cache::srcpkgcache': '',
      'Dir::Etc::sourcelist': file('sources.list'),
      'Dir::Etc::sourceparts': file('empty'),
      'Dir::Etc::parts': file('empty'),
      'Dir::Etc::main': file('none'),
      'Dir::Etc::preferences': file('none'),
      'Dir::Etc::preferencesparts': file('empty'),
      'Dir::Log': file('empty'),
      'APT::Architecture': 'amd64',
      'APT::Architectures': 'amd64',
      'APT::Install-Recommends': 'false',
      // The cache folder need not be readable to the user _apt.
      'APT::Sandbox::User': 'root',
      'Acquire::Languages': 'none',
      'Acquire::Retries': '2',
      'Acquire::http::Timeout': '30',
      'Acquire::https::Timeout': '30',
      'Acquire::ForceHash': 'sha256',
    };
    const lines = Object.entries(configuration).map(([key, value]) => `${key} ${JSON.stringify(value)};`);
    const sources = Object.values(SUITES).map((suite) => `deb [signed-by=${KEYRING}] ${mirror} ${suite} main`);
    await writeFile(file('apt.conf'), `${[...kept, ...lines].join('\n')}\n`);
    await writeFile(file('sources.list'), `${sources.join('\n')}\n`);
    await writeFile(file('status'), '');
  }

  /** Fetches the signed lists. @throws UserError without network. */
  async update(): Promise<void> {
    await this.#apt(['--error-on=any', 'update'], 'the package lists cannot be fetched');
  }

  /** What `packages` need to be installed on an empty system, from `suite` where it has them, else from stable. */
  async closure(suite: string, packages: readonly string[]): Promise<Package[]> {
    const args = ['-qq', '--print-uris', '--target-release', suite, 'install', ...packages];
    return parseUris(await this.#apt(args, `cannot be installed from ${suite}: ${packages.join(' ')}`));
  }

  /** Exactly `packages`. */
  async packages(suite: string, packages: readonly string[]): Promise<Package[]> {
    const args = ['-qq', '--print-uris', '--target-release', suite, 'download', ...packages];
    return parseUris(await this.#apt(args, `not in ${suite}: ${packages.join(' ')}`));
  }

  /** Bytes of `packages` that are not there yet. */
  async missing(packages: readonly Package[]): Promise<number> {
    let bytes = 0;
    for (const pkg of packages) bytes += Math.max(0, pkg.size - (await sizeOf(this.file(pkg))));
    return bytes;
  }

  /** Path of a downloaded package. */
  file(pkg: Package): string {
    return path.join(this.#folder, 'archives', pkg.file);
  }

  /**
   * Downloads what is not there yet; an interrupted download goes on where it ended.
   * @param onProgress told the bytes that are there, about twice a second.
   */
  async download(packages: readonly Package[], onProgress: (bytes: number) => void): Promise<void> {
    const wanted: Package[] = [];
    for (const pkg of packages) if (!(await this.#intact(pkg))) wanted.push(pkg);
    const present = async () => {
      let bytes = 0;
      for (const pkg of packages) bytes += await sizeOf(this.file(pkg));
      return bytes;
    };
    const timer = setInterval(() => void present().then(onProgress), 500);
    try {
      if (wanted.length > 0) {
        const names = wanted.map((pkg) => `${pkg.name}=${pkg.version}`);
        await this.#apt(['-qq', 'download', ...names], 'the download failed', 'archives');
      }
    } finally {
      clearInterval(timer);
    }
    for (const pkg of wanted) {
      if (await this.#intact(pkg)) continue;
      throw new UserError(`${pkg.file} was downloaded and is not what the archive's signed list says; try again`);
    }
    onProgress(await present());
  }

  /** Whether the package is there and has the right sum; a whole file with the wrong one is removed. */
  async #intact(pkg: Package): Promise<boolean> {
    const file = this.file(pkg);
    if ((await sizeOf(file)) < pkg.size) return false;
    const hash = createHash('sha256');
    for await (const chunk of createReadStream(file)) hash.update(chunk as Buffer);
    if (hash.digest('hex') === pkg.sha256) return true;
    await rm(file);
    return false;
  }

  /** Removes the package files that are not among `keep`. */
  async prune(keep: readonly Package[]): Promise<void> {
    const names = new Set(keep.map((pkg) => pkg.file));
    const folder = path.join(this.#folder, 'archives');
    for (const name of await readdir(folder))
      if (!names.has(name)) await rm(path.join(folder, name), { recursive: true, force: true });
  }

  /** Unpacks a package's files into `folder`. */
  async unpack(pkg: Package, folder: string): Promise<void> {
    const result = await this.#run('dpkg-deb', ['-x', this.file(pkg), folder], this.#environment);
    if (result.status !== 0) throw failure(`cannot unpack ${pkg.file}`, result);
  }

  /** Where apt runs matters: `download` puts packages there, and --print-uris leaves out those that it finds there. */
  async #apt(args: readonly string[], what: string, folder: 'archives' | 'empty' = 'empty'): Promise<string> {
    const cwd = path.join(this.#folder, folder);
    const result = await this.#run('apt-get', args, this.#environment, cwd);
    if (result.status !== 0) throw failure(what, result);
    return result.stdout.toString();
  }

  #run(name: string, args: readonly string[], env: NodeJS.ProcessEnv, cwd = '/'): Promise<RunResult> {
    return run(findProgram(name) ?? name, args, { cwd, env, signal: this.#signal });
  }
}

/** The Debian archive that the host's own apt is configured to use. */
async function hostMirror(signal: AbortSignal | undefined): Promise<string> {
  const format = (list: string) => `$(ORIGIN)|$(LABEL)|$(SIGNED_BY)|$(REPO_URI)|${list}`;
  for (const args of [[], ['--no-release-info']]) {
    const result = await run('apt-get', ['indextargets', ...args, '--format', format('$(CREATED_BY)')], { signal });
    const rows = result.stdout
      .toString()
      .split('\n')
      .map((line) => line.split('|'));
    // With the lists at hand, they say whose they are; without, the address has to do: .../debian or .../debian/.
    const found =
      rows.find(([origin, label]) => origin === 'Debian' && label === 'Debian') ??
      rows.find(([, , , uri]) => uri !== undefined && /\/debian\/?$/.test(uri));
    if (found?.[3]) return found[3];
  }
  throw new UserError(`this system's apt uses no Debian archive: name one with --mirror URI, or ${INSTEAD}`);
}

/** Lines of `--print-uris`: 'uri' file size SHA256:sum */
export function parseUris(text: string): Package[] {
  const packages: Package[] = [];
  for (const line of text.split('\n')) {
    const match = /^'([^']+)' (\S+) (\d+) SHA256:([0-9a-f]{64})$/.exec(line);
    if (!match) continue;
    const [, , file = '', size = '', sha256 = ''] = match;
    const [name, version] = file.split('_');
    if (!name || !version || file.includes('/')) continue;
    packages.push({ name, version: decodeURIComponent(version), file, size: Number(size), sha256 });
  }
  return packages;
}

async function sizeOf(file: string): Promise<number> {
  return (await stat(file).catch(() => undefined))?.size ?? 0;
}

/** One line from what apt or dpkg-deb said. */
function failure(what: string, result: RunResult): UserError {
  const lines = result.stderr.split('\n').filter((line) => /^(E:|W: Failed|dpkg-deb: error)/.test(line));
  const said = (lines[0] ?? result.stderr.trim().split('\n').at(-1) ?? '').replace(/^(E|W): /, '');
  if (/No space left|not enough free space/i.test(result.stderr))
    return new UserError(`${what}: no space left on the disk`);
  const hint = /resolve|connect|timed out|unreachable/i.test(result.stderr)
    ? '; check the network, or name another archive with --mirror URI'
    : '';
  return new UserError(`${what}: ${said || `status ${result.status}`}${hint}`);
}
