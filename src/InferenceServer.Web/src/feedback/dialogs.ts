import { signal } from "@preact/signals";
import type { Conversation } from "../chat/conversation.ts";

export type FeedbackDialog =
  | { kind: "ideal"; item: string; text: string }
  | { kind: "comparison"; conversation: Conversation; first: string; second: string };

export const feedbackDialog = signal<FeedbackDialog | null>(null);

/** Asks for the reply that the model should have given. */
export function openIdeal(item: string, text: string): void {
  feedbackDialog.value = { kind: "ideal", item, text };
}

/** Asks which of two replies to one message is better; named are the turns' first items. */
export function openComparison(conversation: Conversation, first: string, second: string): void {
  feedbackDialog.value = { kind: "comparison", conversation, first, second };
}
