import { fetchApi, fetchJson } from "./client.ts";
import type { Feedback, FeedbackKind, FeedbackSummary, NewFeedback, Page } from "./types.ts";

export function sendFeedback(feedback: NewFeedback): Promise<Feedback> {
  return fetchJson("/v1/feedback", { body: feedback });
}

export function listFeedback(kind: FeedbackKind | null, after: string | null, limit: number): Promise<Page<Feedback>> {
  const parameters = new URLSearchParams({ limit: String(limit), order: "desc" });
  if (kind !== null)
    parameters.set("kind", kind);
  if (after !== null)
    parameters.set("after", after);
  return fetchJson(`/v1/feedback?${parameters}`);
}

export async function deleteFeedback(id: string): Promise<void> {
  await fetchApi(`/v1/feedback/${encodeURIComponent(id)}`, { method: "DELETE" });
}

export async function deleteAllFeedback(): Promise<void> {
  await fetchApi("/v1/feedback", { method: "DELETE" });
}

export function feedbackSummary(): Promise<FeedbackSummary> {
  return fetchJson("/v1/feedback/summary");
}

export async function exportFeedback(format: "sft" | "dpo" | "reward"): Promise<string> {
  return await (await fetchApi(`/v1/feedback/export?format=${format}`)).text();
}
