import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { accessibilityProblems, ask, closeClean, contentOf, fetchFrom, greedy, lastReply, nothingRuns, openPage, openServer, replied, startBrowser, withLongReplies } from "./harness.mjs";

let server, browser;
before(async () => {
  [server, browser] = await Promise.all([openServer(), startBrowser()]);
});
after(async () => {
  await browser?.close();
  await server?.stop();
});

const kept = async kind => (await (await fetchFrom(server.address, `/v1/feedback?kind=${kind}`)).json()).data;

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
  assert.match(await contentOf(download), /capital of France/);
  await page.getByText("Better answers", { exact: true }).last().click();
  await page.waitForFunction(() => document.querySelectorAll(".feedback-entry").length === 1);
  await page.getByRole("button", { name: "Delete this entry" }).click();
  await page.locator(".feedback-entry").waitFor({ state: "detached" });
  assert.equal((await kept("edit")).length, 0);
  await closeClean(opened);
});

test("Two replies to one message are made side by side, and the better one is kept", async () => {
  const opened = await openPage(browser, server.address);
  const { page } = opened;
  await withLongReplies(page, 700);
  await page.locator("#composer").fill("Tell me a story about a brave mouse.");
  await page.keyboard.press("Enter");
  await page.locator(".assistant-turn .markdown").waitFor();
  // The first is still being made.
  await page.getByRole("button", { name: "Compare two replies" }).click();
  const dialog = page.getByRole("dialog", { name: "Which reply is better?" });
  await page.waitForFunction(() => document.querySelectorAll(".comparison section[aria-busy=true] .markdown:not(:empty)").length === 2);
  const choices = dialog.getByRole("button", { name: "This one is better" });
  assert.equal(await choices.count(), 0, "none can be chosen yet");
  assert.equal(await dialog.getByRole("button", { name: "Stop" }).count(), 2);
  assert.deepEqual(await accessibilityProblems(page), []);
  const [left, right] = await dialog.locator("section").evaluateAll(sections => sections.map(section => section.getBoundingClientRect().toJSON()));
  assert.ok(left.right <= right.left && left.top === right.top, "they stand side by side");
  await page.setViewportSize({ width: 390, height: 844 });
  const [upper, lower] = await dialog.locator("section").evaluateAll(sections => sections.map(section => section.getBoundingClientRect().toJSON()));
  assert.ok(upper.bottom <= lower.top && upper.left === lower.left, "on a phone one is above the other");
  await page.setViewportSize({ width: 1280, height: 800 });

  await page.waitForFunction(() => !document.querySelector(".comparison section[aria-busy=true]"));
  const texts = await dialog.locator(".comparison .markdown").allInnerTexts();
  await dialog.getByLabel(/Why/).fill("It is braver");
  await choices.last().click();
  await dialog.waitFor({ state: "detached" });
  const [record] = await kept("comparison");
  // The beginnings: further on a small model may write marks that the page shows as something else.
  const plain = text => text.replace(/\s+/g, " ").trim().slice(0, 150);
  assert.deepEqual([record.reason, plain(record.rejected.content), plain(record.chosen.content)], ["It is braver", ...texts.map(plain)]);
  await page.locator(".assistant-turn .siblings-count", { hasText: "2 / 2" }).waitFor();
  assert.equal(plain(await lastReply(page)), plain(texts[1]));

  // Of a reply that is there already, one more is made; stopped, it can be looked at and not chosen for ever.
  await withLongReplies(page, 900);
  await page.getByRole("button", { name: "More", exact: true }).click();
  await page.getByRole("menuitem", { name: "Compare with a new reply" }).click();
  await dialog.locator("section[aria-busy=true] .markdown:not(:empty)").waitFor();
  assert.equal(plain(await dialog.locator(".comparison .markdown").first().innerText()), plain(texts[1]));
  await dialog.getByRole("button", { name: "Stop" }).click();
  await page.waitForFunction(() => !document.querySelector(".comparison section[aria-busy=true]"));
  await nothingRuns(server.address);
  await page.keyboard.press("Escape");
  await page.locator(".assistant-turn .siblings-count", { hasText: "3 / 3" }).waitFor();
  await closeClean(opened);
});
