import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { closeClean, openPage, openServer, replied, startBrowser } from "./harness.mjs";

let server, browser;
before(async () => {
  [server, browser] = await Promise.all([openServer(), startBrowser()]);
});
after(async () => {
  await browser?.close();
  await server?.stop();
});

// Each would set globalThis.hit, load something, or reach into the page, where it ran.
const attacks = [
  "<script>globalThis.hit = 1</script>",
  "<img src=x onerror=\"globalThis.hit = 2\">",
  "<svg onload=\"globalThis.hit = 3\"><use href=\"data:image/svg+xml,<svg id=x onload=globalThis.hit=4>#x\"/></svg>",
  "[click](javascript:globalThis.hit=5) [data](data:text/html,<script>globalThis.hit=6</script>)",
  "<a href=\"java\tscript:globalThis.hit=7\">x</a> <a href=\" javascript:globalThis.hit=7\">y</a>",
  "<iframe srcdoc=\"<script>parent.hit = 8</script>\"></iframe>",
  "<math><mtext><table><mglyph><style><!--</style><img title=\"--&gt;&lt;img src=1 onerror=globalThis.hit=9&gt;\">",
  "<form action=\"https://example.org\"><button formaction=\"javascript:globalThis.hit=10\">x</button></form>",
  "<details open ontoggle=\"globalThis.hit = 11\"><summary>s</summary></details>",
  "<div style=\"position:fixed;inset:0;background:url(https://example.org/x)\">cover</div>",
  "<style>body { display: none }</style><link rel=stylesheet href=https://example.org/x.css>",
  "![x](https://example.org/x.png) ![y](\" onerror=globalThis.hit=12)",
  "<div id=\"app\" name=\"body\">clobber</div><img name=\"getElementById\">",
  "```\"><script>globalThis.hit=13</script>\n</code></pre><script>globalThis.hit=14</script>\n```",
  "$\\href{javascript:globalThis.hit=15}{x}$ $$\\htmlClass{\" onclick=globalThis.hit=16}{x}$$ $\\url{javascript:globalThis.hit=17}$ $\\includegraphics{https://example.org/x.png}$",
  "| <img src=x onerror=globalThis.hit=18> | <b onmouseover=globalThis.hit=19>x</b> |\n|---|---|\n| <script>globalThis.hit=20</script> | y |",
  "> <img src=x onerror=globalThis.hit=21>\n\n- <script>globalThis.hit=22</script>\n\n&lt;script&gt;globalThis.hit=23&lt;/script&gt; &#60;img src=x onerror=globalThis.hit=24&#62;",
  "<base href=\"https://example.org/\"><meta http-equiv=refresh content=\"0;url=https://example.org\"><object data=x><embed src=x>",
  "[ref]: javascript:globalThis.hit=25 \"x\"\n\n[ref] <javascript:globalThis.hit=26>",
  "<svg><a xlink:href=\"javascript:globalThis.hit=27\"><text>x</text></a><animate onbegin=globalThis.hit=28 /></svg>",
];

async function checkNothingRan(opened) {
  const { page } = opened;
  assert.equal(await page.evaluate(() => globalThis.hit), undefined);
  const found = await page.evaluate(() => ({
    active: document.querySelectorAll("main script, main iframe, main object, main embed, main form form, main style, main link, main base, main meta, .markdown svg use, .markdown img:not([src^='data:image/'])").length,
    handlers: [...document.querySelectorAll("main *")].flatMap(element => [...element.attributes]).filter(attribute => /^on/i.test(attribute.name)).map(attribute => attribute.name),
    links: [...document.querySelectorAll("main a[href]")].map(link => link.protocol).filter(protocol => !["http:", "https:", "mailto:", "tel:"].includes(protocol)),
    visible: getComputedStyle(document.body).display,
  }));
  assert.deepEqual(found, { active: 0, handlers: [], links: [], visible: "block" });
  await closeClean(opened);
}

const exportOf = (title, items) => JSON.stringify({ format: "inference-server.conversations", version: 1, conversations: [{ created_at: 1, metadata: { title, titled_by: "user" }, items }] });

test("Nothing in replies, messages, file names, calls, reasoning or titles runs", async () => {
  const opened = await openPage(browser, server.address);
  const { page } = opened;
  const text = attacks.join("\n\n");
  const items = [
    { id: "u", parent_id: null, type: "message", role: "user", content: [{ type: "input_text", text: `<file name="${attacks[1].replaceAll("\"", "&#34;")}">\n${text}\n</file>\n\n` }, { type: "input_text", text }] },
    { id: "r", parent_id: "u", type: "reasoning", summary: [], content: [{ type: "reasoning_text", text }] },
    { id: "c", parent_id: "r", type: "function_call", call_id: "k", name: "f", arguments: JSON.stringify({ text }) },
    { id: "o", parent_id: "c", type: "function_call_output", call_id: "k", output: text },
    { id: "a", parent_id: "o", type: "message", role: "assistant", content: [{ type: "output_text", text, annotations: [] }] },
  ];
  await page.getByRole("button", { name: "Import and export" }).click();
  await page.getByLabel("File to import").setInputFiles({ name: "<img src=x onerror=globalThis.hit=30>.json", mimeType: "application/json", buffer: Buffer.from(exportOf(attacks[1], items)) });
  await page.getByText("1 conversation imported.").waitFor();
  await page.keyboard.press("Escape");
  await page.locator(".conversation a").first().click();
  await page.locator(".assistant-turn > .markdown").waitFor();
  for (const details of await page.locator("main summary").all())
    await details.click();
  await page.locator(".katex").first().waitFor();
  await page.getByText("clobber").last().waitFor();
  assert.equal(await page.locator(".conversation-title").first().innerText(), attacks[1]);
  assert.equal(await page.title(), attacks[1]);
  await checkNothingRan(opened);
});

test("Nothing in a stream runs, however it is cut", async () => {
  // The server has not what the page shows here, and says so when its tokens are to be counted.
  const opened = await openPage(browser, server.address, { expected: [/400/] });
  const { page } = opened;
  // The model repeats nothing on demand: its words are replaced on their way, event by event, in pieces of three letters.
  const text = attacks.join("\n\n");
  await page.route("**/v1/responses", async route => {
    if (!route.request().postDataJSON().background)
      return route.continue();
    const events = [];
    const push = event => events.push(`event: ${event.type}\ndata: ${JSON.stringify({ sequence_number: events.length, ...event })}\n\n`);
    const response = { id: "resp_x", object: "response", created_at: 1, status: "in_progress", model: "chat-small", output: [], metadata: {} };
    const item = { id: "msg_x", type: "message", role: "assistant", status: "in_progress", content: [] };
    push({ type: "response.created", response });
    push({ type: "response.in_progress", response });
    push({ type: "response.output_item.added", output_index: 0, item });
    for (let from = 0; from < text.length; from += 3)
      push({ type: "response.output_text.delta", item_id: "msg_x", output_index: 0, content_index: 0, delta: text.slice(from, from + 3) });
    const done = { ...item, status: "completed", content: [{ type: "output_text", text, annotations: [] }] };
    push({ type: "response.output_item.done", output_index: 0, item: done });
    push({ type: "response.completed", response: { ...response, status: "completed", output: [done] } });
    await route.fulfill({ status: 200, contentType: "text/event-stream", body: events.join("") });
  });
  await page.locator("#composer").fill(attacks[0]);
  await page.keyboard.press("Enter");
  await replied(page, 1);
  await page.getByText("clobber").waitFor();
  assert.equal(await page.locator(".user-turn .bubble").innerText(), attacks[0]);
  await checkNothingRan(opened);
});

test("A title, a search and a settings text are text", async () => {
  const opened = await openPage(browser, server.address);
  const { page } = opened;
  await page.getByLabel("Search chats").fill("onerror");
  await page.locator(".match, .list-note").first().waitFor();
  await page.keyboard.press("Control+,");
  await page.getByLabel("Functions that the model may call").fill("<img src=x onerror=globalThis.hit=40>");
  await page.locator(".settings .error").waitFor();
  await page.keyboard.press("Escape");
  await page.getByRole("button", { name: "Persona" }).click();
  await page.getByLabel("System prompt of this conversation").fill("Be kind.");
  await page.getByLabel(/Keep it as a persona/).fill(attacks[1].slice(0, 60));
  await page.getByRole("button", { name: "Use it" }).click();
  await page.locator(".persona-button", { hasText: "<img" }).waitFor();
  await checkNothingRan(opened);
});

/** As a browser asks for it; programs are greeted otherwise. */
const openPageFile = () => fetch(server.address, { headers: { accept: "text/html" } });

const assets = async () => {
  const html = await (await openPageFile()).text();
  return JSON.parse(/<script type="importmap">(.*?)<\/script>/s.exec(html)?.[1] ?? "{}").integrity ?? {};
};

test("The page and its files come with the policy, and every script and style with its integrity", async () => {
  const answer = await openPageFile();
  const policy = answer.headers.get("content-security-policy") ?? "";
  for (const part of ["default-src 'none'", "script-src 'self' 'sha256-", "style-src 'self';", "connect-src 'self'", "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'"])
    assert.ok(policy.includes(part), `${part} is not in ${policy}`);
  assert.doesNotMatch(policy, /unsafe|\*/);
  const html = await answer.text();
  const loaded = [...html.matchAll(/<script[^>]* src=[^>]*>/g), ...html.matchAll(/<link rel="(?:stylesheet|modulepreload)"[^>]*>/g)].map(match => match[0]);
  assert.ok(loaded.length >= 2);
  for (const tag of loaded)
    assert.match(tag, /integrity="sha384-/);
  // What is loaded while the page is used is in the map.
  const opened = await openPage(browser, server.address);
  const { page } = opened;
  const seen = new Set();
  page.on("request", request => /\.(?:js|css)$/.test(request.url()) && seen.add(new URL(request.url()).pathname));
  await page.reload();
  const code = { id: "a", parent_id: null, type: "message", role: "assistant", content: [{ type: "output_text", text: "$x$\n\n```python\ndef f(): pass\n```", annotations: [] }] };
  await page.getByRole("button", { name: "Import and export" }).click();
  await page.getByLabel("File to import").setInputFiles({ name: "x.json", mimeType: "application/json", buffer: Buffer.from(exportOf("Loads much", [code])) });
  await page.getByText("1 conversation imported.").waitFor();
  await page.keyboard.press("Escape");
  await page.getByRole("link", { name: "Loads much" }).click();
  await page.locator(".katex").first().waitFor();
  await page.locator(".hljs-keyword").first().waitFor();
  for (const [link, ready] of [["Status", ".plot"], ["Feedback", ".page-head"], ["Try the API", ".request"]]) {
    await page.getByRole("link", { name: link }).click();
    await page.locator(ready).first().waitFor();
  }
  const map = await assets();
  const tags = loaded.join();
  assert.ok(seen.size >= 7, [...seen].join());
  assert.deepEqual([...seen].filter(path => !map[path]?.startsWith("sha384-") && !tags.includes(path)), []);
  await closeClean(opened);
});

for (const [name, file] of [["the entry", /^\/assets\/index-.*\.js$/], ["a page that is loaded later", /StatusPage/], ["the style", /\.css$/], ["KaTeX", /katex/], ["the highlighter", /worker/]]) {
  test(`A changed file is refused: ${name}`, async () => {
    const [path] = [...Object.keys(await assets()), ...(await (await openPageFile()).text()).match(/\/assets\/[^"]*\.css/g)].filter(asset => file.test(asset));
    assert.ok(path, `no ${file} in the page`);
    const { page } = await openPage(browser, server.address, { path: "/playground" });
    await page.locator(".request").waitFor();
    let changed = 0;
    await page.route(`**${path}`, async route => {
      changed++;
      const answer = await route.fetch();
      await route.fulfill({ response: answer, body: path.endsWith(".css") ? `${await answer.text()} body { --changed: 1; }` : `globalThis.hit = 1; ${await answer.text()}` });
    });
    const refused = page.waitForEvent("console", message => /integrity/i.test(message.text()));
    await page.goto(server.address);
    if (!/index/.test(path)) {
      await page.locator("#composer").waitFor();
      await page.getByRole("button", { name: "Import and export" }).click();
      const code = { id: "a", parent_id: null, type: "message", role: "assistant", content: [{ type: "output_text", text: "$x$\n\n```python\ndef f(): pass\n```", annotations: [] }] };
      await page.getByLabel("File to import").setInputFiles({ name: "x.json", mimeType: "application/json", buffer: Buffer.from(exportOf("Loads much", [code])) });
      await page.getByText("1 conversation imported.").waitFor();
      await page.keyboard.press("Escape");
      await page.getByRole("link", { name: "Loads much" }).first().click();
      await page.locator(".code-block").waitFor();
      await page.getByRole("link", { name: "Status" }).click();
    }
    await refused;
    assert.ok(changed > 0);
    assert.equal(await page.evaluate(() => globalThis.hit), undefined);
    assert.notEqual(await page.evaluate(() => getComputedStyle(document.body).getPropertyValue("--changed")), "1");
    if (/Status/.test(path))
      await page.getByText("The page could not be loaded").waitFor();
    else if (/worker/.test(path))
      assert.equal(await page.locator(".hljs-keyword").count(), 0);
    await page.context().close();
  });
}
