import { fetchApi, fetchJson } from "./client.ts";
import type { ConversationInfo, Item, Metadata, NewItem, Page } from "./types.ts";

/** Most items that one call may carry, as the server says. */
export const ItemsPerCall = 20;

const path = (id: string) => `/v1/conversations/${encodeURIComponent(id)}`;

export function listConversations(query: string, after: string | null, limit: number): Promise<Page<ConversationInfo>> {
  const parameters = new URLSearchParams({ limit: String(limit) });
  if (query !== "")
    parameters.set("query", query);
  if (after !== null)
    parameters.set("after", after);
  return fetchJson(`/v1/conversations?${parameters}`);
}

export function createConversation(metadata: Metadata): Promise<ConversationInfo> {
  return fetchJson("/v1/conversations", { body: { metadata } });
}

export function getConversation(id: string, signal?: AbortSignal): Promise<ConversationInfo> {
  return fetchJson(path(id), { signal });
}

export function setMetadata(id: string, metadata: Metadata): Promise<ConversationInfo> {
  return fetchJson(path(id), { body: { metadata } });
}

export async function deleteConversation(id: string): Promise<void> {
  await fetchApi(path(id), { method: "DELETE" });
}

/** Adds items below `parent`, each below the one before it where it names no parent of its own; null begins a new root. */
export async function addItems(id: string, items: NewItem[], parent: string | null): Promise<Item[]> {
  return (await fetchJson<Page<Item>>(`${path(id)}/items`, { body: { items, parent_id: parent } })).data;
}

export async function deleteItem(id: string, item: string): Promise<void> {
  await fetchApi(`${path(id)}/items/${encodeURIComponent(item)}`, { method: "DELETE" });
}

/** All items, oldest first. */
export async function getItems(id: string, signal?: AbortSignal): Promise<Item[]> {
  const items: Item[] = [];
  let after = "";
  for (;;) {
    const page = await fetchJson<Page<Item>>(`${path(id)}/items?order=asc&limit=100${after}`, { signal });
    items.push(...page.data);
    if (!page.has_more || page.last_id === null)
      return items;
    after = `&after=${encodeURIComponent(page.last_id)}`;
  }
}
