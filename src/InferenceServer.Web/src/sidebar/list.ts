import { computed, signal } from "@preact/signals";
import { explain } from "../api/client.ts";
import type { ConversationInfo } from "../api/types.ts";
import { deleteConversation, listConversations, setMetadata } from "../chat/kept.ts";
import { readMeta, writeMeta, type ConversationMeta } from "../chat/metadata.ts";

const PageSize = 40;

/** A conversation as the sidebar knows it. */
export interface Entry {
  info: ConversationInfo;
  meta: ConversationMeta;
}

const entries = signal<Entry[]>([]);
const more = signal<string | null>(null);

export const query = signal("");
export const found = signal<Entry[] | null>(null);
export const listError = signal<string | null>(null);
export const listLoaded = signal(false);

export const hasMore = computed(() => more.value !== null);
export const pinned = computed(() => entries.value.filter(entry => entry.meta.pinned));
export const unpinned = computed(() => entries.value.filter(entry => !entry.meta.pinned));

const toEntry = (info: ConversationInfo): Entry => ({ info, meta: readMeta(info.metadata) });

/** Reads the newest conversations anew. */
export async function loadList(): Promise<void> {
  await reading(async () => {
    const page = await listConversations("", null, PageSize);
    entries.value = page.data.map(toEntry);
    more.value = page.has_more ? page.last_id : null;
    listLoaded.value = true;
  });
}

export async function loadMore(): Promise<void> {
  const after = more.peek();
  if (after === null)
    return;
  more.value = null;
  await reading(async () => {
    const page = await listConversations("", after, PageSize);
    const known = new Set(entries.peek().map(entry => entry.info.id));
    entries.value = [...entries.peek(), ...page.data.filter(info => !known.has(info.id)).map(toEntry)];
    more.value = page.has_more ? page.last_id : null;
  });
}

/** Searches titles and texts; an empty query ends the search. Of overlapping searches the latest counts. */
export async function search(text: string): Promise<void> {
  query.value = text;
  const wanted = text.trim();
  if (wanted === "") {
    found.value = null;
    return;
  }
  await reading(async () => {
    const page = await listConversations(wanted, null, PageSize);
    if (query.peek().trim() === wanted)
      found.value = page.data.map(toEntry);
  });
}

/** Puts a conversation at the top, new or changed. */
export function noteUse(info: ConversationInfo): void {
  const entry = toEntry({ ...info, updated_at: Date.now() / 1000 });
  entries.value = [entry, ...entries.peek().filter(one => one.info.id !== info.id)];
}

/** Replaces what is shown of a conversation, where it stands. */
export function noteChange(info: ConversationInfo): void {
  const replace = (list: Entry[]) => list.map(one => one.info.id === info.id ? toEntry({ ...one.info, metadata: info.metadata }) : one);
  entries.value = replace(entries.peek());
  if (found.peek() !== null)
    found.value = replace(found.peek() ?? []);
}

export async function changeMeta(id: string, change: Partial<ConversationMeta>): Promise<void> {
  const entry = [...entries.peek(), ...found.peek() ?? []].find(one => one.info.id === id);
  if (entry)
    noteChange(await setMetadata(id, writeMeta({ ...entry.meta, ...change }, entry.info.metadata)));
}

export async function remove(id: string): Promise<void> {
  await deleteConversation(id);
  entries.value = entries.peek().filter(one => one.info.id !== id);
  if (found.peek() !== null)
    found.value = (found.peek() ?? []).filter(one => one.info.id !== id);
}

async function reading(work: () => Promise<void>): Promise<void> {
  try {
    await work();
    listError.value = null;
  } catch (error) {
    listError.value = explain(error);
  }
}
