import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { ask, closeClean, contentOf, greedy, lastReply, openPage, openServer, replied, startBrowser } from "./harness.mjs";

let server, browser;
before(async () => {
  [server, browser] = await Promise.all([openServer(), startBrowser()]);
});
after(async () => {
  await browser?.close();
  await server?.stop();
});

async function saved(page, entry) {
  await page.getByRole("button", { name: "Conversation", exact: true }).click();
  const [download] = await Promise.all([page.waitForEvent("download"), page.getByRole("menuitem", { name: entry }).click()]);
  return { name: download.suggestedFilename(), text: await contentOf(download) };
}

async function importFile(page, name, text) {
  await page.getByRole("button", { name: "Import and export" }).click();
  await page.getByLabel("File to import").setInputFiles({ name, mimeType: "application/json", buffer: Buffer.from(text) });
}

test("What is exported can be read by people, and imported with all its branches", async () => {
  const opened = await openPage(browser, server.address, { settings: greedy });
  const { page } = opened;
  await ask(page, "What is the capital of France?");
  await ask(page, "And what do people speak there?");
  await page.getByRole("button", { name: "Reply again" }).last().click();
  await page.locator(".siblings-count", { hasText: "2 / 2" }).waitFor();
  await replied(page, 2);
  const reply = await lastReply(page);

  const markdown = await saved(page, /Export as Markdown/);
  assert.match(markdown.name, /\.md$/);
  assert.match(markdown.text, /## You\n\nWhat is the capital of France\?\n\n## Assistant\n\n.*Paris/);
  const json = await saved(page, /Export as JSON/);
  assert.equal(JSON.parse(json.text).conversations[0].items.length, 5);

  await importFile(page, "export.json", json.text);
  await page.getByText("1 conversation imported.").waitFor();
  await page.keyboard.press("Escape");
  await page.locator(".conversation:not(.current) a").first().click();
  await replied(page, 2);
  assert.equal(await lastReply(page), reply);
  assert.equal(await page.locator(".siblings-count").last().innerText(), "2 / 2");
  // It is a conversation like any other.
  assert.notEqual(await ask(page, "Thank you!"), "");
  await closeClean(opened);
});

test("ChatGPT's export comes in with its branches and its order", async () => {
  const node = (id, parent, role, text) => ({ id, parent, children: [], message: text && { id, author: { role }, create_time: 1700000000, content: { content_type: "text", parts: [text] } } });
  const mapping = { root: node("root", null, "", null) };
  for (let index = 0; index < 30; index++)
    mapping[`m${index}`] = node(`m${index}`, index === 0 ? "root" : `m${index - 1}`, index % 2 ? "assistant" : "user", `Message ${index}`);
  mapping.other = node("other", "m28", "assistant", "Another end");
  const opened = await openPage(browser, server.address);
  const { page } = opened;
  await importFile(page, "conversations.json", JSON.stringify([{ title: "From elsewhere", current_node: "m29", mapping }]));
  await page.getByText("1 conversation imported.").waitFor();
  await page.keyboard.press("Escape");
  await page.getByRole("link", { name: "From elsewhere" }).click();
  await page.getByText("Message 29").waitFor();
  // What is above the window comes after what is in it.
  await page.locator(".turn").nth(29).waitFor({ state: "attached" });
  assert.equal(await page.locator(".turn").count(), 30);
  assert.equal(await page.locator(".siblings-count").last().innerText(), "1 / 2");
  await closeClean(opened);
});

test("A file that is none is refused in words, and makes no conversation", async () => {
  const opened = await openPage(browser, server.address);
  const { page } = opened;
  await page.locator(".conversation, .list-note").first().waitFor();
  const before = await page.locator(".conversation").count();
  await importFile(page, "photo.json", "{\"not\": \"ours\"}");
  await page.getByText("The file is neither this server's export nor ChatGPT's conversations.json.").waitFor();
  await page.keyboard.press("Escape");
  assert.equal(await page.locator(".conversation").count(), before);
  await closeClean(opened);
});

test("Own personas come along with an export, and are there in a browser that imports it", async () => {
  const opened = await openPage(browser, server.address);
  const { page } = opened;
  await page.getByRole("button", { name: "Persona" }).click();
  await page.getByLabel("System prompt of this conversation").fill("You are a pirate.");
  await page.getByLabel(/Keep it as a persona/).fill("Pirate");
  await page.getByRole("button", { name: "Use it" }).click();
  await page.getByRole("dialog").waitFor({ state: "detached" });
  await page.getByRole("button", { name: "Import and export" }).click();
  const [download] = await Promise.all([page.waitForEvent("download"), page.getByRole("button", { name: "Export everything" }).click()]);
  const json = await contentOf(download);
  await closeClean(opened);

  const other = await openPage(browser, server.address);
  await importFile(other.page, "export.json", JSON.stringify({ ...JSON.parse(json), conversations: [] }));
  await other.page.getByText("1 persona imported.").waitFor();
  await other.page.keyboard.press("Escape");
  await other.page.getByRole("button", { name: "Persona" }).click();
  await other.page.getByRole("button", { name: /^Pirate/ }).click();
  assert.equal(await other.page.getByLabel("System prompt of this conversation").inputValue(), "You are a pirate.");
  await closeClean(other);
});
