// How smooth long things are: a conversation of 500 messages that is opened and scrolled, and a reply of 20,000 tokens that streams at 100 tokens/s at its end.
// The browser's own tracing counts the main thread's tasks. Run by hand: node performance.mjs (a minute and a half). It ends with exit code 1 where a task
// took longer than 50 ms. No model here writes 20,000 tokens, so this file's proxy writes them and passes everything else on to the real server.
import { createServer, request } from "node:http";
import { openPage, startBrowser, startServer } from "./harness.mjs";

const longestTaskMs = 50;
const tokensBefore = 18_000, tokensTraced = 2_000, tokensPerSecond = 100;

const paragraphs = [
  "The **scheduler** gives every request a turn; see `EngineLoop` for how, and [the notes](https://example.org/notes) for why that is fair to all of them.\n\n",
  "- a first point that is long enough to wrap on most screens, with *some* words set apart\n- a second one\n- and a third with `code` in it\n\n",
  "| step | rows | ms |\n|---|---:|---:|\n| prefill | 512 | 397.6 |\n| decode | 8 | 15.5 |\n| decode | 1 | 11.5 |\n\n",
  "```python\ndef schedule(requests, budget):\n    for request in sorted(requests, key=lambda one: one.arrival):\n        if request.tokens <= budget:\n            budget -= request.tokens\n            yield request\n```\n\n",
  "### A heading\n\n> A quotation that explains what the paragraph before it meant, in other words.\n\n",
  "The cost is $O(n \\log n)$ in the number of requests, and nobody waits longer than $t_{max}$.\n\n",
];

function* tokens() {
  for (let index = 0; ; index++)
    yield* paragraphs[index % paragraphs.length].match(/\s*\S{1,5}/g).concat("\n\n");
}

/** Passes everything on, save for replies in the background, which it writes itself. */
async function startProxy(target) {
  const proxy = createServer((incoming, outgoing) => {
    if (incoming.method === "POST" && incoming.url === "/v1/responses") {
      let body = "";
      incoming.on("data", data => body += data).on("end", () => JSON.parse(body).background ? write(outgoing) : outgoing.writeHead(503).end("{}"));
      return;
    }
    const onward = request(new URL(incoming.url, target), { method: incoming.method, headers: { ...incoming.headers, host: new URL(target).host } }, answer => {
      outgoing.writeHead(answer.statusCode, answer.headers);
      answer.pipe(outgoing);
    });
    incoming.pipe(onward);
  });
  await new Promise(resolve => proxy.listen(0, "127.0.0.1", resolve));
  return { address: `http://127.0.0.1:${proxy.address().port}`, close: () => proxy.close() };
}

let sent = 0;

async function write(outgoing) {
  outgoing.writeHead(200, { "content-type": "text/event-stream" });
  let sequence = 0;
  const push = event => outgoing.write(`event: ${event.type}\ndata: ${JSON.stringify({ sequence_number: sequence++, ...event })}\n\n`);
  const response = { id: "resp_long", object: "response", created_at: 1, status: "in_progress", model: "chat-small", output: [], metadata: {} };
  const item = { id: "msg_long", type: "message", role: "assistant", status: "in_progress", content: [] };
  push({ type: "response.created", response });
  push({ type: "response.in_progress", response });
  push({ type: "response.output_item.added", output_index: 0, item });
  let text = "";
  const started = performance.now();
  let pausedAt = 0;
  for (const token of tokens()) {
    if (sent === tokensBefore + tokensTraced)
      break;
    text += token;
    push({ type: "response.output_text.delta", item_id: item.id, output_index: 0, content_index: 0, delta: token });
    sent++;
    if (sent === tokensBefore)
      pausedAt = performance.now();
    // First at 1,500 tokens/s, to have a long reply soon; then at the rate that is measured.
    const due = sent <= tokensBefore ? started + sent / 1.5 : pausedAt + (sent - tokensBefore) * 1000 / tokensPerSecond;
    const wait = due - performance.now();
    if (wait > 1)
      await new Promise(resolve => setTimeout(resolve, wait));
  }
  const done = { ...item, status: "completed", content: [{ type: "output_text", text, annotations: [] }] };
  push({ type: "response.output_item.done", output_index: 0, item: done });
  push({ type: "response.completed", response: { ...response, status: "completed", output: [done] } });
  outgoing.end();
}

/** Tasks of the page's main thread and the pauses between its frames while `work` runs, in milliseconds. */
async function trace(page, name, work) {
  const session = await page.context().newCDPSession(page);
  const events = [];
  session.on("Tracing.dataCollected", ({ value }) => events.push(...value));
  const complete = new Promise(resolve => session.once("Tracing.tracingComplete", resolve));
  await session.send("Tracing.start", { transferMode: "ReportEvents", traceConfig: { includedCategories: ["toplevel", "devtools.timeline", "disabled-by-default-devtools.timeline"] } });
  await page.evaluate(() => {
    globalThis.frames_ = [];
    globalThis.watching = true;
    const next = time => {
      globalThis.frames_.push(time);
      if (globalThis.watching)
        requestAnimationFrame(next);
    };
    requestAnimationFrame(next);
  });
  await work();
  const frames = await page.evaluate(() => {
    globalThis.watching = false;
    return globalThis.frames_;
  });
  await session.send("Tracing.end");
  await complete;
  const threads = new Set(events.filter(event => event.name === "thread_name" && event.args.name === "CrRendererMain").map(event => `${event.pid}/${event.tid}`));
  const tasks = events.filter(event => event.name === "RunTask" && threads.has(`${event.pid}/${event.tid}`));
  // A task's own time on a processor: what it waited for one on a shared machine is not the page's.
  const durations = tasks.map(event => event.tdur / 1000).sort((one, other) => other - one);
  const walls = tasks.map(event => event.dur / 1000).sort((one, other) => other - one);
  const gaps = frames.slice(1).map((time, index) => time - frames[index]).sort((one, other) => one - other);
  const seconds = (frames.at(-1) - frames[0]) / 1000;
  console.log(`${name}: ${tasks.length} tasks, the longest ${durations.slice(0, 5).map(ms => ms.toFixed(1)).join(", ")} ms (with waiting ${walls[0]?.toFixed(1)}); ` +
    `${((frames.length - 1) / seconds).toFixed(1)} frames/s over ${seconds.toFixed(1)} s, 95% within ${gaps[Math.floor(0.95 * gaps.length)]?.toFixed(1)} ms`);
  for (const task of tasks.filter(event => event.tdur > longestTaskMs * 1000)) {
    const inside = events.filter(event => event.tid === task.tid && event.pid === task.pid && event.ts >= task.ts && event.ts + (event.dur ?? 0) <= task.ts + task.dur && event.tdur > 5000 && event.name !== "RunTask");
    console.log(`  ${(task.tdur / 1000).toFixed(1)} ms: ${inside.sort((one, other) => other.dur - one.dur).slice(0, 6).map(event => `${event.name} ${(event.tdur / 1000).toFixed(1)}`).join(", ")}`);
  }
  return durations.filter(ms => ms > longestTaskMs).length;
}

async function fill(address) {
  const post = async (path, body) => (await fetch(`${address}${path}`, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) })).json();
  const { id } = await post("/v1/conversations", { metadata: { title: "Five hundred messages", titled_by: "user" } });
  for (let from = 0; from < 500; from += 20) {
    const items = Array.from({ length: 20 }, (_, index) => (from + index) % 2 === 0
      ? { type: "message", role: "user", content: [{ type: "input_text", text: `Question ${from + index}: how does the scheduler decide?` }] }
      : { type: "message", role: "assistant", content: [{ type: "output_text", text: paragraphs.join(""), annotations: [] }] });
    await post(`/v1/conversations/${id}/items`, { items });
  }
  return id;
}

const server = await startServer();
const proxy = await startProxy(server.address);
const browser = await startBrowser();
let slow = 0;
try {
  const id = await fill(server.address);
  const { page } = await openPage(browser, proxy.address);
  await page.locator(".conversation").waitFor();
  slow += await trace(page, "Opening 500 messages", async () => {
    await page.locator(".conversation a").click();
    await page.locator(".user-turn").last().waitFor();
    await page.waitForTimeout(2000);
  });
  slow += await trace(page, "Scrolling through them", async () => {
    await page.locator(".column").hover({ position: { x: 300, y: 10 }, force: true }).catch(() => page.mouse.move(760, 400));
    for (let step = 0; step < 150; step++) {
      await page.mouse.wheel(0, -500);
      await page.waitForTimeout(30);
    }
  });
  await page.goto(`${proxy.address}/c/${id}`);
  await page.locator(".user-turn").last().waitFor();
  await page.locator("#composer").fill("Write a long reply.");
  await page.keyboard.press("Enter");
  while (sent < tokensBefore)
    await page.waitForTimeout(200);
  await page.waitForTimeout(1000);
  slow += await trace(page, `Streaming ${tokensPerSecond} tokens/s behind ${tokensBefore} tokens`, () => page.waitForTimeout(15_000));
} finally {
  await browser.close();
  proxy.close();
  await server.stop();
}
console.log(slow === 0 ? `No task took longer than ${longestTaskMs} ms.` : `${slow} tasks took longer than ${longestTaskMs} ms.`);
process.exitCode = slow === 0 ? 0 : 1;
