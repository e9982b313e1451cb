// The real server and the system's Chromium, for the tests beside this file. Environment:
//   BROWSER_TEST_SERVER  the server's command line as a JSON array; by default the Release build's
//   BROWSER_TEST_MODEL   the model's path; by default the one that comes with the server
//   CHROMIUM             the browser's path; by default the first that is found
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

const root = fileURLToPath(new URL("../../", import.meta.url));
const command = JSON.parse(process.env.BROWSER_TEST_SERVER ?? JSON.stringify(["dotnet", join(root, "src/InferenceServer/bin/Release/net10.0/InferenceServer.dll")]));
const model = process.env.BROWSER_TEST_MODEL ?? join(root, "models/chat-small.gguf");
const executablePath = process.env.CHROMIUM ?? ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].find(path => existsSync(path));
const flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];
const startLimitMs = 120_000;

/** Long enough for a reply on a busy machine of two cores. */
export const patience = 30_000;

/** Starts the server on the small model with a data folder of its own, or with the folder and port of one before it. */
export async function startServer(options = {}) {
  const folder = options.folder ?? await mkdtemp(join(tmpdir(), "browser-tests-"));
  const [program, ...first] = command;
  const child = spawn(program, [...first, "--model", model, "--port", String(options.port ?? 0), "--data-dir", options.keepsNothing ? "off" : join(folder, "data"), ...options.arguments ?? []],
    { cwd: folder, stdio: ["ignore", "pipe", "pipe"] });
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
    address, folder, port: Number(new URL(address).port),
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
  if (executablePath === undefined)
    throw new Error("no Chromium was found: install it, or name it in CHROMIUM");
  return await chromium.launch({ executablePath, args: flags });
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
  if (settings)
    await page.addInitScript(stored => {
      if (localStorage.getItem("inference-server.settings") === null)
        localStorage.setItem("inference-server.settings", JSON.stringify(stored));
    }, settings);
  await page.goto(options.path ? `${address}${options.path}` : address);
  await page.locator("#main").waitFor();
  return { page, problems };
}

/** Nothing went wrong on this page, and the policy had nothing to refuse. */
export async function checkClean({ page, problems }) {
  const violations = await page.evaluate(() => globalThis.violations);
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

/** From here on the model goes on for this many tokens, whatever it has to say. */
export async function withLongReplies(page, tokens) {
  await page.route("**/v1/responses", async route => {
    const body = route.request().postDataJSON();
    await route.continue(route.request().method() === "POST" && body.stream ? { postData: JSON.stringify({ ...body, ignore_eos: true, max_output_tokens: tokens }) } : {});
  });
}

const axeSource = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/** What axe-core finds wrong with the page as it stands, in words. */
export async function accessibilityProblems(page) {
  await page.evaluate(axeSource);
  const { violations } = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ["violations"] }));
  return violations.flatMap(violation => violation.nodes.map(node => `${violation.id}: ${node.target.join(" ")}: ${node.failureSummary?.replaceAll("\n", " ")}`));
}

/** Small enough to be the same each time: the likeliest token always. */
export const greedy = { sampling: { temperature: 0 } };
