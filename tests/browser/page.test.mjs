// Tests the web page of a real server in a real browser, with each database.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { after, afterEach, before, describe, test } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import axe from 'axe-core';
import { launch, open } from './browser.mjs';
import { HTML, TRACE, crowd, hostile, request, shop } from './records.mjs';
import { Server } from './server.mjs';

const DATABASES = (process.env.DATABASES ?? 'sqlite,postgres').split(',');
const CROWD = 3000;
const PATIENCE_MILLIS = 30_000;

for (const database of DATABASES) {
  describe(`web page with ${database}`, () => {
    let server;
    let browser;
    let page;

    before(async () => {
      [server, browser] = await Promise.all([Server.start(database), launch()]);
    });
    after(async () => {
      await browser?.close();
      await server?.stop();
    });
    afterEach(async () => {
      if (!page) return;
      const { complaints } = page;
      await page.context().close();
      page = null;
      assert.deepEqual(complaints, [], 'errors or warnings on the page');
    });

    const visit = async (path, options) => {
      page = await open(browser, server.url, path, options);
      return page;
    };
    const rows = () => page.locator('.row:not(.empty)');
    const messages = () => page.locator('.row .text').allTextContents();
    const services = () => page.locator('.row .service').allTextContents();
    // Reads until the value is as expected: rows are drawn when their response arrives.
    const eventually = async (read, expected) => {
      const end = Date.now() + PATIENCE_MILLIS;
      for (;;) {
        const found = await read();
        if (isDeepStrictEqual(found, expected)) return;
        if (Date.now() > end) assert.deepEqual(found, expected);
        await page.evaluate(() => new Promise((done) => requestAnimationFrame(done)));
      }
    };
    const different = (read) => async () => [...new Set(await read())].sort();
    const shown = (text) => page.locator('.banner').getByText(text).waitFor();
    const query = () => page.locator('#query');
    const search = async (text) => {
      await query().fill(text);
      await query().press('Enter');
    };
    // Returns a parameter of the address of the page.
    const address = (name) => new URL(page.url()).searchParams.get(name);

    test('empty database shows how to send a record, then the record', async () => {
      await visit('/');
      await page.getByText('No records yet').waitFor();
      const example = await page.locator('.example pre').first().textContent();
      assert.ok(example.includes(`${server.url}/api/v1/records`), example);
      await server.send([{ service: 'first', message: 'hello, logboom' }]);
      await rows().first().waitFor();
      await eventually(messages, ['hello, logboom']);
    });

    test('search finds records and is stored in the address', async () => {
      await server.send([...crowd(CROWD), ...shop(), hostile(), ...request()]);
      await visit('/');
      await shown('605 records');
      await search('service:billing level>=error');
      await shown(/^\d+ records/);
      await eventually(different(messages), ['payment failed']);
      assert.equal(address('q'), 'service:billing level>=error');
      await page.goBack();
      await shown('605 records');
      assert.equal(await query().inputValue(), '');
    });

    test('invalid part of a query is underlined, with the reason', async () => {
      await visit('/');
      await query().fill('service:billing "refused');
      await page.locator('.query-problem').getByText('The quote is not closed').waitFor();
      assert.equal(await page.locator('.mark').allTextContents().then((texts) => texts.join('')), '"refused');
      await query().press('Enter');
      await page.locator('.list').getByText('Invalid query').waitFor();
      assert.equal(await query().getAttribute('aria-invalid'), 'true');
      await search('refused');
      await rows().first().waitFor();
      assert.equal(await query().getAttribute('aria-invalid'), 'false');
      // The browser itself logs a response with status 400 on the console.
      page.complaints = page.complaints.filter((text) => !text.includes('400 (Bad Request)'));
    });

    test('fields and values are completed', async () => {
      await visit('/');
      await rows().first().waitFor();
      await page.locator('.facet').first().waitFor();
      await query().pressSequentially('serv');
      await page.getByRole('option', { name: 'service:' }).waitFor();
      await query().press('Tab');
      await page.getByRole('option', { name: 'worker' }).waitFor();
      await query().pressSequentially('bil');
      await page.getByRole('option', { name: 'worker' }).waitFor({ state: 'detached' });
      await page.getByRole('option', { name: 'billing' }).waitFor();
      await query().press('ArrowDown');
      await query().press('Enter');
      assert.equal(await query().inputValue(), 'service:billing ');
      await query().press('Enter');
      await page.waitForURL(/q=service%3Abilling/);
    });

    test('selected completion stays selected when new results arrive', async () => {
      await visit('/');
      await page.locator('.facet').first().waitFor();
      await query().pressSequentially('service:');
      await page.getByRole('option', { name: 'worker' }).waitFor();
      const held = [];
      await page.route(/prefix=b/, (route) => held.push(route));
      const asked = page.waitForRequest(/prefix=bil(&|$)/);
      await query().pressSequentially('bil');
      await page.getByRole('option', { name: 'worker' }).waitFor({ state: 'detached' });
      await query().press('ArrowDown');
      await asked;
      await eventually(async () => held.at(-1)?.request().url().includes('prefix=bil'), true);
      const response = await held.at(-1).fetch();
      const answer = await response.json();
      answer.values.unshift({ value: 'bilge', count: 1 });
      await held.at(-1).fulfill({ response, json: answer });
      await page.getByRole('option', { name: 'bilge' }).waitFor();
      await query().press('Enter');
      assert.equal(await query().inputValue(), 'service:billing ');
    });

    test('fields are completed on the errors page', async () => {
      await visit('/?view=errors');
      await page.locator('.group').first().waitFor();
      await eventually(async () => {
        await query().fill('exception.');
        return page.getByRole('option', { name: 'exception.type:' }).count();
      }, 1);
    });

    test('click on a value filters for it, minus excludes it', async () => {
      await visit('/');
      const facet = page.locator('.facet', { hasText: 'service' });
      await facet.getByRole('button', { name: 'auth' }).first().click();
      await page.waitForURL(/q=service%3Aauth/);
      await eventually(different(services), ['auth']);
      await facet.getByRole('button', { name: 'Exclude service auth' }).click();
      await eventually(different(services), [HTML, 'billing', 'web', 'worker']);
      assert.equal(address('q'), '-service:auth');
    });

    test('attribute is a filter like a field', async () => {
      await visit('/');
      await page.getByPlaceholder('Find a field').fill('user_id');
      await page.getByRole('button', { name: /^user_id/ }).click();
      await page.locator('.facet').getByRole('button', { name: '4711' }).first().click();
      await page.waitForURL(/q=user_id%3A4711/);
      await page.locator('.row', { hasText: 'token refreshed' }).first().waitFor();
    });

    test('nested attribute is a filter in facets and open record', async () => {
      await visit('/?q=retrying');
      await page.getByPlaceholder('Find a field').fill('retry');
      await page.getByRole('button', { name: /^retry\.seconds/ }).click();
      await page.locator('.facet').getByRole('button', { name: '5' }).first().click();
      await page.waitForURL(/q=retrying\+retry\.seconds%3A5/);
      await rows().first().click();
      await page.locator('.detail').getByRole('button', { name: 'Exclude retry.of 3' }).click();
      await page.getByText('No matching records.').waitFor();
      assert.equal(address('q'), 'retrying retry.seconds:5 -retry.of:3');
    });

    test('dragging on the histogram selects a time range', async () => {
      await visit('/');
      await shown('605 records');
      const box = await page.locator('.histogram svg').boundingBox();
      const at = (share) => [box.x + box.width * share, box.y + box.height / 3];
      await page.mouse.move(...at(0.4));
      await page.mouse.down();
      await page.mouse.move(...at(0.5), { steps: 4 });
      await page.locator('.tip').waitFor();
      assert.equal(await page.locator('.histogram svg').evaluate((plot) => getComputedStyle(plot).outlineStyle), 'none');
      await page.mouse.move(...at(0.6), { steps: 4 });
      await page.mouse.up();
      await page.waitForURL(/since=.*until=/);
      const minutes = (Date.parse(address('until')) - Date.parse(address('since'))) / 60_000;
      assert.ok(minutes >= 11 && minutes <= 15, `${minutes} minutes of 60 were chosen`);
      const total = Number((await page.locator('.banner').getByText(/^\d+ records/).textContent()).match(/\d+/)[0]);
      assert.ok(total > 50 && total < 605, `${total} records are in it`);
    });

    test('arrow keys on the histogram select a time range', async () => {
      await visit('/');
      await shown('605 records');
      await page.locator('.histogram svg').focus();
      for (const key of ['ArrowLeft', 'Shift+ArrowLeft', 'Shift+ArrowLeft', 'Enter']) await page.keyboard.press(key);
      await page.waitForURL(/since=.*until=/);
    });

    test('range picker accepts relative and absolute ranges', async () => {
      await visit('/');
      await page.getByRole('button', { name: 'Time range' }).click();
      await page.getByRole('button', { name: 'All time' }).click();
      await shown(/^3,605 records/);
      assert.equal(address('since'), '');
      await page.getByRole('button', { name: 'Time range' }).click();
      const written = (moment) => new Date(moment).toISOString().slice(0, 19);
      await page.getByLabel('From').fill(written(Date.now() - 4 * 3600e3));
      await page.getByLabel('To', { exact: true }).fill(written(Date.now() - 3600e3));
      await page.getByRole('button', { name: 'Apply' }).click();
      await shown(/^3,000 records/);
    });

    test('link of an open record shows the same record and list', async () => {
      await visit('/?q=service:billing level>=error');
      await page.locator('.row', { hasText: 'payment failed' }).nth(1).click();
      const detail = page.locator('.detail');
      await detail.locator('.stack-trace').getByText("KeyError: 'card'").waitFor();
      assert.equal(await detail.getByRole('row', { name: 'user_id' }).locator('.value').textContent(), '42');
      const id = address('record');
      await detail.getByRole('button', { name: 'Copy link' }).click();
      await detail.getByText('Copied').first().waitFor();
      const link = await page.evaluate(() => navigator.clipboard.readText());
      const seen = await messages();

      const { complaints } = page;
      await page.context().close();
      assert.deepEqual(complaints, []);
      await visit(link.slice(server.url.length));
      await page.locator('.detail').getByText(`record ${id}`).waitFor();
      await page.locator('.row.selected').waitFor();
      assert.equal(await query().inputValue(), 'service:billing level>=error');
      await eventually(messages, seen);
    });

    test('open record is copied as JSON, its fields are filters', async () => {
      await visit('/?q=service:billing level>=error');
      await rows().first().click();
      const detail = page.locator('.detail');
      await detail.getByRole('button', { name: 'Copy JSON' }).click();
      await detail.getByText('Copied').first().waitFor();
      const record = JSON.parse(await page.evaluate(() => navigator.clipboard.readText()));
      assert.equal(record.attributes['exception.type'], 'KeyError');
      await detail.getByRole('button', { name: 'show JSON' }).click();
      assert.deepEqual(JSON.parse(await detail.locator('pre.json').textContent()), record);
      await detail.getByRole('button', { name: 'show fields' }).click();
      await detail.getByRole('button', { name: 'Show only host vm-1' }).or(detail.getByRole('button', { name: /^Show only host/ })).first().click();
      await page.waitForURL(/host%3Avm-/);
    });

    test('trace and context of a record are shown in order', async () => {
      await visit(`/?q=trace_id:${TRACE}`);
      await rows().first().click();
      await page.getByRole('button', { name: 'Show trace' }).click();
      await shown(/3 records in/);
      await eventually(messages, [1, 2, 3].map((step) => `step ${step} of the request`));
      await page.getByRole('button', { name: 'Export' }).click();
      await page.getByText('All records of this trace').waitFor();
      const [download] = await Promise.all([page.waitForEvent('download'), page.getByRole('link', { name: /^NDJSON/ }).click()]);
      assert.equal((await readFile(await download.path(), 'utf8')).trim().split('\n').length, 3);
      await page.getByRole('button', { name: 'Show context' }).click();
      await shown('Around record');
      await page.locator('.row.marked', { hasText: 'step 3' }).waitFor();
      await eventually(different(services), ['auth']);
      await page.getByRole('button', { name: 'all services' }).click();
      await page.locator('.row', { hasText: 'step 2' }).waitFor();
      await page.getByRole('button', { name: 'Back to search' }).click();
      await shown('3 records');
    });

    test('long list scrolls to its end with under 100 rows drawn', async () => {
      await visit('/?q=service:crowd&since=6h');
      await shown(/^3,000 records/);
      const list = page.locator('.list');
      const end = page.getByText('End of results');
      while (!(await end.isVisible())) {
        await list.evaluate((element) => element.scrollTo(0, element.scrollHeight));
        assert.ok((await page.locator('.row').count()) < 100);
        // A response may be pending; waiting for a frame allows it to be drawn.
        await page.evaluate(() => new Promise((done) => requestAnimationFrame(done)));
      }
      await page.locator('.row', { hasText: /number 1$/ }).waitFor();
      assert.equal(await page.getByRole('grid').getAttribute('aria-rowcount'), String(CROWD));
      await list.evaluate((element) => element.scrollTo(0, 0));
      await page.locator('.row', { hasText: `number ${CROWD}` }).waitFor();
    });

    test('live tail counts records during a pause, then shows them', async () => {
      await visit('/?q=service:live');
      await page.keyboard.press('t');
      await shown('Following new records');
      await server.send([{ service: 'live', message: 'the first' }, { service: 'other', message: 'not this' }]);
      await page.locator('.row', { hasText: 'the first' }).waitFor();
      await page.getByRole('button', { name: 'Pause' }).click();
      await server.send([{ service: 'live', message: 'the second' }, { service: 'live', message: 'the third' }]);
      await shown('2 new');
      await eventually(messages, ['the first']);
      await page.getByRole('button', { name: 'Resume' }).click();
      await page.locator('.row', { hasText: 'the third' }).waitFor();
      await eventually(messages, ['the third', 'the second', 'the first']);
      await page.getByRole('button', { name: 'Stop' }).click();
      await shown('3 records');
    });

    test('input before the first paint is not lost', async () => {
      await visit('/');
      await page.addInitScript(() => {
        addEventListener('DOMContentLoaded', () => {
          document.body.dispatchEvent(new KeyboardEvent('keydown', { key: 't', bubbles: true }));
          const box = document.getElementById('query');
          box.value = 'service:live';
          box.dispatchEvent(new Event('input', { bubbles: true }));
        });
      });
      await page.reload();
      await shown('Following new records');
      assert.equal(await query().inputValue(), 'service:live');
    });

    test('export contains all records of the search', async () => {
      await visit('/?q=service:billing level>=error');
      await shown(/^\d+ records/);
      const total = Number((await page.locator('.banner').getByText(/^\d+ records/).textContent()).match(/\d+/)[0]);
      for (const [name, ending] of [[/^CSV/, 'csv'], [/^NDJSON/, 'ndjson']]) {
        await page.getByRole('button', { name: 'Export' }).click();
        const [download] = await Promise.all([page.waitForEvent('download'), page.getByRole('link', { name }).click()]);
        assert.equal(download.suggestedFilename(), `logs.${ending}`);
        const text = await readFile(await download.path(), 'utf8');
        assert.equal(text.split('payment failed').length - 1, total, ending);
      }
    });

    test('searches are stored as recent and as saved', async () => {
      await visit('/');
      await search('service:auth');
      await page.waitForURL(/service%3Aauth/);
      await page.getByRole('button', { name: 'Saved and recent' }).click();
      await page.getByPlaceholder('Name this search').fill('logins');
      await page.getByRole('button', { name: 'Save', exact: true }).click();
      await page.getByRole('button', { name: /logins/ }).first().waitFor();
      await page.keyboard.press('Escape');
      await page.goto(server.url);
      await page.getByRole('button', { name: 'Saved and recent' }).click();
      await page.getByRole('button', { name: /^logins/ }).click();
      await page.waitForURL(/service%3Aauth/);
      assert.equal(await query().inputValue(), 'service:auth');
    });

    test('errors are grouped, and a group links to its records', async () => {
      await visit('/?view=errors');
      const group = page.locator('.group', { hasText: 'KeyError' });
      await group.getByText('payment failed').waitFor();
      assert.ok(await group.getByText('/srv/billing/app/payments.py:88').isVisible());
      const number = await group.locator('.group-count b').textContent();
      await group.getByRole('button', { name: /KeyError/ }).click();
      await shown(`${number} records`);
      await eventually(different(messages), ['payment failed']);
    });

    test('operations page shows accepted and rejected records', async () => {
      await server.post('/api/v1/records', '{"message":"good"}\nnot json\n');
      await visit('/?view=operations');
      await page.getByText('The server is healthy.').waitFor();
      const source = page.getByRole('row', { name: /^http/ });
      await source.locator('.bad', { hasText: /^1$/ }).waitFor();
      const { sources, stores } = await server.get('/api/v1/status');
      const { accepted } = sources.find(({ source: name }) => name.startsWith('http'));
      await source.getByText(accepted.toLocaleString('en')).first().waitFor();
      await page.getByRole('row', { name: new RegExp(`^${stores[0].name}`) }).waitFor();
      await server.send([{ message: 'one more' }]);
      await source.getByText((accepted + 1).toLocaleString('en')).first().waitFor();
    });

    test('HTML in a record is shown as text everywhere', async () => {
      const asText = async (where) => {
        await where.getByText(HTML, { exact: true }).first().waitFor();
        assert.equal(await page.locator('img[src=x], script:not([src]), main b:text("bold")').count(), 0);
      };
      await visit('/?q="onerror"');
      await asText(page.locator('.list'));
      await asText(page.locator('.facets'));
      await rows().first().click();
      await asText(page.locator('.detail'));
      await page.getByRole('button', { name: 'show JSON' }).click();
      assert.ok((await page.locator('.detail pre.json').textContent()).includes('<script>'));
      await page.goto(`${server.url}/?view=errors`);
      await asText(page.locator('.groups'));
      await page.goto(`${server.url}/?q=${encodeURIComponent(HTML)}`);
      await query().waitFor();
      assert.equal(await page.evaluate(() => document.querySelectorAll('img[src=x]').length), 0);
      page.complaints = page.complaints.filter((text) => !text.includes('400 (Bad Request)'));
    });

    test('HTML in the address and in local storage is shown as text', async () => {
      await visit('/');
      await page.evaluate((html) => {
        localStorage.setItem('logboom.recent', JSON.stringify([html]));
        localStorage.setItem('logboom.saved', JSON.stringify([{ name: html, q: html, since: html, until: html }]));
      }, HTML);
      const html = encodeURIComponent(HTML);
      const places = ['q', 'view', 'since', 'until', 'live', 'record', 'around', 'scope', 'trace'].map((name) => `/?${name}=${html}`);
      for (const path of [...places, `/?around=1&scope=${html}`, `/?view=errors&q=${html}&since=${html}`]) {
        await page.goto(server.url + path);
        await query().waitFor();
        await page.getByRole('button', { name: 'Saved and recent' }).or(page.locator('h1')).first().waitFor();
        if (await page.locator('h1').count() === 0) {
          await page.getByRole('button', { name: 'Saved and recent' }).click();
          await page.locator('.saved-choices').getByText(HTML, { exact: true }).first().waitFor();
        }
        assert.equal(await page.locator('img[src=x], script:not([src]), b:text("bold")').count(), 0, path);
      }
      page.complaints = page.complaints.filter((text) => !/ 40[04] \(/.test(text));
    });

    test('severity facet finds all spellings of a severity', async () => {
      await server.send(['warn', 'WARNING', 'Warn'].map((level) => ({ level, service: 'spelling', message: 'spelt' })));
      await visit('/?q=service:spelling');
      const severity = page.locator('.facet', { hasText: 'severity' }).first();
      await severity.getByRole('button', { name: /^WARN/ }).click();
      await page.waitForURL(/severity%3AWARN/);
      await shown('3 records');
      assert.equal(await severity.locator('.facet-pick .number').first().textContent(), '3');
    });

    test('terminal colours are removed on display but copied', async () => {
      await server.send([{ service: 'colours', message: '\x1b[31mred\x1b[0m alert' }]);
      await visit('/?q=service:colours');
      await eventually(messages, ['red alert']);
      await rows().first().click();
      assert.equal(await page.locator('.detail-message').textContent(), 'red alert');
      await page.getByRole('button', { name: 'Copy JSON' }).click();
      await page.locator('.detail').getByText('Copied').first().waitFor();
      assert.ok((await page.evaluate(() => navigator.clipboard.readText())).includes('\\u001b[31mred'));
    });

    test('long number keeps all digits: shown, copied, filtered', async () => {
      const digits = '9007199254740993';
      await server.post('/api/v1/records', `{"message":"of a long number","order_id":${digits}}`);
      await server.post('/api/v1/flush', '');
      await visit('/?q="of a long number"');
      await page.locator('.row .pair', { hasText: digits }).waitFor();
      await rows().first().click();
      const detail = page.locator('.detail');
      await detail.getByRole('button', { name: 'Copy JSON' }).click();
      await detail.getByText('Copied').first().waitFor();
      assert.ok((await page.evaluate(() => navigator.clipboard.readText())).includes(`"order_id": ${digits}`));
      await detail.getByRole('button', { name: `Show only order_id ${digits}` }).click();
      await page.waitForURL(new RegExp(`order_id%3A${digits}`));
      await shown('1 record');
    });

    test('page is usable by keyboard alone', async () => {
      await visit('/');
      await rows().first().waitFor();
      await page.keyboard.press('/');
      assert.equal(await page.evaluate(() => document.activeElement.id), 'query');
      await page.keyboard.type('service:web');
      await page.getByRole('option', { name: 'web' }).waitFor();
      await page.keyboard.press('Escape'); // closes the suggestions only
      await page.getByRole('option').first().waitFor({ state: 'detached' });
      await page.keyboard.press('Enter');
      await page.waitForURL(/service%3Aweb/);
      await eventually(different(services), ['web']);
      await page.keyboard.press('Escape');
      for (const key of ['j', 'j', 'k', 'j']) await page.keyboard.press(key);
      await page.keyboard.press('Enter');
      await page.locator('.detail').waitFor();
      assert.equal(await page.locator('.row.selected').getAttribute('aria-rowindex'), '2');
      await page.keyboard.press('j');
      await page.locator('.row.selected[aria-rowindex="3"]').waitFor();
      await page.keyboard.press('Escape');
      await page.locator('.detail').waitFor({ state: 'detached' });
      await page.keyboard.press('?');
      await page.getByRole('dialog', { name: 'Help' }).waitFor();
      await page.keyboard.press('Escape');
      await page.getByRole('dialog', { name: 'Help' }).waitFor({ state: 'detached' });
      await page.keyboard.press('2');
      await page.getByRole('heading', { name: 'Errors' }).waitFor();
      await page.keyboard.press('3');
      await page.getByRole('heading', { name: 'Operations' }).waitFor();
    });

    test('colours follow the system or the choice', async () => {
      const paper = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
      await visit('/', { colorScheme: 'dark' });
      const dark = await paper();
      await page.getByRole('button', { name: /^Colours: system/ }).click();
      const light = await paper();
      assert.notEqual(dark, light);
      await page.reload();
      await page.getByRole('button', { name: /^Colours: light/ }).waitFor();
      assert.equal(await paper(), light);
    });

    // Accessibility does not depend on the database, so one database is enough.
    if (database === DATABASES[0]) {
      test('axe finds no accessibility violations, light and dark', async () => {
        const views = ['/', '/?q=service:billing level>=error', '/?view=errors', '/?view=operations', '/?q=nothing_is_called_so'];
        for (const colorScheme of ['light', 'dark']) {
          for (const path of views) {
            await page?.context().close();
            await visit(path, { colorScheme, reducedMotion: 'reduce' });
            await page.locator('.row, .group, .figure, .notice').first().waitFor();
            await page.locator('.skeleton').first().waitFor({ state: 'detached' });
            if (path.includes('billing')) await rows().first().click();
            await page.evaluate(axe.source);
            const { violations } = await page.evaluate(() => window.axe.run({ runOnly: ['wcag2a', 'wcag2aa', 'wcag21aa'] }));
            const found = violations.flatMap(({ id, nodes }) => nodes.map(({ html }) => `${colorScheme} ${path} ${id}: ${html}`));
            assert.deepEqual(found, []);
          }
        }
      });
    }

    test('phone layout has no overflow and reaches all views', async () => {
      await visit('/', { viewport: { width: 390, height: 844 }, hasTouch: true });
      await rows().first().waitFor();
      const overflow = () => page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      assert.equal(await overflow(), 0);
      await page.getByRole('button', { name: 'Filters' }).click();
      await page.locator('.facets').getByRole('button', { name: 'billing' }).first().tap();
      await page.waitForURL(/service%3Abilling/);
      await page.getByRole('button', { name: 'Close filters' }).tap();
      await rows().first().tap();
      await page.locator('.detail').getByRole('button', { name: 'Copy link' }).waitFor();
      assert.equal(await overflow(), 0);
      // The open record covers the list, so it closes to show the context.
      await page.locator('.detail').getByRole('button', { name: 'Show context' }).tap();
      await page.locator('.detail').waitFor({ state: 'detached' });
      await page.locator('.row.marked').waitFor();
      for (const name of ['Errors', 'Operations']) {
        await page.getByRole('link', { name, exact: true }).tap();
        await page.getByRole('heading', { name }).waitFor();
        assert.equal(await overflow(), 0);
      }
    });

    test('unreachable server is reported, and retry works', async () => {
      await visit('/');
      await rows().first().waitFor();
      await page.route('**/api/v1/**', (route) => route.abort());
      await search('refused');
      await page.locator('.list').getByText('The server does not respond').waitFor();
      await page.unroute('**/api/v1/**');
      await page.locator('.list').getByRole('button', { name: 'Try again' }).click();
      await page.locator('.row', { hasText: 'connection refused' }).first().waitFor();
      page.complaints = page.complaints.filter((text) => !text.includes('ERR_FAILED'));
    });
  });
}
