// Starts the real server on free ports, in its own folder, with the database that a test requires.

import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { startPostgres } from './postgres.mjs';

const PROGRAM = process.env.LOGBOOM ?? resolve(import.meta.dirname, '../../target/debug/logboom');
const PATIENCE_MILLIS = 60_000;

export class Server {
  // `database` is `sqlite` or `postgres`.
  static async start(database = 'sqlite') {
    const server = new Server();
    server.folder = await mkdtemp(join(tmpdir(), 'logboom-browser-'));
    server.postgres = database === 'postgres' ? await startPostgres() : null;
    const store = server.postgres ? server.postgres.url : 'sqlite';
    const listen = ['python', 'http'].flatMap((protocol) => ['--listen', `${protocol}=127.0.0.1:0`]);
    const data = ['--data-dir', join(server.folder, 'data'), '--store', store];
    server.child = spawn(PROGRAM, ['serve', '--log-format', 'json', ...data, ...listen], {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    // Also kills the server if a test or a screenshot fails.
    process.once('exit', () => server.child.kill('SIGKILL'));
    server.url = await server.ready();
    return server;
  }

  // Returns the address of the page once the server is ready.
  ready() {
    const said = [];
    return new Promise((done, failed) => {
      const give = (why) => failed(new Error(`${why}; its output:\n${said.join('\n')}`));
      const timer = setTimeout(give, PATIENCE_MILLIS, 'the server is not ready');
      this.child.on('error', failed);
      this.child.on('exit', (code) => give(`the server exited with ${code}`));
      let url;
      createInterface({ input: this.child.stderr }).on('line', (line) => {
        said.push(line);
        const event = JSON.parse(line);
        if (event.message === 'listening' && event.protocol === 'http') url = `http://${event.address}`;
        if (event.message !== 'ready') return;
        clearTimeout(timer);
        done(url);
      });
    });
  }

  // Sends records and waits until they are stored.
  async send(records) {
    const body = records.map((record) => JSON.stringify(record)).join('\n');
    await this.post('/api/v1/records', body);
    await this.post('/api/v1/flush', '');
  }

  async post(path, body) {
    const answer = await fetch(this.url + path, { method: 'POST', body });
    if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`);
    return answer.json();
  }

  async get(path) {
    return (await fetch(this.url + path)).json();
  }

  async stop() {
    const ended = new Promise((done) => this.child.once('exit', done));
    this.child.kill('SIGKILL');
    await ended;
    await this.postgres?.stop();
    await rm(this.folder, { recursive: true, force: true });
  }
}
