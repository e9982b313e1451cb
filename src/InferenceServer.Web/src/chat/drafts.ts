import { readStored, removeStored, writeStored } from "../store/storage.ts";
import type { Attachment } from "./attachments.ts";

/** What is typed and not sent yet. */
export interface Draft {
  text: string;
  files: Attachment[];
}

const isDraft = (value: unknown): value is Draft =>
  typeof value === "object" && value !== null && typeof (value as Draft).text === "string" && Array.isArray((value as Draft).files);

const slot = (conversation: string | null) => `draft.${conversation ?? "new"}`;

export const readDraft = (conversation: string | null): Draft => readStored(slot(conversation), isDraft, { text: "", files: [] });

/** Keeps a draft over reloads; of files too large for the browser's store the text alone. */
export function keepDraft(conversation: string | null, draft: Draft): void {
  if (draft.text === "" && draft.files.length === 0)
    removeStored(slot(conversation));
  else if (!writeStored(slot(conversation), draft))
    writeStored(slot(conversation), { ...draft, files: [] });
}
