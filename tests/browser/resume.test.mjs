import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { ask, closeClean, lastReply, openPage, openServer, patience, replied, startBrowser, startServer, withLongReplies } from "./harness.mjs";

let browser;
before(async () => {
  browser = await startBrowser();
});
after(async () => await browser?.close());

const textLength = page => page.evaluate(() => document.querySelector(".assistant-turn .markdown")?.textContent.length ?? 0);

test("A reload in mid-stream goes on with the same reply", async () => {
  const server = await openServer();
  try {
    const opened = await openPage(browser, server.address);
    const { page } = opened;
    await withLongReplies(page, 900);
    await page.locator("#composer").fill("Tell me a story about a brave mouse.");
    await page.keyboard.press("Enter");
    await page.waitForFunction(() => (document.querySelector(".assistant-turn .markdown")?.textContent.length ?? 0) > 60);
    const begun = await lastReply(page);
    await page.reload();
    await page.locator(".assistant-turn .markdown").waitFor();
    assert.equal(await page.getByRole("button", { name: "Stop" }).count(), 1, "the reply was over before the reload");
    await replied(page, 1);
    const whole = await lastReply(page);
    assert.ok(whole.startsWith(begun.slice(0, 50)), `${whole.slice(0, 80)} does not go on from ${begun.slice(0, 80)}`);
    assert.ok(whole.length > begun.length);
    assert.equal(await page.locator(".assistant-turn").count(), 1);
    await closeClean(opened);
  } finally {
    await server.stop();
  }
});

/** The server that was started again, for the flow that follows. */
let again = null;

test("A server that is killed in mid-chat and started again: nothing typed is lost, and the chat goes on", async () => {
  const first = await startServer();
  try {
    const opened = await openPage(browser, first.address, { expected: [/Failed to load resource|ERR_CONNECTION|ERR_INCOMPLETE|ERR_EMPTY/] });
    const { page } = opened;
    await withLongReplies(page, 900);
    await page.locator("#composer").fill("Tell me a story about a brave mouse.");
    await page.keyboard.press("Enter");
    await page.waitForFunction(() => (document.querySelector(".assistant-turn .markdown")?.textContent.length ?? 0) > 60);
    await first.kill();
    await page.getByText("The server does not answer.").waitFor();
    assert.ok(await textLength(page) > 60);
    await page.locator("#composer").fill("Typed meanwhile");
    again = await startServer({ folder: first.folder, port: first.port });
    await page.getByText("The server does not answer.").waitFor({ state: "detached" });
    const failed = page.locator(".notice.failed");
    await failed.waitFor();
    assert.equal(await page.locator("#composer").inputValue(), "Typed meanwhile");
    await page.unroute("**/v1/responses");
    await failed.getByRole("button", { name: /Try again/ }).click();
    await page.locator(".notice.failed").waitFor({ state: "detached" });
    await replied(page, 1);
    assert.notEqual(await lastReply(page), "");
    await ask(page, "What is the capital of France?");
    await page.reload();
    await replied(page, 2);
    assert.equal(await page.locator(".user-turn").count(), 2);
    await closeClean(opened);
  } finally {
    if (again === null)
      await first.stop();
  }
});

test("A message that cannot be sent stays in the field", async () => {
  const server = again ?? await startServer();
  const opened = await openPage(browser, server.address, { expected: [/Failed to load resource|ERR_/] });
  const { page } = opened;
  await page.locator(".model-name", { hasText: "chat-small" }).waitFor();
  await server.kill();
  await page.locator("#composer").fill("Is anybody there?");
  await page.keyboard.press("Enter");
  await page.getByText("Your message is still here.").waitFor({ timeout: patience });
  assert.equal(await page.locator("#composer").inputValue(), "Is anybody there?");
  await closeClean(opened);
  await server.stop();
});
