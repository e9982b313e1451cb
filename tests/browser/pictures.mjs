// The pictures in README, drawn by the page itself: printed to PDF and turned into SVG, which is text, by pdftocairo (Debian: poppler-utils). npm run pictures
import { execFileSync } from "node:child_process";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { ask, greedy, openPage, startBrowser, startServer } from "./harness.mjs";

const folder = fileURLToPath(new URL("../../docs/pictures/", import.meta.url));
const size = { width: 1280, height: 800 };

const server = await startServer();
const browser = await startBrowser();
const scratch = await mkdtemp(join(tmpdir(), "pictures-"));
try {
  await mkdir(folder, { recursive: true });
  for (const theme of ["light", "dark"]) {
    const { page } = await openPage(browser, server.address, { viewport: size, settings: { ...greedy, theme } });
    await page.locator(".welcome-model").waitFor();
    for (const text of ["Why is the sky blue?", "Write a Python function that adds two numbers.", "How do I make a cup of tea?"])
      await ask(page, text);
    await page.locator(".hljs-keyword").first().waitFor();
    await page.getByText(/ of 1,024 tokens/).waitFor();
    await page.emulateMedia({ media: "screen" });
    // Shadows would be printed as pixels.
    await page.evaluate(() => document.styleSheets[0].insertRule("* { box-shadow: none !important; }"));
    const pdf = join(scratch, `${theme}.pdf`);
    await page.pdf({ path: pdf, width: `${size.width}px`, height: `${size.height}px`, printBackground: true, pageRanges: "1" });
    execFileSync("pdftocairo", ["-svg", pdf, join(folder, `chat-${theme}.svg`)]);
    // The next picture's list of chats begins anew.
    for (const { id } of (await (await fetch(`${server.address}/v1/conversations`)).json()).data)
      await fetch(`${server.address}/v1/conversations/${id}`, { method: "DELETE" });
  }
} finally {
  await browser.close();
  await server.stop();
  await rm(scratch, { recursive: true });
}
