import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { accessibilityProblems, ask, closeClean, openPage, replied, startBrowser, startServer } from "./harness.mjs";

/** How many may wait in line. */
const room = 8;

let server, small, browser;
before(async () => {
  [server, small, browser] = await Promise.all([
    startServer({ arguments: ["--api-key", "open-sesame"] }), startServer({ arguments: ["--max-sequences", "1", "--max-queue", String(room)] }), startBrowser(),
  ]);
});
after(async () => {
  await browser?.close();
  await server?.stop();
  await small?.stop();
});

const post = (path, body) => fetch(`${small.address}${path}`, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) });

/** Has the small server make so many long replies, and gives what ends them. */
async function occupy(count) {
  const ids = [];
  for (let index = 0; index < count; index++) {
    const { id } = await (await post("/v1/responses", { model: "chat-small", input: "Tell me a story", ignore_eos: true, max_output_tokens: 900, background: true })).json();
    ids.push(id);
  }
  return async () => {
    for (const id of ids)
      await post(`/v1/responses/${id}/cancel`, {});
  };
}

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
  await closeClean(opened);
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
  await closeClean(opened);
});

test("Who waits in line is told the place", async () => {
  const opened = await openPage(browser, small.address);
  const { page } = opened;
  const makeRoom = await occupy(room);
  await page.locator("#composer").fill("Hello!");
  await page.keyboard.press("Enter");
  await page.getByText(/Waiting in line at place \d+: \d+ requests wait, 1 runs\./).waitFor();
  await makeRoom();
  await replied(page, 1);
  await closeClean(opened);
});

test("A full server is said to be full, and the message is answered once there is room", async () => {
  const opened = await openPage(browser, small.address, { expected: [/429/] });
  const { page } = opened;
  const makeRoom = await occupy(room + 1);
  await page.locator("#composer").fill("Hello!");
  await page.keyboard.press("Enter");
  await page.getByText("The server is full.").waitFor();
  await makeRoom();
  await page.getByRole("button", { name: /^Try again/ }).click();
  await replied(page, 1);
  assert.equal(await page.getByText("The server is full.").count(), 0);
  assert.equal(await page.locator(".user-turn").count(), 1);
  await closeClean(opened);
});
