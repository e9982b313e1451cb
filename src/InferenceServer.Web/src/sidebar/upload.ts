import { ItemsPerCall } from "../api/conversations.ts";
import type { Item, NewItem } from "../api/types.ts";
import { addItems, createConversation, deleteConversation, setMetadata } from "../chat/kept.ts";
import { readMeta, writeMeta } from "../chat/metadata.ts";
import { inCalls, type Imported } from "./import.ts";

/** Makes an imported conversation on the server, all branches. What was made of it is deleted where a part is refused. */
export async function upload(imported: Imported): Promise<void> {
  const meta = readMeta(imported.metadata);
  const { id } = await createConversation(writeMeta({ ...meta, leaf: null }, imported.metadata));
  try {
    const ids = new Map<string, string>();
    for (const items of inCalls(imported.items, ItemsPerCall)) {
      const added = await addItems(id, items.map(item => toSend(item as Item, ids)), null);
      items.forEach((item, index) => ids.set((item as Item).id, added[index]?.id ?? ""));
    }
    await setMetadata(id, writeMeta({ ...meta, leaf: meta.leaf === null ? null : ids.get(meta.leaf) ?? null }, imported.metadata));
  } catch (error) {
    await deleteConversation(id);
    throw error;
  }
}

/** The item as the server takes it: its parent by the server's id where an earlier call brought it, by the file's where this one does. */
function toSend(item: Item, ids: ReadonlyMap<string, string>): NewItem {
  const { response_id: _, parent_id: parent = null, ...rest } = item;
  return { ...rest, parent_id: parent === null ? null : ids.get(parent) ?? parent } as NewItem;
}
