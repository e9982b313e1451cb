import { fromParts } from "../chat/attachments.ts";
import { textOf } from "../chat/tree.ts";
import type { ConversationInfo, Item } from "../api/types.ts";
import type { Persona } from "../settings/personas.ts";

export const ExportFormat = "inference-server.conversations";

export interface ExportFile {
  format: typeof ExportFormat;
  version: 1;
  conversations: { created_at: number; metadata: ConversationInfo["metadata"]; items: Item[] }[];
  /** Of the user's own; files from before there were none in them have none. */
  personas?: Persona[];
}

export function toMarkdown(title: string, instructions: string, path: readonly Item[]): string {
  const parts = [`# ${title || "Chat"}`];
  if (instructions !== "")
    parts.push("## System", instructions);
  for (const item of path)
    parts.push(...sectionOf(item));
  return `${parts.join("\n\n")}\n`;
}

function sectionOf(item: Item): string[] {
  switch (item.type) {
    case "message": {
      const heading = { user: "You", assistant: "Assistant", system: "System", developer: "System" }[item.role];
      const { text, files } = fromParts(item);
      return [`## ${heading}`, ...files.map(file => `File ${file.name}:\n\n${fence(file.text, "")}`), ...text === "" ? [] : [text]];
    }
    case "reasoning": return ["<details><summary>Thinking</summary>", textOf(item), "</details>"];
    case "function_call": return [`Call of \`${item.name}\`:`, fence(item.arguments, "json")];
    case "function_call_output": return ["Result:", fence(textOf(item), "")];
    case "compaction": return ["*The conversation so far was summarised here.*"];
  }
}

/** A code block whose fence is longer than any in the text. */
function fence(text: string, language: string): string {
  const longest = Math.max(2, ...[...text.matchAll(/`{3,}/g)].map(match => match[0].length));
  const ticks = "`".repeat(longest + 1);
  return `${ticks}${language}\n${text}\n${ticks}`;
}
