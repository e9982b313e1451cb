import { signal } from "@preact/signals";
import type { Candidate, Conversation } from "../chat/conversation.ts";

export type FeedbackDialog =
  | { kind: "ideal"; item: string; text: string }
  | { kind: "comparison"; conversation: Conversation; first: Candidate; second: Candidate };

export const feedbackDialog = signal<FeedbackDialog | null>(null);

/** Asks for the reply that the model should have given. */
export function openIdeal(item: string, text: string): void {
  feedbackDialog.value = { kind: "ideal", item, text };
}

/** Asks which of two replies to one message is better. */
export function openComparison(conversation: Conversation, first: Candidate, second: Candidate): void {
  feedbackDialog.value = { kind: "comparison", conversation, first, second };
}

/** Has another reply made to a message, beside the one that is there, and asks which is better. */
export function compareReplies(conversation: Conversation, message: string): void {
  const candidates = conversation.compare(message);
  if (candidates)
    openComparison(conversation, ...candidates);
}
