// Starts a real PostgreSQL server for tests, in a temporary folder with its Unix socket.

import { execFile, spawn } from 'node:child_process';
import { chown, mkdtemp, readdir, rm, access } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);
const NOBODY = 65534;
const PATIENCE_MILLIS = 60_000;

// PostgreSQL refuses to run as root, so the server runs as the user nobody in that case.
const asUser = process.getuid() === 0 ? { uid: NOBODY, gid: NOBODY } : {};

export async function startPostgres() {
  const folder = await mkdtemp(join(tmpdir(), 'logboom-postgres-'));
  if (asUser.uid) await chown(folder, NOBODY, NOBODY);
  const data = join(folder, 'data');
  const options = { cwd: folder, ...asUser };
  await run(await program('initdb'), ['-D', data, '-U', 'logboom', '--auth=trust', '--no-sync', '-E', 'UTF8', '--locale=C'], options);
  const settings = ['fsync=off', 'listen_addresses=', `unix_socket_directories=${folder}`, 'max_connections=60'];
  const child = spawn(await program('postgres'), ['-D', data, ...settings.flatMap((setting) => ['-c', setting])], {
    ...options,
    stdio: 'ignore',
  });
  const psql = await program('psql');
  const asked = (sql) => run(psql, ['-h', folder, '-U', 'logboom', '-d', 'postgres', '-Atqc', sql], { cwd: folder });
  await eventually(() => asked('SELECT 1'));
  // logboom rejects SQL statements of a superuser.
  await asked('CREATE ROLE writer LOGIN');
  await asked('CREATE DATABASE logs OWNER writer');
  return {
    url: `postgres://writer@${encodeURIComponent(folder)}/logs`,
    async stop() {
      const ended = new Promise((done) => child.once('exit', done));
      child.kill('SIGINT');
      await ended;
      await rm(folder, { recursive: true, force: true });
    },
  };
}

// Debian installs the server programs outside the search path.
async function program(name) {
  const versions = await readdir('/usr/lib/postgresql').catch(() => []);
  const folders = [...process.env.PATH.split(':'), ...versions.map((version) => `/usr/lib/postgresql/${version}/bin`)];
  for (const folder of folders) {
    const path = join(folder, name);
    if (await access(path).then(() => true, () => false)) return path;
  }
  throw new Error(`${name} is missing: install postgresql`);
}

async function eventually(attempt) {
  const end = Date.now() + PATIENCE_MILLIS;
  for (;;) {
    try {
      return await attempt();
    } catch (error) {
      if (Date.now() > end) throw error;
      await new Promise((done) => setTimeout(done, 20));
    }
  }
}
