import type { ContentPart, Item, Metadata, NewItem } from "../api/types.ts";
import { InstructionsLimit, PersonaNameLimit, readMeta, writeMeta } from "../chat/metadata.ts";
import type { Persona } from "../settings/personas.ts";
import { ExportFormat } from "./exportFormat.ts";

/** A conversation to be made: its items name their parents by ids of the file's own. */
export interface Imported {
  metadata: Metadata;
  items: Item[];
}

/** What a file brings. */
export interface ImportedFile {
  conversations: Imported[];
  personas: Persona[];
}

/** Most items of one conversation, most conversations and most personas of one file: more is a mistake, or an attack. */
const MostItems = 20_000;
const MostConversations = 5_000;
const MostPersonas = 500;

/** What is in a file: our own export, or ChatGPT's conversations.json. Throws with words for the user where it is neither. */
export function parseImport(text: string): ImportedFile {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new Error(`The file is not JSON: ${error instanceof Error ? error.message : "it cannot be read"}.`);
  }
  const imported = isObject(value) && value.format === ExportFormat ? parseOwn(value) : { conversations: parseChatGpt(value), personas: [] };
  const { conversations, personas } = imported;
  if (conversations.length > MostConversations)
    throw new Error(`The file has ${conversations.length} conversations; ${MostConversations} can be imported at once.`);
  if (personas.length > MostPersonas)
    throw new Error(`The file has ${personas.length} personas; ${MostPersonas} can be imported at once.`);
  const large = conversations.find(one => one.items.length > MostItems);
  if (large)
    throw new Error(`"${large.metadata.title ?? ""}" has ${large.items.length} messages; ${MostItems} are the most.`);
  return imported;
}

function parseOwn(file: Record<string, unknown>): ImportedFile {
  if (file.version !== 1)
    throw new Error(`The file is of version ${String(file.version)}; this server reads version 1.`);
  const conversations = list(file.conversations, "conversations").map((entry, index) => {
    const where = `conversations[${index}]`;
    const conversation = object(entry, where);
    const metadata = Object.fromEntries(Object.entries(object(conversation.metadata ?? {}, `${where}.metadata`)).map(([name, text]) => [name, String(text)]));
    const items = list(conversation.items, `${where}.items`).map((item, at) => checkItem(item, `${where}.items[${at}]`));
    return { metadata, items };
  });
  return { conversations, personas: list(file.personas ?? [], "personas").map((entry, index) => checkPersona(entry, `personas[${index}]`)) };
}

function checkPersona(value: unknown, where: string): Persona {
  const { id, name, instructions } = object(value, where);
  if (typeof id !== "string" || typeof name !== "string" || typeof instructions !== "string")
    throw new Error(`${where} has no id, no name or no instructions.`);
  if (Math.max(id.length, name.length) > PersonaNameLimit || instructions.length > InstructionsLimit)
    throw new Error(`${where} is too long: id and name have at most ${PersonaNameLimit} characters, instructions ${InstructionsLimit}.`);
  return { id, name, instructions };
}

function checkItem(value: unknown, where: string): Item {
  const item = object(value, where);
  if (typeof item.id !== "string" || typeof item.type !== "string")
    throw new Error(`${where} has no id or no type.`);
  if (item.type === "message" && (typeof item.role !== "string" || !Array.isArray(item.content)))
    throw new Error(`${where} is a message without role or content.`);
  return item as unknown as Item;
}

interface ChatGptNode {
  id: string;
  parent: string | null;
  message: Record<string, unknown> | null;
}

function parseChatGpt(value: unknown): Imported[] {
  const entries = Array.isArray(value) ? value : isObject(value) && isObject(value.mapping) ? [value] : null;
  if (entries === null || entries.length === 0 || !entries.every(entry => isObject(entry) && isObject(entry.mapping)))
    throw new Error("The file is neither this server's export nor ChatGPT's conversations.json.");
  return (entries as Record<string, unknown>[]).map(readChatGpt).filter(one => one.items.length > 0);
}

function readChatGpt(conversation: Record<string, unknown>): Imported {
  const nodes = new Map<string, ChatGptNode>();
  for (const [id, node] of Object.entries(conversation.mapping as Record<string, unknown>)) {
    if (isObject(node))
      nodes.set(id, { id, parent: typeof node.parent === "string" ? node.parent : null, message: isObject(node.message) ? node.message : null });
  }
  const items = inOrder(nodes).flatMap(node => {
    const item = toItem(node, keptParent(node, nodes));
    return item ? [item] : [];
  });
  const current = typeof conversation.current_node === "string" ? nodes.get(conversation.current_node) : undefined;
  const leaf = current ? (toItem(current, null) ? current.id : keptParent(current, nodes)) : null;
  const title = typeof conversation.title === "string" ? conversation.title : "";
  return { metadata: writeMeta({ ...readMeta({}), title: title || "Imported chat", titledBy: "user", leaf }), items };
}

/** Parents before their children, and siblings as the file has them. */
function inOrder(nodes: ReadonlyMap<string, ChatGptNode>): ChatGptNode[] {
  const children = new Map<string | null, ChatGptNode[]>();
  for (const node of nodes.values()) {
    const parent = node.parent !== null && nodes.has(node.parent) ? node.parent : null;
    children.set(parent, [...children.get(parent) ?? [], node]);
  }
  const ordered: ChatGptNode[] = [];
  // A stack of its own: a chat of thousands of messages is as deep as it is long.
  const waiting = [...children.get(null) ?? []].reverse();
  for (let node = waiting.pop(); node; node = waiting.pop()) {
    ordered.push(node);
    waiting.push(...[...children.get(node.id) ?? []].reverse());
  }
  return ordered;
}

/** The nearest node above that becomes an item: hidden and empty ones are left out. */
function keptParent(node: ChatGptNode, nodes: ReadonlyMap<string, ChatGptNode>): string | null {
  for (let above = node.parent === null ? undefined : nodes.get(node.parent), steps = 0; above && steps < nodes.size; steps++) {
    if (toItem(above, null))
      return above.id;
    above = above.parent === null ? undefined : nodes.get(above.parent);
  }
  return null;
}

function toItem(node: ChatGptNode, parent: string | null): Item | null {
  const { message } = node;
  if (message === null)
    return null;
  const role = isObject(message.author) ? message.author.role : undefined;
  const text = textOfChatGpt(message.content);
  const hidden = isObject(message.metadata) && message.metadata.is_visually_hidden_from_conversation === true;
  if ((role !== "user" && role !== "assistant") || text === "" || hidden)
    return null;
  const part: ContentPart = { type: role === "user" ? "input_text" : "output_text", text };
  return {
    id: node.id, parent_id: parent, type: "message", role, status: "completed", content: [part],
    ...(typeof message.create_time === "number" && { created_at: Math.floor(message.create_time) }),
  };
}

function textOfChatGpt(content: unknown): string {
  if (!isObject(content))
    return "";
  switch (content.content_type) {
    case "text": case "multimodal_text":
      return (Array.isArray(content.parts) ? content.parts : [])
        .map(part => typeof part === "string" ? part : isObject(part) && typeof part.text === "string" ? part.text : "").filter(text => text !== "").join("\n\n").trim();
    case "code":
      return typeof content.text === "string" && content.text !== "" ? `\`\`\`${content.language === "unknown" ? "" : String(content.language ?? "")}\n${content.text}\n\`\`\`` : "";
    default:
      return "";
  }
}

/** The items in calls of at most this many, each as the server takes it. */
export function inCalls(items: readonly Item[], most: number): NewItem[][] {
  const calls: NewItem[][] = [];
  for (let from = 0; from < items.length; from += most)
    calls.push(items.slice(from, from + most));
  return calls;
}

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === "object" && value !== null && !Array.isArray(value);

function object(value: unknown, where: string): Record<string, unknown> {
  if (!isObject(value))
    throw new Error(`${where} is not an object.`);
  return value;
}

function list(value: unknown, where: string): unknown[] {
  if (!Array.isArray(value))
    throw new Error(`${where} is not an array.`);
  return value;
}
