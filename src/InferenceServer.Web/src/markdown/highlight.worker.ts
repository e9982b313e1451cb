import hljs from "highlight.js/lib/common";
import dockerfile from "highlight.js/lib/languages/dockerfile";
import powershell from "highlight.js/lib/languages/powershell";
import type { HighlightAnswer, HighlightRequest, Line } from "./highlight.ts";

// All languages are in this one file: what a worker imports later could have no integrity.
hljs.registerLanguage("dockerfile", dockerfile);
hljs.registerLanguage("powershell", powershell);

/** Names that models write and the highlighter does not know, or takes for another language. */
const aliases: Record<string, string> = { shell: "bash", json5: "json" };

onmessage = ({ data }: MessageEvent<HighlightRequest>) => {
  const answer: HighlightAnswer = { id: data.id, lines: highlight(data) };
  postMessage(answer);
};

function highlight({ text, language }: HighlightRequest): Line[] | null {
  const named = language.toLowerCase();
  const name = Object.hasOwn(aliases, named) ? aliases[named] ?? named : named;
  return hljs.getLanguage(name) ? toLines(hljs.highlight(text, { language: name, ignoreIllegals: true }).value) : null;
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
