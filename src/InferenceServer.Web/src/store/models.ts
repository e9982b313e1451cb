import { computed, signal } from "@preact/signals";
import { listModels, showModel } from "../api/server.ts";
import type { Model, ModelDetails } from "../api/types.ts";
import { readStored, writeStored } from "./storage.ts";

export const models = signal<Model[]>([]);
export const modelDetails = signal<ReadonlyMap<string, ModelDetails>>(new Map());

const chosen = signal(readStored("model", (value): value is string => typeof value === "string", ""));

/** The model that replies: the chosen one where it is loaded, else the first. */
export const model = computed(() => models.value.find(one => one.id === chosen.value) ?? models.value[0] ?? null);

/** Tokens that prompt and reply share; null where the server does not say. */
export const contextLength = computed(() => model.value?.context_length ?? null);

export function chooseModel(id: string): void {
  chosen.value = id;
  writeStored("model", id);
}

export async function loadModels(): Promise<void> {
  models.value = await listModels();
  const details = await Promise.all(models.value.map(async one => [one.id, await showModel(one.id).catch(() => null)] as const));
  modelDetails.value = new Map(details.filter((entry): entry is [string, ModelDetails] => entry[1] !== null));
}

export const canCallTools = (id: string): boolean => modelDetails.value.get(id)?.capabilities.includes("tools") ?? false;
export const canThink = (id: string): boolean => modelDetails.value.get(id)?.capabilities.includes("thinking") ?? false;

/** Whether this is the small model of the server's own, about which the page says what it can do. */
export const isOwnSmallModel = (id: string): boolean => id.startsWith("chat-small");
