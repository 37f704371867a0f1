import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Browser, chromium, type Page } from 'playwright-core';
import t, { type Test } from 'tap';
import { writeReport } from '../../../migrate/report/write.js';
import { example } from './example.js';

const executablePath = '/usr/bin/chromium';
const skip = existsSync(executablePath) ? false : 'there is no Chromium';
const waitMsMax = 60_000;

async function open(
  t: Test,
  browser: Browser,
  file: string,
  width: number,
  colorScheme: 'light' | 'dark',
): Promise<Page> {
  const context = await browser.newContext({ viewport: { width, height: 844 }, colorScheme });
  const page = await context.newPage();
  page.on('request', (request) => {
    if (request.url() !== file) t.fail(`the page asked for ${request.url()}`);
  });
  page.on('pageerror', (error) => t.fail(error.message));
  await page.goto(file);
  return page;
}

t.test('a real browser shows the page: on a desk, on a phone, by day and by night', { skip }, async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'holdfast-page-'));
  t.teardown(() => rmSync(directory, { recursive: true, force: true }));
  writeReport(directory, example);
  const browser = await chromium.launch({ executablePath, args: ['--no-sandbox'], timeout: waitMsMax });
  t.teardown(() => browser.close());
  const file = `file://${join(directory, 'report.html')}`;
  const background = (page: Page) => page.evaluate('getComputedStyle(document.body).backgroundColor');

  const desk = await open(t, browser, file, 1_280, 'light');
  t.equal(await desk.locator('h1').textContent(), '1 of 2 did not hold.');
  const lanes = desk.locator('details[open] svg.lane');
  t.equal(await lanes.count(), 2, 'what has failed is open, and has its lanes');
  const box = await lanes.nth(1).locator('rect.fail').boundingBox();
  t.ok(box !== null && box.width > 5 && box.height > 5, 'a transaction is as wide as it took long');
  await lanes.nth(1).locator('rect.fail').click();
  t.equal(await desk.locator('#tip').textContent(), 'append, operation 2: fail', 'and tells what it is');
  await desk.locator('details[open] input').fill('10');
  const wide = await lanes.nth(1).locator('rect.fail').boundingBox();
  t.ok((wide?.width ?? 0) > 9 * (box?.width ?? 0), 'looking closer makes it ten times as wide');
  t.match(await desk.locator('.wrong').textContent(), 'lost-append');

  const phone = await open(t, browser, file, 390, 'dark');
  const overflow = await phone.evaluate('document.documentElement.scrollWidth - document.documentElement.clientWidth');
  t.equal(overflow, 0, 'nothing is cut off on a phone');
  t.not(await background(phone), await background(desk), 'by night it is dark');
});
