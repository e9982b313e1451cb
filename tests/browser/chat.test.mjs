import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { ask, closeClean, greedy, lastReply, openPage, openServer, patience, replied, runningReplies, startBrowser, withLongReplies } from "./harness.mjs";

let server, browser;
before(async () => {
  [server, browser] = await Promise.all([openServer(), startBrowser()]);
});
after(async () => {
  await browser?.close();
  await server?.stop();
});

test("A first chat: ready to type, an example answered, a title, an address of its own, the same after a reload", async () => {
  const opened = await openPage(browser, server.address, { settings: greedy });
  const { page } = opened;
  await page.locator("#composer:focus").waitFor();
  assert.match(await page.locator(".welcome-model").innerText(), /chat-small is a small model/);
  await page.getByRole("button", { name: "Why is the sky blue?" }).click();
  await replied(page, 1);
  assert.match(await lastReply(page), /blue light/);
  assert.match(page.url(), /\/c\/conv_/);
  await page.locator(".conversation-title", { hasText: "Why is the sky blue?" }).waitFor();
  assert.match(await page.locator(".numbers").innerText(), /tokens\/s.*first token after.*prompt tokens from the cache/s);
  await page.locator(".context-meter", { hasText: /\d+ of 1,024 tokens/ }).waitFor();

  const second = await ask(page, "What is the capital of France?");
  assert.match(second, /Paris/);
  await page.reload();
  await replied(page, 2);
  assert.equal(await lastReply(page), second);
  await closeClean(opened);
});

test("Stop ends the engine's work, and what was said stays", async () => {
  const opened = await openPage(browser, server.address);
  const { page } = opened;
  await withLongReplies(page, 900);
  await page.locator("#composer").fill("Tell me a story about a brave mouse.");
  await page.keyboard.press("Enter");
  await page.waitForFunction(() => (document.querySelector(".assistant-turn .markdown")?.textContent.length ?? 0) > 40);
  await page.getByRole("button", { name: "Stop" }).click();
  await page.getByText("You stopped this reply.").waitFor();
  const said = await lastReply(page);
  assert.equal(await runningReplies(server.address), 0);
  await page.reload();
  await page.getByText("This reply was stopped before its end.").waitFor();
  assert.equal(await lastReply(page), said);
  assert.notEqual(await ask(page, "What is 12 + 7?"), "");
  await closeClean(opened);
});

test("An edited message is a branch, a reply can be made again, and the arrows switch", async () => {
  const opened = await openPage(browser, server.address, { settings: greedy });
  const { page } = opened;
  await ask(page, "What is the capital of France?");
  const first = await lastReply(page);
  await page.locator(".user-turn").hover();
  await page.getByRole("button", { name: "Edit message" }).click();
  await page.getByLabel("Change your message").fill("Why is the sky blue?");
  await page.getByRole("button", { name: "Send", exact: true }).first().click();
  await page.getByText(/blue light/).waitFor();
  await replied(page, 1);
  assert.equal(await page.locator(".user-turn .siblings-count").innerText(), "2 / 2");
  await page.getByRole("button", { name: "Previous version" }).click();
  await page.waitForFunction(text => document.querySelector(".assistant-turn .markdown")?.innerText === text, first);
  await page.getByRole("button", { name: "Next version" }).click();

  await page.getByRole("button", { name: "Reply again" }).click();
  await page.locator(".assistant-turn .siblings-count", { hasText: "2 / 2" }).waitFor();
  await replied(page, 1);
  await page.locator(".assistant-turn").getByRole("button", { name: "Previous version" }).click();
  await page.locator(".assistant-turn .siblings-count", { hasText: "1 / 2" }).waitFor();
  await page.reload();
  await page.locator(".assistant-turn .siblings-count", { hasText: "1 / 2" }).waitFor();
  await closeClean(opened);
});

test("Conversations are renamed, pinned, found by what was said in them, and deleted", async () => {
  const opened = await openPage(browser, server.address, { settings: greedy });
  const { page } = opened;
  await ask(page, "Explain gravity simply.");
  const options = page.locator(".conversation.current").getByRole("button", { name: /^Options of/ });
  await options.click();
  await page.getByRole("menuitem", { name: "Rename" }).click();
  await page.getByLabel("Title").fill("Falling things");
  await page.keyboard.press("Enter");
  await page.locator(".conversation.current .conversation-title", { hasText: "Falling things" }).waitFor();
  await options.click();
  await page.getByRole("menuitem", { name: "Pin" }).click();
  await page.getByRole("heading", { name: "Pinned" }).waitFor();

  await page.getByLabel("Search chats").fill("force that pulls");
  await page.locator(".match", { hasText: "pulls", has: page.locator("mark") }).first().waitFor();
  await page.getByLabel("Search chats").fill("zzzz");
  await page.getByText("Nothing found.").waitFor();
  await page.getByLabel("Search chats").fill("");
  await page.getByText("Nothing found.").waitFor({ state: "detached" });

  await options.click();
  await page.getByRole("menuitem", { name: "Delete…" }).click();
  await page.getByRole("button", { name: "Delete", exact: true }).click();
  await page.getByText("What can I help with?").waitFor();
  assert.equal(await page.getByText("Falling things").count(), 0);
  await closeClean(opened);
});

test("What is typed, and what is attached, survives a reload and counts its tokens", async () => {
  const opened = await openPage(browser, server.address);
  const { page } = opened;
  await page.locator("#composer").fill("A question about");
  await page.locator("input[type=file]").first().setInputFiles({ name: "notes.txt", mimeType: "text/plain", buffer: Buffer.from("The sea is salt.") });
  await page.locator(".file", { hasText: /notes\.txt\s*\d+ tokens/ }).waitFor();
  await page.reload();
  assert.equal(await page.locator("#composer").inputValue(), "A question about");
  await page.locator(".file", { hasText: "notes.txt" }).waitFor();
  await page.locator("input[type=file]").first().setInputFiles({ name: "picture.png", mimeType: "image/png", buffer: Buffer.from([0x89, 0x50, 0xff, 0x00]) });
  await page.getByText("picture.png is not a text file.").waitFor();
  await page.locator("#composer").press("Enter");
  await replied(page, 1);
  await page.locator(".user-turn summary", { hasText: "notes.txt" }).click();
  await page.getByText("The sea is salt.").waitFor();
  assert.equal(await page.locator("#composer").inputValue(), "");
  await closeClean(opened);
});

test("A persona goes before every request, and settings reach the server", async () => {
  const opened = await openPage(browser, server.address, { settings: greedy });
  const { page } = opened;
  await page.getByRole("button", { name: "Persona" }).click();
  await page.getByRole("button", { name: /^Brief/ }).click();
  await page.getByRole("button", { name: "Use it" }).click();
  await page.keyboard.press("Control+,");
  await page.getByLabel("Temperature", { exact: true }).last().fill("0.3");
  await page.getByLabel("Form").selectOption("json");
  await page.keyboard.press("Escape");
  const sent = page.waitForRequest(request => request.url().endsWith("/v1/responses") && request.method() === "POST");
  await page.locator("#composer").fill("Is Rome warm?");
  await page.keyboard.press("Enter");
  const body = (await sent).postDataJSON();
  assert.equal(body.instructions, "Answer in one short sentence.");
  assert.equal(body.temperature, 0.3);
  assert.deepEqual(body.text, { format: { type: "json_object" } });
  await page.reload();
  await page.getByRole("button", { name: "Brief" }).waitFor({ timeout: patience });
  await closeClean(opened);
});

test("A search opens the branch that holds what it found", async () => {
  const opened = await openPage(browser, server.address, { settings: greedy });
  const { page } = opened;
  await ask(page, "What is photosynthesis?");
  await page.locator(".user-turn").hover();
  await page.getByRole("button", { name: "Edit message" }).click();
  await page.getByLabel("Change your message").fill("Tell me a joke.");
  await page.keyboard.press("Control+Enter");
  await page.locator(".user-turn .siblings-count", { hasText: "2 / 2" }).waitFor();
  await replied(page, 1);
  await page.getByRole("button", { name: "New chat" }).click();
  await page.getByLabel("Search chats").fill("photosynthesis is the way");
  await page.locator(".conversation a", { has: page.locator(".match mark") }).first().click();
  await page.locator(".user-turn .siblings-count", { hasText: "1 / 2" }).waitFor();
  assert.match(await lastReply(page), /Photosynthesis is the way/);
  await closeClean(opened);
});

test("Summing up makes room, and the whole conversation stays to be seen", async () => {
  const opened = await openPage(browser, server.address, { settings: greedy });
  const { page } = opened;
  await ask(page, "What is the capital of France?");
  await ask(page, "Why is the sky blue?");
  await page.locator(".context-meter button").click();
  await page.getByText(/There is room for/).waitFor();
  await page.getByRole("button", { name: "Sum up and make room" }).click();
  await page.getByText("summarised by the model").waitFor();
  assert.equal(await page.locator(".assistant-turn[data-item]").count(), 0);
  await ask(page, "Thank you!");
  await page.getByRole("button", { name: "Show the whole conversation" }).click();
  await page.getByText(/blue light/).waitFor();
  assert.equal(await page.locator(".assistant-turn[data-item]").count(), 2);
  await closeClean(opened);
});

test("A call is shown with its arguments, and the model gets the result that the user gives", async () => {
  const tools = JSON.stringify([{ name: "weather", parameters: { type: "object", properties: { city: { enum: ["Rome"] } }, required: ["city"], additionalProperties: false } }]);
  const opened = await openPage(browser, server.address, { settings: { ...greedy, tools } });
  const { page } = opened;
  // The small model would rather talk: it is made to call, the first time.
  let calls = 0;
  await page.route("**/v1/responses", async route => {
    const body = route.request().postDataJSON();
    await route.continue(body.background && calls++ === 0 ? { postData: JSON.stringify({ ...body, tool_choice: "required" }) } : {});
  });
  await page.locator("#composer").fill("What is the weather in Rome?");
  await page.keyboard.press("Enter");
  await page.getByLabel("What did it return?").fill("{\"sky\": \"clear\"}");
  assert.match(await page.locator(".tool-call .code-block").innerText(), /"city": "Rome"/);
  await page.getByRole("button", { name: "Send the result" }).click();
  await page.locator(".assistant-turn .markdown").waitFor();
  await replied(page, 1);
  await page.reload();
  await page.locator(".tool-call summary", { hasText: "Result" }).click();
  assert.match(await page.locator(".tool-call .code-block").last().innerText(), /"sky": "clear"/);
  await closeClean(opened);
});
