// Drives the pages in Chromium as a person would, and has axe look at each.
// UI_URL, UI_PASSWORD: an instance with something in it; UI_EMPTY_URL,
// UI_EMPTY_PASSWORD: one with nothing. UI_SHOTS: a folder for screenshots.
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { readFileSync } from 'node:fs';
import { chromium } from 'playwright-core';

const { UI_URL, UI_PASSWORD, UI_EMPTY_URL, UI_EMPTY_PASSWORD, UI_SHOTS } = process.env;
const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: '--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update --disable-sync'.split(
    ' ',
  ),
});

let scheme = 'light';
const problems = [];

async function open(url) {
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, colorScheme: scheme });
  const page = await context.newPage();
  page.setDefaultTimeout(30_000);
  // A violation of the content security policy shows here too.
  page.on('console', (m) => m.type() === 'error' && !/status of 4\d\d/.test(m.text()) && problems.push(m.text()));
  page.on('pageerror', (e) => problems.push(String(e)));
  page.on('request', (r) => !r.url().startsWith(url) && problems.push(`asked elsewhere: ${r.url()}`));
  await page.goto(url);
  return page;
}

async function signIn(url, password) {
  const page = await open(url);
  await page.getByLabel('Password').fill(password);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.getByRole('navigation').waitFor();
  return page;
}

async function look(page, name) {
  // Evaluated by the debugger: the page's own policy would let no script in.
  await page.evaluate(axe);
  const found = await page.evaluate(() => globalThis.axe.run());
  for (const v of found.violations) {
    problems.push(
      `axe, ${name} ${scheme}: ${v.id}: ${v.help}\n  ${v.nodes.map((n) => n.html + ' ' + (n.failureSummary ?? '')).join('\n  ')}`,
    );
  }
  if (UI_SHOTS) await page.screenshot({ path: `${UI_SHOTS}/${name}-${scheme}.png` });
}

const steps = {
  async 'a wrong password is refused'() {
    const page = await open(UI_URL);
    await page.getByLabel('Password').fill('wrong');
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.getByText('do not match').waitFor();
    await look(page, 'signin');
    await page.context().close();
  },

  async 'Home answers in one sentence'() {
    const began = Date.now();
    const page = await signIn(UI_URL, UI_PASSWORD);
    await page.getByText(/waiting for you/).waitFor();
    await page.getByText('Newest alerts').waitFor();
    await page.getByRole('link', { name: 'suricata.dns' }).waitFor();
    console.log(`  Home stands ${Date.now() - began} ms after the sign-in page was asked for`);
    const again = Date.now();
    await page.reload();
    await page.getByText(/waiting for you/).waitFor();
    console.log(`  and ${Date.now() - again} ms after a reload`);
    await look(page, 'home');
    await page.context().close();
  },

  async 'the keyboard triages the inbox'() {
    const page = await signIn(UI_URL, UI_PASSWORD);
    await page.keyboard.press('g');
    await page.keyboard.press('i');
    await page.locator('tbody tr.focus').waitFor();
    await look(page, 'inbox');
    await page.keyboard.press('j');
    await page.keyboard.press('Enter');
    const panel = page.getByRole('complementary', { name: 'Alert group' });
    await panel.getByRole('heading', { level: 1 }).waitFor();
    const title = await panel.getByRole('heading', { level: 1 }).textContent();
    const group = new URL(page.url()).searchParams.get('group');
    assert.ok(group, 'the URL says which group is open');
    await look(page, 'panel');
    await page.keyboard.press('n');
    await page.getByLabel('Text of the note').fill('seen <b>this</b> before');
    await page.getByRole('button', { name: 'Add note' }).click();
    await page.getByText('1 note').first().waitFor();
    await panel.getByRole('tab', { name: /History/ }).click();
    await panel.getByText('seen <b>this</b> before').waitFor();
    await look(page, 'history');
    await panel.getByRole('tab', { name: 'Evidence' }).click();
    await panel.getByText('Event, suricata').waitFor();
    await look(page, 'evidence');
    await page.keyboard.press('*');
    await panel.getByText('★ Starred').waitFor();
    await page.keyboard.press('s');
    await panel.getByText('· escalated').waitFor();
    await page.keyboard.press('Escape');
    await panel.waitFor({ state: 'detached' });

    await page.goto(`${UI_URL}/inbox?tab=escalated`);
    await page.locator('tbody tr.focus').waitFor();
    assert.equal(await page.locator('tbody tr:not([aria-hidden])').count(), 1);
    await page.keyboard.press('e');
    await page.getByText('No alert group is escalated').waitFor();
    await page.goto(`${UI_URL}/inbox?tab=archived&group=${encodeURIComponent(group)}`);
    assert.equal(await page.getByRole('complementary').getByRole('heading', { level: 1 }).textContent(), title);
    await page.context().close();
  },

  async 'bulk actions and filters'() {
    const page = await signIn(UI_URL, UI_PASSWORD);
    await page.goto(`${UI_URL}/inbox?severity=critical`);
    await page.locator('tbody tr.critical').first().waitFor();
    assert.equal(await page.locator('tbody tr.low').count(), 0);
    await page.keyboard.press('x');
    await page.keyboard.press('j');
    await page.keyboard.press('x');
    await page.getByText('2 selected').waitFor();
    await page.keyboard.press('e');
    await page.getByText('2 groups archived').waitFor();
    await page.getByLabel('Filter by text').fill('no such thing');
    await page.getByLabel('Filter by text').press('Enter');
    await page.getByText(/Filters hide/).waitFor();
    await look(page, 'inbox-filtered');
    await page.getByRole('button', { name: 'Clear the filters' }).click();
    await page.locator('tbody tr.focus').waitFor();
    await page.context().close();
  },

  async 'text from outside stays text'() {
    const page = await signIn(UI_URL, UI_PASSWORD);
    await page.goto(`${UI_URL}/inbox?kind=mail`);
    await page.getByText('<script>alert(1)</script>').first().waitFor();
    await page.context().close();
  },

  async 'Search finds, counts, zooms and refines'() {
    const page = await signIn(UI_URL, UI_PASSWORD);
    await page.keyboard.press('/');
    await page.getByLabel('Query').fill('event.dataset:suricata.dns');
    await page.getByLabel('Query').press('Enter');
    await page.locator('tbody tr').first().waitFor();
    await page.getByText(/\d events/).waitFor();
    await page.getByRole('complementary', { name: 'Top values' }).getByText('dns.question.name').waitFor();
    await look(page, 'search');
    await page.keyboard.press('Escape');
    await page.keyboard.press('Enter');
    const value = page.locator('tr.fields').getByRole('button', { name: /^host\d+\.example\.org$/ });
    const name = await value.textContent();
    await value.click();
    await look(page, 'search-menu');
    await page.getByRole('menuitem', { name: 'Include' }).click();
    await page.waitForURL((u) => u.searchParams.get('q') === `event.dataset:suricata.dns dns.question.name:${name}`);
    await page.locator('tbody tr').first().waitFor();

    await page.getByLabel('Query').fill('a AND (b');
    await page.getByLabel('Query').press('Enter');
    await page.getByText(/Column \d+/).waitFor();
    await look(page, 'search-error');
    await page.getByLabel('Query').fill('surelynothere');
    await page.getByLabel('Query').press('Enter');
    await page.getByText(/The query hides/).waitFor();
    await page.getByRole('link', { name: 'Clear the query' }).click();

    const bars = page.getByRole('img', { name: /Events by time/ });
    await bars.waitFor();
    const box = await bars.boundingBox();
    await page.mouse.move(box.x + box.width * 0.25, box.y + 20);
    await page.mouse.down();
    await page.mouse.move(box.x + box.width * 0.75, box.y + 20, { steps: 4 });
    await page.mouse.up();
    await page.waitForURL((u) => u.searchParams.has('to'));
    await page.goBack();
    await page.waitForURL((u) => !u.searchParams.has('to'));
    await page.context().close();
  },

  async 'what a rerun found is shown apart'() {
    const page = await signIn(UI_URL, UI_PASSWORD);
    await page.goto(`${UI_URL}/pipeline?view=reruns`);
    await page.getByRole('cell', { name: 'a second look' }).first().waitFor();
    await look(page, 'reruns');
    await page.getByRole('link', { name: 'alerts' }).first().click();
    await page.getByText('Nobody triages it').waitFor();
    await page.locator('tbody tr.focus').waitFor();
    assert.equal(await page.locator('tbody tr:not([aria-hidden])').count(), 1);
    await page.locator('tbody tr.focus').click();
    const panel = page.getByRole('complementary', { name: 'Alert group' });
    await panel.getByRole('heading', { level: 1 }).waitFor();
    assert.equal(await panel.getByRole('button', { name: 'Archive' }).count(), 0);
    await look(page, 'rerun');
    await page.getByRole('link', { name: 'Back to the live alerts' }).click();
    await page.getByText('Nobody triages it').waitFor({ state: 'detached' });
    await page.context().close();
  },

  async 'Pipeline shows topics, groups and dead letters'() {
    const page = await signIn(UI_URL, UI_PASSWORD);
    await page.goto(`${UI_URL}/pipeline`);
    await page.getByText('suricata_ingest').first().waitFor();
    await look(page, 'pipeline');
    await page.getByRole('tab', { name: 'Topics' }).click();
    await page.getByRole('cell', { name: 'events', exact: true }).waitFor();
    await look(page, 'topics');
    await page.getByRole('tab', { name: 'Groups' }).click();
    await page.getByRole('cell', { name: 'decoder-inbox' }).waitFor();
    await look(page, 'groups');
    await page.getByRole('tab', { name: 'Dead letters' }).click();
    await page.getByText('bad_json').first().waitFor();
    await page.locator('button[aria-expanded]').first().click();
    const value = page.getByLabel('Value of the record');
    assert.equal(await value.inputValue(), '{"timestamp":"2026-01-01T00:00:00');
    await look(page, 'deadletters');
    await page.getByRole('button', { name: 'Discard', exact: true }).first().click();
    await page.getByText('1 record discarded').waitFor();
    if (scheme === 'dark') {
      // The last one goes back, mended.
      await page.locator('button[aria-expanded]').first().click();
      await value.fill('{"timestamp":"2026-01-01T00:00:00Z"}');
      await page.getByRole('button', { name: 'Resend changed' }).click();
      await page.getByText('1 record sent back, changed').waitFor();
      await page.getByText('No dead letters').waitFor();
    }
    await page.context().close();
  },

  async 'an empty instance says why'() {
    const page = await signIn(UI_EMPTY_URL, UI_EMPTY_PASSWORD);
    await look(page, 'home-empty');
    for (const path of ['/inbox', '/search']) {
      await page.goto(UI_EMPTY_URL + path);
      await page.getByText('No sensor has ever sent anything').waitFor();
      await look(page, 'empty' + path.replace('/', '-'));
    }
    await page.context().close();
  },

  async 'help, theme and sign-out'() {
    const page = await signIn(UI_URL, UI_PASSWORD);
    await page.keyboard.press('?');
    await page.getByRole('dialog', { name: 'Keys' }).waitFor();
    await look(page, 'help');
    await page.keyboard.press('Escape');
    await page.getByRole('button', { name: 'System theme' }).click();
    assert.equal(await page.evaluate(() => document.documentElement.dataset.theme), 'light');
    await page.getByRole('button', { name: 'Sign out' }).click();
    await page.getByRole('button', { name: 'Sign in' }).waitFor();
    assert.equal((await page.request.get(`${UI_URL}/api/v1/alerts`)).status(), 401);
    await page.context().close();
  },
};

const darkToo = ['Home answers in one sentence', 'an empty instance says why'];
let failed = false;
async function run(name) {
  const before = problems.length;
  try {
    await steps[name]();
  } catch (e) {
    failed = true;
    console.log(`FAIL ${name} (${scheme}): ${e.stack}`);
    for (const c of browser.contexts()) {
      for (const p of c.pages()) if (UI_SHOTS) await p.screenshot({ path: `${UI_SHOTS}/failed.png` });
      await c.close();
    }
    return;
  }
  console.log(problems.length === before ? `ok   ${name} (${scheme})` : `FAIL ${name} (${scheme})`);
}
for (const name of Object.keys(steps)) await run(name);
scheme = 'dark';
for (const name of darkToo) await run(name);
await run('Pipeline shows topics, groups and dead letters');
await run('what a rerun found is shown apart');
await browser.close();
for (const p of problems) console.log(p);
process.exit(failed || problems.length ? 1 : 0);
