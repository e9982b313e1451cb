import hljs from "highlight.js/lib/core";
import type { HighlightAnswer, HighlightRequest, Line } from "./highlight.ts";

// The languages that chats are about, each loaded when it is first seen.
const languages: Record<string, () => Promise<{ default: Parameters<typeof hljs.registerLanguage>[1] }>> = {
  bash: () => import("highlight.js/lib/languages/bash"),
  c: () => import("highlight.js/lib/languages/c"),
  cpp: () => import("highlight.js/lib/languages/cpp"),
  csharp: () => import("highlight.js/lib/languages/csharp"),
  css: () => import("highlight.js/lib/languages/css"),
  diff: () => import("highlight.js/lib/languages/diff"),
  dockerfile: () => import("highlight.js/lib/languages/dockerfile"),
  go: () => import("highlight.js/lib/languages/go"),
  ini: () => import("highlight.js/lib/languages/ini"),
  java: () => import("highlight.js/lib/languages/java"),
  javascript: () => import("highlight.js/lib/languages/javascript"),
  json: () => import("highlight.js/lib/languages/json"),
  kotlin: () => import("highlight.js/lib/languages/kotlin"),
  lua: () => import("highlight.js/lib/languages/lua"),
  makefile: () => import("highlight.js/lib/languages/makefile"),
  markdown: () => import("highlight.js/lib/languages/markdown"),
  php: () => import("highlight.js/lib/languages/php"),
  powershell: () => import("highlight.js/lib/languages/powershell"),
  python: () => import("highlight.js/lib/languages/python"),
  r: () => import("highlight.js/lib/languages/r"),
  ruby: () => import("highlight.js/lib/languages/ruby"),
  rust: () => import("highlight.js/lib/languages/rust"),
  sql: () => import("highlight.js/lib/languages/sql"),
  swift: () => import("highlight.js/lib/languages/swift"),
  typescript: () => import("highlight.js/lib/languages/typescript"),
  xml: () => import("highlight.js/lib/languages/xml"),
  yaml: () => import("highlight.js/lib/languages/yaml"),
};

const aliases: Record<string, string> = {
  sh: "bash", shell: "bash", zsh: "bash", console: "bash", "c++": "cpp", h: "c", hpp: "cpp", cs: "csharp", "c#": "csharp", docker: "dockerfile", golang: "go",
  toml: "ini", js: "javascript", jsx: "javascript", mjs: "javascript", kt: "kotlin", make: "makefile", md: "markdown", ps1: "powershell", py: "python",
  rb: "ruby", rs: "rust", ts: "typescript", tsx: "typescript", html: "xml", svg: "xml", yml: "yaml", jsonc: "json", json5: "json",
};

// One after the other: the main thread asks again only when it has its answer.
onmessage = async ({ data }: MessageEvent<HighlightRequest>) => {
  const answer: HighlightAnswer = { id: data.id, lines: await highlight(data) };
  postMessage(answer);
};

async function highlight({ text, language }: HighlightRequest): Promise<Line[] | null> {
  const named = language.toLowerCase();
  const name = aliases[named] ?? named;
  const load = Object.hasOwn(languages, name) ? languages[name] : undefined;
  if (!load)
    return null;
  if (!hljs.getLanguage(name))
    hljs.registerLanguage(name, (await load()).default);
  return toLines(hljs.highlight(text, { language: name, ignoreIllegals: true }).value);
}

/** Takes the highlighter's HTML, which holds spans and escaped text only, apart into lines of pieces. */
function toLines(html: string): Line[] {
  const lines: Line[] = [[]];
  const classes: string[] = [];
  for (const [, opened, closed, text] of html.matchAll(/<span class="([^"]*)">|(<\/span>)|([^<]+)/g)) {
    if (opened !== undefined) {
      classes.push(opened);
    } else if (closed !== undefined) {
      classes.pop();
    } else if (text !== undefined) {
      unescape(text).split("\n").forEach((part, index) => {
        if (index > 0)
          lines.push([]);
        if (part !== "")
          lines.at(-1)?.push([part, classes.at(-1) ?? ""]);
      });
    }
  }
  return lines;
}

const Names: Record<string, string> = { "&amp;": "&", "&lt;": "<", "&gt;": ">", "&quot;": "\"", "&#x27;": "'" };
const unescape = (text: string): string => text.replace(/&(?:amp|lt|gt|quot|#x27);/g, name => Names[name] ?? name);
