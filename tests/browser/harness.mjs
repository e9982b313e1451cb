// The real server and the system's Chromium, for the tests beside this file. Environment:
//   BROWSER_TEST_SERVER  the server's command line as a JSON array; by default the Release build's
//   BROWSER_TEST_MODEL   the model's path; by default the one that comes with the server
//   CHROMIUM             the browser's path; by default the first that is found
//   BROWSER_TEST_SHARED  what flows.mjs started for all files: {address, endpoint} as JSON. Each file has an API key there, its own name, and so its own
//                        conversations and feedback. Without it a file starts a server and a browser of its own.
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

const root = fileURLToPath(new URL("../../", import.meta.url));
const command = JSON.parse(process.env.BROWSER_TEST_SERVER ?? JSON.stringify(["dotnet", join(root, "src/InferenceServer/bin/Release/net10.0/InferenceServer.dll")]));
const model = process.env.BROWSER_TEST_MODEL ?? join(root, "models/chat-small.gguf");
const executablePath = process.env.CHROMIUM ?? ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].find(path => existsSync(path));
const flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];
const startLimitMs = 120_000;
const shared = process.env.BROWSER_TEST_SHARED === undefined ? null : JSON.parse(process.env.BROWSER_TEST_SHARED);
const sharedKey = basename(process.argv[1], ".test.mjs");

/** Long enough for a reply on a busy machine of two cores. */
export const patience = 30_000;

/** The server that the flows share, or one of this file's own. */
export async function openServer() {
  if (shared === null)
    return await startServer();
  latestServer = shared.pid;
  return { address: shared.address, stop: async () => {} };
}

// The small model writes 900 tokens in a second, which is over before a page on a busy machine has done anything about it.
const stoppedMs = 50, runningMs = 25;
let latestServer = null, slowing = null;

/** Lets the server that was opened last run a part of the time only, until `goFast`. Windows has no such signals. */
function goSlow() {
  if (process.platform === "win32" || slowing !== null)
    return;
  const pid = latestServer;
  const turn = stop => {
    try {
      process.kill(pid, stop ? "SIGSTOP" : "SIGCONT");
      slowing = { pid, timer: setTimeout(turn, stop ? stoppedMs : runningMs, !stop) };
    } catch {
      slowing = null; // it has ended
    }
  };
  turn(true);
}

function goFast() {
  if (slowing === null)
    return;
  clearTimeout(slowing.timer);
  try {
    process.kill(slowing.pid, "SIGCONT");
  } catch {
    // It has ended.
  }
  slowing = null;
}
process.on("exit", goFast);

/** Asks a server as this file does. */
export function fetchFrom(address, path, options = {}) {
  return fetch(`${address}${path}`, address === shared?.address ? { ...options, headers: { ...options.headers, authorization: `Bearer ${sharedKey}` } } : options);
}

/** Starts the server on the small model with a data folder of its own, or with the folder and port of one before it. */
export async function startServer(options = {}) {
  const folder = options.folder ?? await mkdtemp(join(tmpdir(), "browser-tests-"));
  const [program, ...first] = command;
  const child = spawn(program, [...first, "--model", model, "--port", String(options.port ?? 0), "--data-dir", options.keepsNothing ? "off" : join(folder, "data"), ...options.arguments ?? []],
    { cwd: folder, stdio: ["ignore", "pipe", "pipe"] });
  latestServer = child.pid;
  const ended = new Promise(resolve => child.once("exit", resolve));
  const address = await new Promise((resolve, reject) => {
    let said = "";
    const hear = data => {
      said += data;
      const match = / on (http:\/\/[\d.:]+)/.exec(said);
      if (match)
        resolve(match[1]);
    };
    child.stdout.on("data", hear);
    child.stderr.on("data", hear);
    child.once("error", reject);
    child.once("exit", code => reject(new Error(`the server ended with ${code}: ${said}`)));
    setTimeout(() => reject(new Error(`the server did not start: ${said}`)), startLimitMs).unref();
  });
  return {
    address, folder, port: Number(new URL(address).port), pid: child.pid,
    /** As kill -9 does: nothing is flushed, nobody is told. */
    async kill() {
      child.kill("SIGKILL");
      await ended;
    },
    async stop() {
      child.kill("SIGTERM");
      await ended;
      await rm(folder, { recursive: true, force: true });
    },
  };
}

export async function startBrowser() {
  return shared === null ? await chromium.launch(launchOptions()) : await chromium.connect(shared.endpoint);
}

/** A browser that other processes open pages in: `startBrowser` does, with its endpoint. */
export const startSharedBrowser = () => chromium.launchServer(launchOptions());

function launchOptions() {
  if (executablePath === undefined)
    throw new Error("no Chromium was found: install it, or name it in CHROMIUM");
  return { executablePath, args: flags };
}

/** A page of its own, whose errors and refused loads are collected in `problems`. */
export async function openPage(browser, address, options = {}) {
  const { expected = [], settings, ...context } = options;
  // Without motion a colour is what it will be, and not on its way there.
  const own = await browser.newContext({ viewport: { width: 1280, height: 800 }, reducedMotion: "reduce", ...context });
  own.setDefaultTimeout(patience);
  const page = await own.newPage();
  const problems = [];
  const isExpected = text => expected.some(pattern => pattern.test(text));
  page.on("pageerror", error => problems.push(String(error.stack ?? error)));
  page.on("console", message => {
    if (message.type() === "error" && !isExpected(message.text()))
      problems.push(`${message.text()} (${message.location().url})`);
  });
  page.on("request", request => {
    const url = new URL(request.url());
    if (["http:", "https:", "ws:"].includes(url.protocol) && url.origin !== address)
      problems.push(`a request left the machine: ${url}`);
  });
  await page.addInitScript(() => {
    globalThis.violations = [];
    document.addEventListener("securitypolicyviolation", event => globalThis.violations.push(`${event.violatedDirective} ${event.blockedURI} ${event.sample}`));
  });
  if (address === shared?.address)
    await page.addInitScript(key => sessionStorage.setItem("inference-server.key", key), sharedKey);
  if (settings)
    await page.addInitScript(stored => {
      if (localStorage.getItem("inference-server.settings") === null)
        localStorage.setItem("inference-server.settings", JSON.stringify(stored));
    }, settings);
  await page.goto(options.path ? `${address}${options.path}` : address);
  await page.locator("#main").waitFor();
  return { page, problems };
}

/** Closes a page on which nothing went wrong, and where the policy had nothing to refuse. */
export async function closeClean({ page, problems }) {
  goFast();
  const violations = await page.evaluate(() => globalThis.violations);
  await page.context().close();
  const all = [...problems, ...violations];
  if (all.length > 0)
    throw new Error(`the page had problems:\n${all.join("\n")}`);
}

/** Sends a message and waits for the whole reply; returns its text. */
export async function ask(page, text) {
  const before = await page.locator(".assistant-turn").count();
  await page.locator("#composer").fill(text);
  // On a touch screen Enter breaks the line.
  await page.locator(".round.send").click();
  await replied(page, before + 1);
  return await lastReply(page);
}

/** Waits until there are so many replies and none is being made. */
export async function replied(page, count) {
  await page.waitForFunction(wanted => document.querySelectorAll(".assistant-turn[data-item]").length >= wanted && !document.querySelector("[aria-busy=true]") && !document.querySelector(".round.stop"), count);
}

export const lastReply = page => page.locator(".assistant-turn[data-item]").last().locator(".markdown, .plain, .code-block").first().innerText();

/** From here on the model goes on for this many tokens, whatever it has to say, and slowly until the page is closed. */
export async function withLongReplies(page, tokens) {
  goSlow();
  await page.route("**/v1/responses", async route => {
    const body = route.request().postDataJSON();
    await route.continue(route.request().method() === "POST" && body.stream ? { postData: JSON.stringify({ ...body, ignore_eos: true, max_output_tokens: tokens }) } : {});
  });
}

/** What a downloaded file says; its path would be the browser's machine's. */
export async function contentOf(download) {
  return Buffer.concat(await (await download.createReadStream()).toArray()).toString("utf8");
}

/** How many replies the server makes for this file. */
export async function runningReplies(address) {
  const { data } = await (await fetchFrom(address, "/v1/requests?limit=256")).json();
  return data.filter(request => request.outcome === "running").length;
}

/** Waits until the engine works on nothing of this file's any more. */
export async function nothingRuns(address) {
  for (const end = Date.now() + patience; await runningReplies(address) > 0;) {
    if (Date.now() > end)
      throw new Error("the engine still works on a reply");
    await new Promise(resolve => setTimeout(resolve, 50));
  }
}

const axeSource = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/** What axe-core finds wrong with the page as it stands, in words. */
export async function accessibilityProblems(page, options = {}) {
  await page.evaluate(axeSource);
  // Halfway between two states a colour is neither's.
  await page.evaluate(() => Promise.all(document.getAnimations().filter(animation => animation.effect?.getComputedTiming().endTime !== Infinity).map(animation => animation.finished.catch(() => null))));
  const { violations } = await page.evaluate(given => globalThis.axe.run(document, { resultTypes: ["violations"], ...given }), options);
  return violations.flatMap(violation => violation.nodes.map(node => `${violation.id}: ${node.target.join(" ")}: ${node.failureSummary?.replaceAll("\n", " ")}`));
}

/** Small enough to be the same each time: the likeliest token always. */
export const greedy = { sampling: { temperature: 0 } };
