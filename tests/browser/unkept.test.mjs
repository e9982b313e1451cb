import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { accessibilityProblems, ask, closeClean, contentOf, greedy, lastReply, nothingRuns, openPage, replied, startBrowser, startServer, withLongReplies } from "./harness.mjs";

let server, browser;
before(async () => {
  [server, browser] = await Promise.all([startServer({ keepsNothing: true }), startBrowser()]);
});
after(async () => {
  await browser?.close();
  await server?.stop();
});

const notice = "This server keeps no conversations: they are in this browser tab alone, and end with it.";
// How the page finds out.
const expected = [/400/];

test("A server that keeps nothing chats all the same: with its history, branches and titles, over a reload, and not in another tab", async () => {
  const opened = await openPage(browser, server.address, { settings: greedy, expected });
  const { page } = opened;
  await page.getByText(notice).waitFor();
  assert.equal(await page.getByLabel("Search chats").count(), 0);
  assert.equal(await page.getByRole("link", { name: "Feedback" }).count(), 0);
  const first = await ask(page, "What is the capital of France?");
  assert.match(first, /Paris/);
  assert.match(await page.locator(".numbers").innerText(), /tokens\/s/);
  const sent = page.waitForRequest(request => request.url().endsWith("/v1/responses") && request.postDataJSON().stream);
  const second = await ask(page, "Why is the sky blue?");
  const body = (await sent).postDataJSON();
  assert.equal(body.store, false);
  assert.deepEqual(body.input.map(item => [item.role, item.content[0].text]), [["user", "What is the capital of France?"], ["assistant", first], ["user", "Why is the sky blue?"]]);
  assert.equal(await page.getByRole("button", { name: "Good reply" }).count(), 0);
  await page.locator(".context-meter", { hasText: /\d+ of 1,024 tokens/ }).waitFor();
  await page.getByRole("button", { name: "Reply again" }).last().click();
  await page.locator(".siblings-count", { hasText: "2 / 2" }).waitFor();
  await replied(page, 2);
  assert.deepEqual(await accessibilityProblems(page), []);

  await page.reload();
  await replied(page, 2);
  assert.equal(await lastReply(page), second);
  assert.equal(await page.locator(".siblings-count").innerText(), "2 / 2");
  await page.locator(".conversation.current", { hasText: "capital of France" }).waitFor();

  const other = await openPage(browser, server.address, { path: new URL(page.url()).pathname, expected });
  await other.page.getByText("This conversation was in another browser tab, or ended with it.").waitFor();
  await closeClean(other);
  await page.goto(`${server.address}/feedback`);
  await page.getByText("This server keeps nothing, so there is no feedback to give or to see.").waitFor();
  await closeClean(opened);
});

test("Stopping a reply that nobody keeps stops the engine, and what was said stays over a reload", async () => {
  const opened = await openPage(browser, server.address, { expected });
  const { page } = opened;
  await withLongReplies(page, 900);
  await page.locator("#composer").fill("Tell me a story about a brave mouse.");
  await page.keyboard.press("Enter");
  const said = length => page.waitForFunction(least => (document.querySelector(".assistant-turn .markdown")?.textContent.length ?? 0) > least, length);
  await said(40);
  await page.getByRole("button", { name: "Stop" }).click();
  await page.getByText("You stopped this reply.").waitFor();
  await nothingRuns(server.address);
  const begun = await lastReply(page);
  await page.reload();
  await page.getByText("This reply was stopped before its end.").waitFor();
  assert.equal(await lastReply(page), begun);

  // Another chat beside it stops nothing, and a reload leaves what was there.
  await page.getByRole("button", { name: "Reply again" }).click();
  await page.locator(".round.stop").waitFor();
  await said(40);
  await page.getByRole("button", { name: "New chat" }).click();
  await page.locator(".conversation a").first().click();
  await page.locator(".round.stop").waitFor();
  await page.reload();
  await page.getByText("This reply was stopped before its end.").waitFor();
  assert.notEqual(await ask(page, "What is 12 + 7?"), "");
  await closeClean(opened);
});

test("Chats of the tab are renamed, exported, deleted and imported like others", async () => {
  const opened = await openPage(browser, server.address, { settings: greedy, expected });
  const { page } = opened;
  const reply = await ask(page, "What is the capital of France?");
  const options = page.locator(".conversation.current").getByRole("button", { name: /^Options of/ });
  await options.click();
  await page.getByRole("menuitem", { name: "Rename" }).click();
  await page.getByLabel("Title").fill("French towns");
  await page.keyboard.press("Enter");
  await page.locator(".conversation-title", { hasText: "French towns" }).waitFor();
  await options.click();
  const [download] = await Promise.all([page.waitForEvent("download"), page.getByRole("menuitem", { name: "Export as JSON" }).click()]);
  const json = await contentOf(download);
  await options.click();
  await page.getByRole("menuitem", { name: "Delete…" }).click();
  await page.getByRole("button", { name: "Delete", exact: true }).click();
  await page.getByText("Your chats will be listed here.").waitFor();
  await page.getByRole("button", { name: "Import and export" }).click();
  await page.getByLabel("File to import").setInputFiles({ name: "export.json", mimeType: "application/json", buffer: Buffer.from(json) });
  await page.getByText("1 conversation imported.").waitFor();
  await page.keyboard.press("Escape");
  await page.getByRole("link", { name: "French towns" }).click();
  await replied(page, 1);
  assert.equal(await lastReply(page), reply);
  await ask(page, "Thank you!");
  await page.reload();
  await replied(page, 2);
  await closeClean(opened);
});
