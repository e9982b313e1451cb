import { getConversation, getItems, listConversations } from "../api/conversations.ts";
import { fromParts } from "../chat/attachments.ts";
import { readMeta } from "../chat/metadata.ts";
import { textOf, Tree } from "../chat/tree.ts";
import type { ConversationInfo, Item } from "../api/types.ts";
import { download } from "../ui/download.ts";

export const ExportFormat = "inference-server.conversations";

export interface ExportFile {
  format: typeof ExportFormat;
  version: 1;
  conversations: { created_at: number; metadata: ConversationInfo["metadata"]; items: Item[] }[];
}

/** Saves whole conversations, all branches, so that they can be imported again; without ids all there are. */
export async function exportJson(ids?: string[]): Promise<void> {
  const conversations: ExportFile["conversations"] = [];
  for (const id of ids ?? await allIds()) {
    const info = await getConversation(id);
    conversations.push({ created_at: info.created_at, metadata: info.metadata, items: await getItems(id) });
  }
  const file: ExportFile = { format: ExportFormat, version: 1, conversations };
  const name = conversations.length === 1 ? readMeta(conversations[0]?.metadata ?? {}).title || "chat" : "chats";
  download(`${name}.json`, JSON.stringify(file, null, 2), "application/json");
}

/** Saves one branch of a conversation as text that people read. */
export async function exportMarkdown(id: string, leaf: string | null): Promise<void> {
  const [info, items] = await Promise.all([getConversation(id), getItems(id)]);
  const meta = readMeta(info.metadata);
  const tree = new Tree(items);
  const path = tree.path(leaf ?? tree.newestLeaf(meta.leaf));
  download(`${meta.title || "chat"}.md`, toMarkdown(meta.title, meta.instructions, path), "text/markdown");
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

async function allIds(): Promise<string[]> {
  const ids: string[] = [];
  for (let after: string | null = null; ;) {
    const page = await listConversations("", after, 100);
    ids.push(...page.data.map(info => info.id));
    if (!page.has_more || page.last_id === null)
      return ids;
    after = page.last_id;
  }
}
