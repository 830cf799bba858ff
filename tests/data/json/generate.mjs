// Writes what Node.js loggers send, with fixed times and processes, into this folder.
//
// npm install pino bunyan winston && node generate.mjs
//
// Made with pino 10, bunyan 2.0 and winston 3.19.

import { writeFileSync } from "node:fs";
import { Writable } from "node:stream";
import pino from "pino";
import bunyan from "bunyan";
import winston from "winston";

const TIME = 1795255200123; // 2026-11-21T10:00:00.123Z
const STACK = "Error: refused\n    at pay (/srv/app/views.js:17:3)\n    at main (/srv/app/main.js:3:1)";

function failure() {
  const error = new Error("refused");
  error.stack = STACK;
  error.code = "E42";
  return error;
}

const written = {};
const sink = (name) => ({ write: (line) => (written[name] = (written[name] ?? "") + line) });

const p = pino(
  { name: "billing", base: { pid: 4321, hostname: "web-1", name: "billing" }, timestamp: () => `,"time":${TIME}` },
  sink("pino"),
);
p.info({ user_id: 42 }, 'card "4ü" refused');
p.error(failure(), "failed");

const b = bunyan.createLogger({ name: "billing", streams: [{ stream: sink("bunyan") }], serializers: bunyan.stdSerializers });
b.fields.pid = 4321;
b.fields.hostname = "web-1";
b.warn({ user_id: 42, time: new Date(TIME) }, "card refused");
b.fatal({ err: failure(), time: new Date(TIME) }, "failed");

const stamp = winston.format((info) => Object.assign(info, { timestamp: new Date(TIME).toISOString() }));
const stream = new Writable({ write: (line, _, done) => (sink("winston").write(line.toString()), done()) });
const w = winston.createLogger({
  level: "silly",
  format: winston.format.combine(winston.format.errors({ stack: true }), stamp(), winston.format.json()),
  transports: [new winston.transports.Stream({ stream })],
});
w.warn("card refused", { user_id: 42, service: "billing" });
w.error(failure());
w.verbose({ message: { a: 1 } });
w.on("finish", () => {
  for (const [name, lines] of Object.entries(written)) {
    writeFileSync(new URL(`${name}.jsonl`, import.meta.url), lines);
  }
});
w.end();
