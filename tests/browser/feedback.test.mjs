import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { after, before, test } from "node:test";
import { ask, checkClean, greedy, openPage, replied, startBrowser, startServer } from "./harness.mjs";

let server, browser;
before(async () => {
  [server, browser] = await Promise.all([startServer(), startBrowser()]);
});
after(async () => {
  await browser?.close();
  await server?.stop();
});

const kept = async kind => (await (await fetch(`${server.address}/v1/feedback?kind=${kind}`)).json()).data;

test("Thumbs, a comparison and a better answer are kept, counted, exported and deleted", async () => {
  const opened = await openPage(browser, server.address, { settings: greedy });
  const { page } = opened;
  const reply = await ask(page, "What is the capital of France?");
  await page.getByRole("button", { name: "Good reply" }).click();
  await page.getByRole("button", { name: "Correct" }).click();
  await page.locator(".reason").waitFor({ state: "detached" });
  const [rating] = await kept("rating");
  assert.deepEqual([rating.rating, rating.reason, rating.reply.content, rating.prompt.at(-1).content], ["up", "Correct", reply, "What is the capital of France?"]);
  await page.getByRole("button", { name: "Bad reply" }).click();
  await page.getByLabel("What was wrong with it?").fill("Too short for me");
  await page.getByRole("button", { name: "Send", exact: true }).first().click();
  await page.locator(".reason").waitFor({ state: "detached" });
  assert.deepEqual((await kept("rating")).map(one => [one.rating, one.reason]), [["down", "Too short for me"]]);

  await page.reload();
  await page.locator("[aria-label='Bad reply'][aria-pressed=true]").waitFor();
  await page.getByRole("button", { name: "Reply again" }).click();
  await page.locator(".siblings-count", { hasText: "2 / 2" }).waitFor();
  await replied(page, 1);
  await page.getByRole("button", { name: "Which is better?" }).click();
  await page.getByRole("button", { name: "This one is better" }).first().click();
  await page.getByRole("dialog").waitFor({ state: "detached" });
  assert.equal((await kept("comparison")).length, 1);

  await page.getByRole("button", { name: "More", exact: true }).click();
  await page.getByRole("menuitem", { name: "Write a better answer" }).click();
  await page.getByLabel(/Change the reply/).fill("Paris, on the Seine.");
  await page.getByRole("button", { name: "Keep it" }).click();
  await page.getByRole("dialog").waitFor({ state: "detached" });
  assert.equal((await kept("edit"))[0].ideal, "Paris, on the Seine.");

  await page.getByRole("link", { name: "Feedback" }).click();
  await page.getByRole("heading", { name: "By model" }).waitFor();
  const row = await page.locator("tbody tr").first().innerText();
  assert.match(row, /chat-small\s+0\s+1\s+1\s+0% \(0% to \d+%\)/);
  assert.equal(await page.locator(".feedback-entry").count(), 3);
  const [download] = await Promise.all([page.waitForEvent("download"), page.getByRole("button", { name: /\(dpo\)/ }).click()]);
  assert.match(await readFile(await download.path(), "utf8"), /capital of France/);
  await page.getByText("Better answers", { exact: true }).last().click();
  await page.waitForFunction(() => document.querySelectorAll(".feedback-entry").length === 1);
  await page.getByRole("button", { name: "Delete this entry" }).click();
  await page.locator(".feedback-entry").waitFor({ state: "detached" });
  assert.equal((await kept("edit")).length, 0);
  await checkClean(opened);
});
