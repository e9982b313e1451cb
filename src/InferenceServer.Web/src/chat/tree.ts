import type { Item } from "../api/types.ts";

/** The items of a conversation, each below the one it follows. Positions are by id; null stands above the first ones. */
export class Tree {
  readonly #items = new Map<string, Item>();
  readonly #children = new Map<string | null, string[]>();

  constructor(items: readonly Item[] = []) {
    let previous: string | null = null;
    for (const item of items) {
      // A server without branches names no parents: the order is the line.
      this.add(item.parent_id === undefined ? { ...item, parent_id: previous } : item);
      previous = item.id;
    }
  }

  get size(): number {
    return this.#items.size;
  }

  get(id: string): Item | undefined {
    return this.#items.get(id);
  }

  items(): IterableIterator<Item> {
    return this.#items.values();
  }

  /** Adds an item as its parent's newest child, or replaces the one with its id where it is. */
  add(item: Item): void {
    const known = this.#items.get(item.id);
    this.#items.set(item.id, known ? { ...item, parent_id: known.parent_id ?? null } : item);
    if (known)
      return;
    const parent = this.#parentOf(item);
    const siblings = this.#children.get(parent);
    if (siblings)
      siblings.push(item.id);
    else
      this.#children.set(parent, [item.id]);
  }

  children(id: string | null): readonly string[] {
    return this.#children.get(id) ?? [];
  }

  parent(id: string): string | null {
    const item = this.#items.get(id);
    return item ? this.#parentOf(item) : null;
  }

  /** All that hang on the same parent, oldest first, this one included. */
  siblings(id: string): readonly string[] {
    return this.children(this.parent(id));
  }

  /** From the root down to this item. */
  path(leaf: string | null): Item[] {
    const path: Item[] = [];
    const seen = new Set<string>();
    for (let id = leaf; id !== null && !seen.has(id);) {
      const item = this.#items.get(id);
      if (!item)
        break;
      seen.add(id);
      path.push(item);
      id = this.#parentOf(item);
    }
    return path.reverse();
  }

  /** Where one lands who goes down from here and takes the newest branch each time. */
  newestLeaf(from: string | null): string | null {
    let leaf = from;
    for (let next = this.children(leaf).at(-1); next !== undefined; next = this.children(leaf).at(-1))
      leaf = next;
    return leaf;
  }

  /** The items of the reply that begins with this one. */
  reply(first: string): Item[] {
    const items: Item[] = [];
    for (let item = this.#items.get(first); item;) {
      items.push(item);
      const { response_id: response } = item;
      const next = this.children(item.id).map(id => this.#items.get(id)).find(child => child && response && child.response_id === response);
      item = next;
    }
    return items;
  }

  // An item whose parent is not here (deleted meanwhile, or an import's mistake) would be lost: it begins a root.
  #parentOf(item: Item): string | null {
    const parent = item.parent_id ?? null;
    return parent !== null && this.#items.has(parent) ? parent : null;
  }
}

/** What is shown as one: a user's message, or all that one reply is made of. */
export interface Turn {
  /** The first item's id. */
  id: string;
  role: "user" | "assistant" | "note";
  items: Item[];
}

/** Groups a path into turns: items of one reply stay together, and so do a call and what came back. */
export function turnsOf(path: readonly Item[]): Turn[] {
  const turns: Turn[] = [];
  for (const item of path) {
    const role = roleOf(item);
    const last = turns.at(-1);
    if (role === "assistant" && last?.role === "assistant" && continues(last, item))
      last.items.push(item);
    else
      turns.push({ id: item.id, role, items: [item] });
  }
  return turns;
}

function continues(turn: Turn, item: Item): boolean {
  const last = turn.items.at(-1);
  return item.type === "function_call_output" || last?.type === "function_call_output" || last?.type === "reasoning"
    || last?.response_id === item.response_id;
}

function roleOf(item: Item): Turn["role"] {
  if (item.type === "compaction")
    return "note";
  if (item.type !== "message")
    return "assistant";
  switch (item.role) {
    case "user": return "user";
    case "assistant": return "assistant";
    default: return "note";
  }
}

/** The text of a message, all its parts together. */
export function textOf(item: Item): string {
  switch (item.type) {
    case "message": return item.content.map(part => part.text ?? part.refusal ?? "").join("");
    case "reasoning": return (item.content?.length ? item.content : item.summary).map(part => part.text ?? "").join("\n\n");
    case "function_call": return item.arguments;
    case "function_call_output": return typeof item.output === "string" ? item.output : item.output.map(part => part.text ?? "").join("");
    case "compaction": return "";
  }
}
