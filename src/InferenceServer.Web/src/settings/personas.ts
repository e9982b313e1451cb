import { signal } from "@preact/signals";
import { readStored, writeStored } from "../store/storage.ts";

/** A system prompt with a name. */
export interface Persona {
  id: string;
  name: string;
  instructions: string;
}

export const builtInPersonas: readonly Persona[] = [
  { id: "brief", name: "Brief", instructions: "Answer in one short sentence." },
  { id: "teacher", name: "Patient teacher", instructions: "You are a patient teacher. Explain step by step, in simple words, and end with a question." },
  { id: "coder", name: "Programmer", instructions: "You are a careful programmer. Answer with code first, then at most three sentences about it." },
  { id: "editor", name: "Editor", instructions: "You are an editor. Correct the text you are given, and list what you changed and why." },
];

const isPersonas = (value: unknown): value is Persona[] =>
  Array.isArray(value) && value.every(one => typeof one?.id === "string" && typeof one.name === "string" && typeof one.instructions === "string");

export const ownPersonas = signal<Persona[]>(readStored("personas", isPersonas, []));

/** Keeps personas; one with the id of another takes its place. */
export function savePersonas(personas: readonly Persona[]): void {
  const ids = new Set(personas.map(one => one.id));
  keep([...ownPersonas.peek().filter(one => !ids.has(one.id)), ...personas]);
}

export function deletePersona(id: string): void {
  keep(ownPersonas.peek().filter(one => one.id !== id));
}

function keep(personas: Persona[]): void {
  ownPersonas.value = personas;
  writeStored("personas", personas);
}

export const findPersona = (id: string): Persona | null => [...builtInPersonas, ...ownPersonas.value].find(one => one.id === id) ?? null;
