// All flows, or the named ones, with one server and one browser for those that need none of their own, and two files at a time: node flows.mjs [chat ...]
import { spawn } from "node:child_process";
import { readdir } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { startServer, startSharedBrowser } from "./harness.mjs";

const folder = fileURLToPath(new URL(".", import.meta.url));
const suffix = ".test.mjs";
const known = (await readdir(folder)).filter(file => file.endsWith(suffix)).map(file => file.slice(0, -suffix.length));
const chosen = process.argv.length > 2 ? process.argv.slice(2) : known;
const unknown = chosen.filter(name => !known.includes(name));
if (unknown.length > 0)
  throw new Error(`no such flows: ${unknown.join(", ")}; there are ${known.join(", ")}`);

const [server, browser] = await Promise.all([startServer({ arguments: chosen.flatMap(name => ["--api-key", name]) }), startSharedBrowser()]);
try {
  const environment = { ...process.env, BROWSER_TEST_SHARED: JSON.stringify({ address: server.address, pid: server.pid, endpoint: browser.wsEndpoint() }) };
  const child = spawn(process.execPath, ["--test", "--test-concurrency=2", "--test-reporter=spec", ...chosen.map(name => `${folder}${name}${suffix}`)],
    { stdio: "inherit", env: environment });
  process.exitCode = await new Promise(resolve => child.once("exit", code => resolve(code ?? 1)));
} finally {
  await browser.close();
  await server.stop();
}
