import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { accessibilityProblems, ask, checkClean, openPage, startBrowser, startServer } from "./harness.mjs";

let server, browser;
before(async () => {
  [server, browser] = await Promise.all([startServer({ arguments: ["--api-key", "open-sesame"] }), startBrowser()]);
});
after(async () => {
  await browser?.close();
  await server?.stop();
});

test("A key is asked for once, kept for the tab, and asked for again when it is wrong", async () => {
  const opened = await openPage(browser, server.address, { expected: [/401/] });
  const { page } = opened;
  const dialog = page.getByRole("dialog", { name: "This server wants a key" });
  await dialog.waitFor();
  assert.deepEqual(await accessibilityProblems(page), []);
  await page.keyboard.press("Escape");
  await dialog.getByLabel("Key").fill("wrong");
  await page.keyboard.press("Enter");
  await dialog.getByText("The server does not know this key.").waitFor();
  await dialog.getByLabel("Key").fill("open-sesame");
  await page.keyboard.press("Enter");
  await dialog.waitFor({ state: "detached" });
  assert.notEqual(await ask(page, "Hello!"), "");
  await page.reload();
  await page.locator(".assistant-turn").waitFor();
  assert.equal(await dialog.count(), 0);
  assert.equal(await page.evaluate(() => localStorage.getItem("inference-server.key")), null);
  await checkClean(opened);
});

test("A page that came over plain HTTP from another machine chats and copies, without what browsers keep from such", async () => {
  const opened = await openPage(browser, server.address, { expected: [/401/] });
  const { page } = opened;
  await page.addInitScript(() => {
    delete Crypto.prototype.randomUUID;
    Object.defineProperty(navigator, "clipboard", { value: undefined });
  });
  await page.reload();
  await page.getByRole("textbox", { name: "Key" }).fill("open-sesame");
  await page.keyboard.press("Enter");
  await page.getByRole("dialog").waitFor({ state: "detached" });
  assert.notEqual(await ask(page, "Hello!"), "");
  await page.getByRole("button", { name: /^Copy/ }).last().click();
  await page.getByText("Copied").first().waitFor({ state: "attached" });
  await checkClean(opened);
});
