#!/usr/bin/env node
// Starts the CLI on the Node that this package pins (the `node` dependency): the sources are TypeScript
// that only Node 24 or later runs directly. An older Node re-executes itself once.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import * as module from 'node:module';
import { createRequire } from 'node:module';
import path from 'node:path';
import process from 'node:process';

if (Number(process.versions.node.split('.')[0]) >= 24) {
  module.enableCompileCache?.();
  const { main } = await import('../src/cli/main.ts');
  await main(process.argv);
} else {
  const pinned = pinnedNode();
  if (pinned === undefined || !existsSync(pinned)) {
    console.error(`sagrada: needs Node 24 or later (this is ${process.version}); run "npm ci", which installs it`);
    process.exitCode = 1;
  } else {
    const child = spawnSync(pinned, process.argv.slice(1), { stdio: 'inherit' });
    if (child.signal) process.kill(process.pid, child.signal);
    process.exitCode = child.status ?? 1;
  }
}

function pinnedNode() {
  try {
    const { resolve } = createRequire(import.meta.url);
    return path.join(path.dirname(resolve('node/package.json')), 'bin', 'node');
  } catch {
    return undefined;
  }
}
