// Pictures of the page's main states into the ignored folder screenshots, light and dark, desktop and phone, to be looked at: npm run screenshots
import { mkdir } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { ask, greedy, openPage, startBrowser, startServer } from "./harness.mjs";

const folder = fileURLToPath(new URL("screenshots/", import.meta.url));
const sizes = { desktop: { viewport: { width: 1280, height: 800 } }, phone: { viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true, deviceScaleFactor: 2 } };

const server = await startServer();
const browser = await startBrowser();
try {
  await mkdir(folder, { recursive: true });
  for (const [size, options] of Object.entries(sizes)) {
    for (const colorScheme of ["light", "dark"])
      await take(size, colorScheme, options);
  }
} finally {
  await browser.close();
  await server.stop();
}

async function take(size, colorScheme, options) {
  const { page } = await openPage(browser, server.address, { ...options, colorScheme, settings: greedy });
  const shoot = async name => {
    await page.waitForTimeout(300);
    await page.screenshot({ path: `${folder}${name}-${size}-${colorScheme}.png` });
  };
  const menu = async name => {
    if (size === "phone")
      await page.getByRole("button", { name: "Show the sidebar" }).click();
    await name();
  };
  await page.locator(".welcome-model").waitFor();
  await shoot("welcome");
  await ask(page, "Why is the sky blue?");
  await ask(page, "Write a Python function that adds two numbers.");
  await page.locator(".hljs-keyword").first().waitFor();
  await ask(page, "How do I make a cup of tea?");
  await page.getByRole("button", { name: "Reply again" }).last().click();
  await page.locator(".siblings-count").waitFor();
  await page.getByRole("button", { name: "Good reply" }).last().click();
  await shoot("chat");
  await page.locator(".numbers button").last().click();
  await page.locator(".context-meter button").click();
  await shoot("numbers");
  await page.getByRole("button", { name: "Which is better?" }).last().click();
  await shoot("comparison");
  await page.keyboard.press("Escape");
  await page.keyboard.press("Control+,");
  await shoot("settings");
  await page.keyboard.press("Escape");
  await page.getByRole("button", { name: /Persona/ }).click();
  await shoot("personas");
  await page.keyboard.press("Escape");
  await page.getByRole("button", { name: /^Model:/ }).click();
  await shoot("models");
  await page.keyboard.press("Escape");
  if (size === "phone") {
    await menu(() => shoot("sidebar"));
    await page.getByRole("button", { name: "Hide the sidebar" }).click();
  }
  for (const [path, ready] of [["status", ".plot"], ["feedback", ".feedback-entry"], ["playground", ".request"]]) {
    await page.goto(`${server.address}/${path}`);
    await page.locator(ready).first().waitFor();
    if (path === "playground") {
      await page.getByRole("button", { name: "Send", exact: true }).click();
      await page.getByText("Status 200").waitFor();
    } else if (path === "status") {
      await Promise.all(Array.from({ length: 8 }, (_, index) => fetch(`${server.address}/v1/chat/completions`, {
        method: "POST", headers: { "content-type": "application/json" },
        body: JSON.stringify({ model: "chat-small", max_tokens: 300, ignore_eos: true, messages: [{ role: "user", content: `Tell me a story, number ${index}.` }] }),
      })));
      await page.waitForTimeout(5000);
    }
    await shoot(path);
  }
  await page.context().close();
}
