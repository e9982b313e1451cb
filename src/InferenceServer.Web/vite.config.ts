import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { defineConfig, type Plugin } from "vite";

// Where `npm run dev` and `npm run preview` find the API; the real server serves page and API itself.
const server = process.env.INFERENCE_SERVER ?? "http://127.0.0.1:8080";
const routes = ["/v1", "/api", "/health", "/metrics", "/openapi", "/docs", "/tokenize", "/detokenize", "/apply-template"];
const proxy = Object.fromEntries(routes.map(route => [route, { target: server, changeOrigin: true }]));

// As the server sends it: what works here works there. The import map is the one script that stands in the page itself.
const built = new URL("dist/index.html", import.meta.url);
const map = existsSync(built) ? /<script type="importmap">(.*?)<\/script>/s.exec(readFileSync(built, "utf8"))?.[1] : undefined;
const mapHash = map === undefined ? "" : ` 'sha256-${createHash("sha256").update(map).digest("base64")}'`;
const policy = `default-src 'none'; script-src 'self'${mapHash}; style-src 'self'; img-src 'self' data: blob:; font-src 'self'; connect-src 'self'; ` +
  "base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/** Every browser that runs this page reads woff2, so KaTeX's two older copies of each font stay out of the build. */
const onlyWoff2: Plugin = {
  name: "only-woff2",
  enforce: "pre",
  transform: (code, id) => id.includes("katex") && id.endsWith(".css")
    ? code.replace(/,\s*url\([^)]*\.(?:woff|ttf)\)\s*format\(["']?(?:woff|truetype)["']?\)/g, "")
    : undefined,
};

export default defineConfig({
  plugins: [onlyWoff2],
  server: { proxy },
  preview: { proxy, headers: { "Content-Security-Policy": policy, "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer" } },
  build: {
    target: "es2023",
    // light-dark(), nesting and logical properties as they are written.
    cssTarget: ["chrome123", "firefox121", "safari17.5"],
    // An inlined font or image would be a data: URL, which the policy refuses for fonts.
    assetsInlineLimit: 0,
    // One style for all: a style that a script loads later could have no integrity.
    cssCodeSplit: false,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
  },
  worker: { format: "es" },
});
