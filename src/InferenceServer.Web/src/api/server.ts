import { fetchApi, fetchJson } from "./client.ts";
import type { Health, Model, ModelDetails, Page, RequestRecord } from "./types.ts";

export async function listModels(): Promise<Model[]> {
  return (await fetchJson<{ data: Model[] }>("/v1/models")).data;
}

export function showModel(model: string): Promise<ModelDetails> {
  return fetchJson("/api/show", { body: { model } });
}

export function getHealth(signal?: AbortSignal): Promise<Health> {
  return fetchJson("/health", { signal });
}

export async function tokenCount(content: string, signal?: AbortSignal): Promise<number> {
  return (await fetchJson<{ tokens: unknown[] }>("/tokenize", { body: { content }, signal })).tokens.length;
}

export async function getMetrics(signal?: AbortSignal): Promise<string> {
  return await (await fetchApi("/metrics", { signal })).text();
}

export async function recentRequests(limit: number, signal?: AbortSignal): Promise<RequestRecord[]> {
  return (await fetchJson<Page<RequestRecord>>(`/v1/requests?limit=${limit}`, { signal })).data;
}
