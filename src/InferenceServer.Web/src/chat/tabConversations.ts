import type { ConversationInfo, Item, Metadata, NewItem, Page } from "../api/types.ts";
import { readStored, writeStored } from "../store/storage.ts";
import { randomId } from "../ui/id.ts";

// Conversations of a server that keeps none: in this page's memory, and in the session's storage for a reload. What is exported here does what
// api/conversations.ts does.

interface Kept {
  info: ConversationInfo;
  items: Map<string, Item>;
}

const Slot = "conversations";
const Prefix = "tab_";

export const isOfTab = (id: string): boolean => id.startsWith(Prefix);

type Stored = [info: ConversationInfo, items: Item[]][];
const isStored = (value: unknown): value is Stored =>
  Array.isArray(value) && value.every(one => Array.isArray(one) && typeof one[0]?.id === "string" && Array.isArray(one[1]));

const conversations = new Map<string, Kept>(readStored(Slot, isStored, [], sessionStorage).map(([info, items]) =>
  // Nobody goes on with a reply that was being made.
  [info.id, { info, items: new Map(items.map(item => [item.id, item.status === "in_progress" ? { ...item, status: "incomplete" } : item])) }]));

// A reload asks nobody: what a growing reply has by then is written at the last moment.
addEventListener("pagehide", store);

function store(): void {
  const stored: Stored = [...conversations.values()].map(({ info, items }) => [info, [...items.values()]]);
  // Where the browser has no room, the page's memory has it still.
  writeStored(Slot, stored, sessionStorage);
}

function find(id: string): Kept {
  const kept = conversations.get(id);
  if (!kept)
    throw new Error("This conversation was in another browser tab, or ended with it.");
  return kept;
}

export async function listConversations(): Promise<Page<ConversationInfo>> {
  const data = [...conversations.values()].map(({ info }) => info).sort((one, other) => (other.updated_at ?? 0) - (one.updated_at ?? 0));
  return { object: "list", data, first_id: data[0]?.id ?? null, last_id: data.at(-1)?.id ?? null, has_more: false };
}

export async function createConversation(metadata: Metadata): Promise<ConversationInfo> {
  const now = Date.now() / 1000;
  const info: ConversationInfo = { id: `${Prefix}${randomId()}`, object: "conversation", created_at: now, updated_at: now, metadata };
  conversations.set(info.id, { info, items: new Map() });
  store();
  return info;
}

export async function getConversation(id: string): Promise<ConversationInfo> {
  return find(id).info;
}

export async function getItems(id: string): Promise<Item[]> {
  return [...find(id).items.values()];
}

export async function setMetadata(id: string, metadata: Metadata): Promise<ConversationInfo> {
  const kept = find(id);
  kept.info = { ...kept.info, metadata };
  store();
  return kept.info;
}

export async function deleteConversation(id: string): Promise<void> {
  conversations.delete(id);
  store();
}

export async function addItems(id: string, items: NewItem[], parent: string | null): Promise<Item[]> {
  const kept = find(id);
  const ids = new Map<string, string>();
  const added: Item[] = [];
  const now = Date.now() / 1000;
  for (const item of items) {
    const above = item.parent_id === undefined ? added.at(-1)?.id ?? parent : item.parent_id === null ? null : ids.get(item.parent_id) ?? item.parent_id;
    const placed = { created_at: now, ...item, id: `${item.type}_${randomId()}`, parent_id: above };
    if ("id" in item)
      ids.set(item.id, placed.id);
    kept.items.set(placed.id, placed);
    added.push(placed);
  }
  kept.info = { ...kept.info, updated_at: now };
  store();
  return added;
}

/** Keeps an item of a reply, as far as it has come. */
export function keepItem(id: string, item: Item): void {
  conversations.get(id)?.items.set(item.id, item);
}

/** The items as a request has them that names no conversation. */
export function toInput(items: readonly Item[]): NewItem[] {
  return items.flatMap(({ id: _, parent_id: __, created_at: ___, response_id: ____, ...item }) =>
    // Of a reply that was stopped before its first word nothing is to be read.
    item.type === "message" && item.content.every(part => (part.text ?? part.refusal ?? "") === "") ? [] : [item as NewItem]);
}
