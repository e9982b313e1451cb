import { effect, signal } from "@preact/signals";
import { ApiError } from "../api/client.ts";
import * as server from "../api/conversations.ts";
import type { ConversationInfo, Item, Metadata, NewItem, Page } from "../api/types.ts";
import { connection } from "../store/connection.ts";
import * as tab from "./tabConversations.ts";

/** Whether the server keeps conversations (it does not with --data-dir off); null until it has said so. */
export const serverKeeps = signal<boolean | null>(null);

// It may come back with other settings.
effect(() => {
  if (connection.value === "gone")
    serverKeeps.value = null;
});

const keeperOf = (id: string) => tab.isOfTab(id) ? tab : server;

export async function listConversations(query: string, after: string | null, limit: number): Promise<Page<ConversationInfo>> {
  if (serverKeeps.peek() === false)
    return await tab.listConversations();
  try {
    const page = await server.listConversations(query, after, limit);
    serverKeeps.value = true;
    return page;
  } catch (error) {
    if (!(error instanceof ApiError && error.code === "store_off"))
      throw error;
    serverKeeps.value = false;
    return await tab.listConversations();
  }
}

export async function createConversation(metadata: Metadata): Promise<ConversationInfo> {
  if (serverKeeps.peek() === null)
    await listConversations("", null, 1);
  return await (serverKeeps.peek() === false ? tab : server).createConversation(metadata);
}

export const getConversation = (id: string, signal?: AbortSignal): Promise<ConversationInfo> => keeperOf(id).getConversation(id, signal);
export const getItems = (id: string, signal?: AbortSignal): Promise<Item[]> => keeperOf(id).getItems(id, signal);
export const setMetadata = (id: string, metadata: Metadata): Promise<ConversationInfo> => keeperOf(id).setMetadata(id, metadata);
export const addItems = (id: string, items: NewItem[], parent: string | null): Promise<Item[]> => keeperOf(id).addItems(id, items, parent);
export const deleteConversation = (id: string): Promise<void> => keeperOf(id).deleteConversation(id);
