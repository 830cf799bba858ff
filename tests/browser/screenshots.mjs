// Creates the screenshots of docs/web-page.md: `node screenshots.mjs`.

import { mkdir } from 'node:fs/promises';
import { resolve } from 'node:path';
import { launch, open } from './browser.mjs';
import { TRACE, request, shop } from './records.mjs';
import { Server } from './server.mjs';

const FOLDER = resolve(import.meta.dirname, '../../docs/screenshots');
const DESKTOP = { viewport: { width: 1440, height: 900 } };
const PHONE = { viewport: { width: 390, height: 844 }, hasTouch: true };
const LOAD_RECORDS = 40; // every 200 ms, for the rates and the tail
const WATCH_MILLIS = 20_000; // for enough samples in the graphs of the operations page

const SHOTS = {
  search: { path: '/' },
  detail: { path: '/?q=service:billing level>=error', act: (page) => page.locator('.row').nth(1).click() },
  complete: { path: '/', only: 'desktop', act: complete },
  trace: { path: `/?trace=${TRACE}`, only: 'desktop', act: (page) => page.locator('.row').first().click() },
  errors: { path: '/?view=errors' },
};

// Screenshots of a server under load.
const BUSY_SHOTS = {
  live: { path: '/?live=1', act: (page) => page.locator('.row').nth(15).waitFor() },
  operations: { path: '/?view=operations', act: (page) => page.waitForTimeout(WATCH_MILLIS) },
};

async function complete(page) {
  await page.locator('.facet').first().waitFor();
  await page.locator('#query').pressSequentially('level>=warn service:');
  await page.getByRole('option').first().waitFor();
}

// Puts the server under a light load until the returned function is called.
function load(server) {
  const timer = setInterval(() => {
    const now = Date.now();
    const at = (index) => new Date(now - 5 * (LOAD_RECORDS - index)).toISOString();
    const records = shop(1000).slice(-LOAD_RECORDS).map((record, index) => ({ ...record, time: at(index) }));
    server.send(records).catch(() => clearInterval(timer));
  }, 200);
  return () => clearInterval(timer);
}

async function shoot(browser, server, [name, shot], [device, options], colorScheme) {
  if (shot.only && shot.only !== device) return;
  const page = await open(browser, server.url, shot.path, { ...options, colorScheme });
  await page.locator('.row, .group, .figure, .example').first().waitFor();
  await page.locator('.skeleton').first().waitFor({ state: 'detached' });
  await shot.act?.(page);
  await page.mouse.move(0, 0);
  await page.waitForTimeout(400); // until transitions have ended
  await page.screenshot({ path: `${FOLDER}/${name}-${device}-${colorScheme}.png` });
  await page.context().close();
}

async function shootAll(shots) {
  for (const shot of Object.entries(shots)) {
    for (const device of Object.entries({ desktop: DESKTOP, phone: PHONE })) {
      await Promise.all(['light', 'dark'].map((colours) => shoot(browser, server, shot, device, colours)));
    }
  }
}

await mkdir(FOLDER, { recursive: true });
const browser = await launch();
const server = await Server.start();
await shootAll({ empty: { path: '/' } });
await server.send([...shop(6000), ...request()]);
await shootAll(SHOTS);
const stop = load(server);
await shootAll(BUSY_SHOTS);
stop();
await browser.close();
await server.stop();
