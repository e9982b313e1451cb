import { getConversation, getItems, listConversations } from "../chat/kept.ts";
import { readMeta } from "../chat/metadata.ts";
import { Tree } from "../chat/tree.ts";
import { ownPersonas } from "../settings/personas.ts";
import { download } from "../ui/download.ts";
import { ExportFormat, toMarkdown, type ExportFile } from "./exportFormat.ts";

/** Saves whole conversations, all branches, so that they can be imported again, with the own personas that they have; without ids all there are. */
export async function exportJson(ids?: string[]): Promise<void> {
  const conversations: ExportFile["conversations"] = [];
  for (const id of ids ?? await allIds()) {
    const info = await getConversation(id);
    conversations.push({ created_at: info.created_at, metadata: info.metadata, items: await getItems(id) });
  }
  const used = new Set(conversations.map(({ metadata }) => readMeta(metadata).persona));
  const personas = ownPersonas.value.filter(persona => ids === undefined || used.has(persona.id));
  const file: ExportFile = { format: ExportFormat, version: 1, conversations, personas };
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
