import type { ContentPart, MessageItem } from "../api/types.ts";

/** A text file that goes with a message. */
export interface Attachment {
  name: string;
  text: string;
}

/** Bytes of one file. No model here reads a longer one in one go. */
export const LargestFile = 1 << 20;

/** The parts of a message: the files first, each between lines that name it, then what the user typed. */
export function toParts(text: string, files: readonly Attachment[]): ContentPart[] {
  const parts: ContentPart[] = files.map(file => ({ type: "input_text", text: `<file name="${escapeName(file.name)}">\n${file.text}\n</file>\n\n` }));
  if (text !== "" || parts.length === 0)
    parts.push({ type: "input_text", text });
  return parts;
}

/** What `toParts` was given. */
export function fromParts(item: MessageItem): { text: string; files: Attachment[] } {
  const files: Attachment[] = [];
  let text = "";
  for (const part of item.content) {
    const file = /^<file name="([^"\n]*)">\n([\s\S]*)\n<\/file>\n\n$/.exec(part.text ?? "");
    if (file)
      files.push({ name: unescapeName(file[1] ?? ""), text: file[2] ?? "" });
    else
      text += part.text ?? part.refusal ?? "";
  }
  return { text, files };
}

/** Reads a file as UTF-8 text; throws with words for the user where it is none. */
export async function readTextFile(file: File): Promise<Attachment> {
  if (file.size > LargestFile)
    throw new Error(`${file.name} is larger than 1 MB.`);
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(await file.arrayBuffer());
    if (text.includes("\0"))
      throw new TypeError();
    return { name: file.name, text };
  } catch (error) {
    if (error instanceof TypeError)
      throw new Error(`${file.name} is not a text file. The models here read text only.`);
    throw error;
  }
}

const escapeName = (name: string): string => name.replace(/[&"\n\r]/g, character => `&#${character.charCodeAt(0)};`);
const unescapeName = (name: string): string => name.replace(/&#(\d+);/g, (_, code: string) => String.fromCharCode(Number(code)));
