import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { accessibilityProblems, ask, checkClean, openPage, replied, startBrowser, startServer } from "./harness.mjs";

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

test("Who waits in line is told the place", async () => {
  const busy = await startServer({ arguments: ["--max-sequences", "1"] });
  try {
    const opened = await openPage(browser, busy.address);
    const { page } = opened;
    const post = (path, body) => fetch(`${busy.address}${path}`, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) });
    const others = [];
    for (let index = 0; index < 8; index++) {
      const { id } = await (await post("/v1/responses", { model: "chat-small", input: "Tell me a story", ignore_eos: true, max_output_tokens: 900, background: true })).json();
      others.push(id);
    }
    await page.locator("#composer").fill("Hello!");
    await page.keyboard.press("Enter");
    await page.getByText(/Waiting in line at place \d+: \d+ requests wait, 1 runs\./).waitFor();
    for (const id of others)
      await post(`/v1/responses/${id}/cancel`, {});
    await replied(page, 1);
    await checkClean(opened);
  } finally {
    await busy.stop();
  }
});

test("A full server is said to be full, and the message is answered once there is room", async () => {
  const full = await startServer({ arguments: ["--max-sequences", "1", "--max-queue", "1"] });
  try {
    const opened = await openPage(browser, full.address, { expected: [/429/] });
    const { page } = opened;
    const post = (path, body) => fetch(`${full.address}${path}`, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) });
    const others = [];
    for (let index = 0; index < 2; index++) {
      const { id } = await (await post("/v1/responses", { model: "chat-small", input: "Tell me a story", ignore_eos: true, max_output_tokens: 900, background: true })).json();
      others.push(id);
    }
    await page.locator("#composer").fill("Hello!");
    await page.keyboard.press("Enter");
    await page.getByText("The server is full.").waitFor();
    for (const id of others)
      await post(`/v1/responses/${id}/cancel`, {});
    await page.getByRole("button", { name: /^Try again/ }).click();
    await replied(page, 1);
    assert.equal(await page.getByText("The server is full.").count(), 0);
    assert.equal(await page.locator(".user-turn").count(), 1);
    await checkClean(opened);
  } finally {
    await full.stop();
  }
});
