// The last step of the build: every script and style gets an integrity, and every text file a .br and a .gz beside it.
import { createHash } from "node:crypto";
import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { brotliCompress, constants, gzip } from "node:zlib";

const root = fileURLToPath(new URL("../dist/", import.meta.url));
const page = join(root, "index.html");

const integrity = {};
for (const file of (await readdir(join(root, "assets"))).filter(name => /\.(?:js|css)$/.test(name)).sort())
  integrity[`/assets/${file}`] = `sha384-${createHash("sha384").update(await readFile(join(root, "assets", file))).digest("base64")}`;

const html = await readFile(page, "utf8");
const entries = new Set([...html.matchAll(/(?:src|href)="(\/assets\/[^"]+\.(?:js|css))"/g)].map(match => match[1]));
if (entries.size < 2)
  throw new Error(`index.html names ${entries.size} script or style files; at least one of each was expected`);
let sealed = html;
let first = 0;
for (const entry of entries) {
  sealed = sealed.replaceAll(`="${entry}"`, `="${entry}" integrity="${integrity[entry]}"`);
  first += (await brotli(await readFile(join(root, entry)))).length;
}
// What a script imports later has no tag: the map says what it must be. It goes before all scripts, and the server names its hash in the policy.
sealed = sealed.replace(/^ *<script /m, tag => `    <script type="importmap">${JSON.stringify({ integrity })}</script>\n${tag}`);
await writeFile(page, sealed);

for (const file of await readdir(root, { recursive: true })) {
  if (!/\.(?:html|js|css|svg|json)$/.test(file))
    continue;
  const bytes = await readFile(join(root, file));
  await writeFile(join(root, `${file}.br`), await brotli(bytes));
  await writeFile(join(root, `${file}.gz`), await promisify(gzip)(bytes, { level: 9 }));
}
console.log(`First load: ${(first / 1024).toFixed(1)} KB compressed, in ${entries.size} files`);

function brotli(bytes) {
  return promisify(brotliCompress)(bytes, { params: { [constants.BROTLI_PARAM_QUALITY]: 11 } });
}
