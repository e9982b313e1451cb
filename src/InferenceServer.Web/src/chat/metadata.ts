import type { Metadata } from "../api/types.ts";

/** The server keeps up to 16 pairs, with values of up to 512 characters; the first half of them is enough for instructions. */
const ValueLength = 512;
const InstructionParts = 10;

/** Characters that a conversation's own instructions may have. */
export const InstructionsLimit = ValueLength * InstructionParts;

/** Characters of a persona's name or id. */
export const PersonaNameLimit = 60;

/** What the page keeps in a conversation's metadata. */
export interface ConversationMeta {
  title: string;
  /** Who gave the title: nobody yet (the first words stand in), the model, or the user. */
  titledBy: "first-words" | "model" | "user";
  pinned: boolean;
  persona: string;
  instructions: string;
  /** The item that the conversation was last read to. */
  leaf: string | null;
}

export const emptyMeta: Readonly<ConversationMeta> = { title: "", titledBy: "first-words", pinned: false, persona: "", instructions: "", leaf: null };

const part = (index: number) => index === 0 ? "instructions" : `instructions.${index + 1}`;

export function readMeta(metadata: Metadata): ConversationMeta {
  let instructions = "";
  for (let index = 0; metadata[part(index)] !== undefined; index++)
    instructions += metadata[part(index)];
  return {
    title: metadata.title ?? "",
    titledBy: metadata.titled_by === "model" || metadata.titled_by === "user" ? metadata.titled_by : "first-words",
    pinned: metadata.pinned === "true",
    persona: metadata.persona ?? "",
    instructions,
    leaf: metadata.leaf ?? null,
  };
}

/** The metadata with these values; pairs that are not the page's own stay as they are. */
export function writeMeta(meta: ConversationMeta, before: Metadata = {}): Metadata {
  const metadata: Metadata = {};
  for (const [name, value] of Object.entries(before)) {
    if (!/^(?:title|titled_by|pinned|persona|leaf|instructions(?:\.\d+)?)$/.test(name))
      metadata[name] = value;
  }
  metadata.title = shorten(meta.title, ValueLength);
  metadata.titled_by = meta.titledBy;
  if (meta.pinned)
    metadata.pinned = "true";
  if (meta.persona !== "")
    metadata.persona = meta.persona;
  if (meta.leaf !== null)
    metadata.leaf = meta.leaf;
  splitText(meta.instructions, ValueLength).forEach((text, index) => metadata[part(index)] = text);
  return metadata;
}

/** Pieces of at most this many UTF-16 units that cut no character in two. */
export function splitText(text: string, most: number): string[] {
  const pieces: string[] = [];
  for (let from = 0; from < text.length;) {
    let to = Math.min(from + most, text.length);
    if (to < text.length && /[\uD800-\uDBFF]/.test(text[to - 1] ?? ""))
      to--;
    pieces.push(text.slice(from, to));
    from = to;
  }
  return pieces;
}

const shorten = (text: string, most: number): string => splitText(text, most)[0] ?? "";
