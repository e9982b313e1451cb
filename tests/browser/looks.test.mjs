import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { accessibilityProblems, ask, closeClean, greedy, openPage, openServer, replied, startBrowser } from "./harness.mjs";

let server, browser;
before(async () => {
  [server, browser] = await Promise.all([openServer(), startBrowser()]);
});
after(async () => {
  await browser?.close();
  await server?.stop();
});

const everything = `# Heading

Text with **bold**, *slanted*, ~~struck~~ words, \`code\` and [a link](https://example.org).

1. one
2. two
   - nested
   - [x] done

| left | right |
|:-----|------:|
| a    | 1     |

> quoted

\`\`\`python
def f(x):
    return x + 1
\`\`\`

Inline $e^{i\\pi} + 1 = 0$ and

$$\\int_0^1 x^2 dx = \\frac{1}{3}$$

<details><summary>More</summary>H<sub>2</sub>O</details>`;

const richExport = JSON.stringify({ format: "inference-server.conversations", version: 1, conversations: [{ created_at: 1, metadata: { title: "Everything", titled_by: "user" }, items: [
  { id: "u", parent_id: null, type: "message", role: "user", content: [{ type: "input_text", text: "<file name=\"notes.txt\">\nThe sea is salt.\n</file>\n\n" }, { type: "input_text", text: "Show me everything." }] },
  { id: "r", parent_id: "u", type: "reasoning", summary: [], content: [{ type: "reasoning_text", text: "They want *everything*." }] },
  { id: "a", parent_id: "r", type: "message", role: "assistant", content: [{ type: "output_text", text: everything, annotations: [] }] },
  { id: "u2", parent_id: "a", type: "message", role: "user", content: [{ type: "input_text", text: "What is the weather in Rome?" }] },
  { id: "c", parent_id: "u2", type: "function_call", call_id: "k", name: "weather", arguments: "{\"city\":\"Rome\"}" },
  { id: "o", parent_id: "c", type: "function_call_output", call_id: "k", output: "{\"sky\":\"clear\"}" },
  { id: "a2", parent_id: "o", type: "message", role: "assistant", content: [{ type: "output_text", text: "{\"city\":\"Rome\",\"warm\":true}", annotations: [] }] },
  { id: "u3", parent_id: "a2", type: "message", role: "user", content: [{ type: "input_text", text: "مرحبا، كيف حالك؟" }] },
  { id: "a3", parent_id: "u3", type: "message", role: "assistant", content: [{ type: "output_text", text: "أنا بخير، شكرا!\n\n- واحد\n- اثنان", annotations: [] }] },
] }] });

async function importRich(page) {
  await page.getByRole("button", { name: "Import and export" }).click();
  await page.getByLabel("File to import").setInputFiles({ name: "rich.json", mimeType: "application/json", buffer: Buffer.from(richExport) });
  await page.getByText("1 conversation imported.").waitFor();
  await page.keyboard.press("Escape");
  await page.getByRole("link", { name: "Everything" }).first().click();
  await page.locator(".katex").first().waitFor();
  await page.locator(".hljs-keyword").first().waitFor();
}

async function noProblems(page, state, options) {
  assert.deepEqual(await accessibilityProblems(page, options), [], `axe-core on: ${state}`);
}

/** Dark differs from light in colours alone: what else axe-core asks was asked in light. */
const colours = { runOnly: ["color-contrast", "link-in-text-block"] };

for (const [colorScheme, options] of [["light", {}], ["dark", colours]]) {
  test(`axe-core finds nothing in any state, ${colorScheme}`, async () => {
    const opened = await openPage(browser, server.address, { colorScheme, settings: greedy });
    const { page } = opened;
    await page.locator(".welcome-model").waitFor();
    await noProblems(page, "a new chat", options);
    await ask(page, "Write a Python function that adds two numbers.");
    await page.locator(".hljs-keyword").first().waitFor();
    await noProblems(page, "a reply", options);
    await page.getByRole("button", { name: "Good reply" }).click();
    await page.locator(".reason").waitFor();
    await noProblems(page, "the reason of a rating", options);
    await page.getByRole("button", { name: "Skip" }).click();
    await page.locator(".numbers button").last().click();
    await page.locator(".numbers-box dl").waitFor();
    await noProblems(page, "a reply's numbers", options);
    await page.locator(".context-meter button").first().click();
    await noProblems(page, "the context meter", options);
    await page.locator(".context-meter button").first().click();
    await page.getByRole("button", { name: /^Model:/ }).click();
    await noProblems(page, "the model picker", options);
    await page.keyboard.press("Escape");
    await page.locator(".user-turn").hover();
    await page.getByRole("button", { name: "Edit message" }).click();
    await noProblems(page, "editing", options);
    await page.keyboard.press("Escape");
    await page.getByRole("button", { name: "Reply again" }).click();
    await page.locator(".siblings-count").waitFor();
    await replied(page, 1);
    await page.getByRole("button", { name: "Which is better?" }).click();
    await noProblems(page, "a comparison", options);
    await page.keyboard.press("Escape");
    for (const [name, keys] of [["settings", "Control+,"], ["help", "Control+/"]]) {
      await page.keyboard.press(keys);
      await page.getByRole("dialog").waitFor();
      await noProblems(page, name, options);
      await page.keyboard.press("Escape");
    }
    await page.getByRole("button", { name: "Persona" }).click();
    await noProblems(page, "personas", options);
    await page.keyboard.press("Escape");
    await importRich(page);
    for (const summary of await page.locator("main summary").all())
      await summary.click();
    await noProblems(page, "Markdown, calls, reasoning and files", options);
    await page.getByLabel("Search chats").fill("everything");
    await page.locator(".match").first().waitFor();
    await noProblems(page, "a search", options);
    await page.getByLabel("Search chats").fill("");
    await page.locator(".match").first().waitFor({ state: "detached" });
    await page.locator(".conversation.current").getByRole("button", { name: /^Options/ }).click();
    await noProblems(page, "a conversation's menu", options);
    await page.getByRole("menuitem", { name: "Delete…" }).click();
    await noProblems(page, "deleting", options);
    await page.getByRole("button", { name: "Keep" }).click();
    for (const [link, ready] of [["Status", ".plot"], ["Feedback", ".feedback-entry"], ["Try the API", ".request"]]) {
      await page.getByRole("link", { name: link }).click();
      await page.locator(ready).first().waitFor();
      await noProblems(page, link, options);
    }
    await page.getByRole("button", { name: "Send", exact: true }).click();
    await page.getByText("Status 200").waitFor();
    await noProblems(page, "an answer", options);
    await closeClean(opened);
  });
}

test("The system's theme is followed, and a chosen one stays", async () => {
  const opened = await openPage(browser, server.address, { colorScheme: "dark" });
  const { page } = opened;
  const shows = dark => page.waitForFunction(wanted => {
    const canvas = new OffscreenCanvas(1, 1).getContext("2d");
    canvas.fillStyle = getComputedStyle(document.body).backgroundColor;
    canvas.fillRect(0, 0, 1, 1);
    const [brightness] = canvas.getImageData(0, 0, 1, 1).data;
    return wanted ? brightness < 60 : brightness > 200;
  }, dark);
  await shows(true);
  await page.emulateMedia({ colorScheme: "light" });
  await shows(false);
  await page.keyboard.press("Control+,");
  await page.getByText("Dark", { exact: true }).click();
  await page.keyboard.press("Escape");
  await shows(true);
  await page.reload();
  await page.locator("#main").waitFor();
  await shows(true);
  await closeClean(opened);
});

test("A phone's width holds everything, and the sidebar comes and goes", async () => {
  const opened = await openPage(browser, server.address, { viewport: { width: 360, height: 740 }, hasTouch: true, isMobile: true, settings: greedy });
  const { page } = opened;
  const fits = async state => assert.equal(await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth), 0, `${state} is wider than the window`);
  await page.locator(".welcome-model").waitFor();
  await fits("a new chat");
  await ask(page, "Why is the sky blue?");
  await fits("a reply");
  await page.getByRole("button", { name: "Show the sidebar" }).click();
  await page.locator(".conversation").first().waitFor();
  await fits("the sidebar");
  await noProblems(page, "the sidebar on a phone");
  await importRich(page);
  assert.equal(await page.locator(".sidebar").count(), 0, "choosing a chat closes the sidebar");
  await fits("Markdown");
  for (const path of ["/status", "/feedback", "/playground"]) {
    await page.goto(`${server.address}${path}`);
    await page.locator(".page-head").waitFor();
    await fits(path);
  }
  await closeClean(opened);
});

test("Right-to-left text runs from the right, in a page that need not", async () => {
  const opened = await openPage(browser, server.address);
  const { page } = opened;
  await importRich(page);
  const directions = await page.locator(".bubble").evaluateAll(bubbles => bubbles.map(bubble => getComputedStyle(bubble).direction));
  assert.deepEqual(directions, ["ltr", "ltr", "rtl"]);
  assert.equal(await page.locator(".markdown").last().evaluate(element => getComputedStyle(element).direction), "rtl");
  await page.evaluate(() => document.documentElement.dir = "rtl");
  const [sidebar, main] = await Promise.all([page.locator(".sidebar").boundingBox(), page.locator("main").boundingBox()]);
  assert.ok(sidebar.x > main.x, "the sidebar stands at the start");
  assert.equal(await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth), 0);
  await closeClean(opened);
});

test("The keyboard alone is enough", async () => {
  const opened = await openPage(browser, server.address, { settings: greedy });
  const { page } = opened;
  const focused = () => page.evaluate(() => document.activeElement?.getAttribute("aria-label") ?? document.activeElement?.id ?? "");
  const tabTo = async label => {
    for (let steps = 0; steps < 60; steps++) {
      if ((await focused()).includes(label))
        return;
      await page.keyboard.press("Tab");
    }
    assert.fail(`Tab never came to ${label}`);
  };
  await page.locator("#composer:focus").waitFor();
  await page.keyboard.type("What is the capital of France?");
  await page.keyboard.press("Enter");
  await replied(page, 1);
  await page.locator("#composer:focus").waitFor();
  await page.keyboard.press("ArrowUp");
  await page.locator(".editor textarea:focus").waitFor();
  await page.keyboard.press("Control+A");
  await page.keyboard.type("Why is the sky blue?");
  await page.keyboard.press("Control+Enter");
  await page.getByText(/blue light/).waitFor();
  await replied(page, 1);
  await tabTo("Previous version");
  await page.keyboard.press("Enter");
  await page.getByText(/Paris/).waitFor();
  await tabTo("Good reply");
  await page.keyboard.press("Space");
  await page.locator(".reason").waitFor();
  await page.keyboard.press("Control+k");
  await page.locator("input[type=search]:focus").waitFor();
  await page.keyboard.type("France");
  await page.locator(".match").first().waitFor();
  await page.keyboard.press("Shift+Escape");
  await page.locator("#composer:focus").waitFor();
  await page.keyboard.press("Control+Shift+S");
  await page.locator(".sidebar").waitFor({ state: "detached" });
  await page.keyboard.press("Control+Shift+O");
  await page.getByText("What can I help with?").waitFor();
  await page.locator("#composer:focus").waitFor();
  await page.keyboard.press("Control+/");
  await page.getByRole("dialog", { name: "Keyboard shortcuts" }).waitFor();
  await page.keyboard.press("Escape");
  // A dialog gives the focus back.
  await page.locator("#composer:focus").waitFor();
  await closeClean(opened);
});
