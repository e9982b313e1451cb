import { effect, signal } from "@preact/signals";
import type { FunctionTool, ResponseRequest } from "../api/types.ts";
import { readStored, writeStored } from "../store/storage.ts";

export type Theme = "system" | "light" | "dark";

/** How replies are drawn; null leaves the choice to the server. */
export interface Sampling {
  temperature: number | null;
  top_p: number | null;
  top_k: number | null;
  min_p: number | null;
  repetition_penalty: number | null;
  presence_penalty: number | null;
  frequency_penalty: number | null;
  max_output_tokens: number | null;
  seed: number | null;
}

export interface Settings {
  theme: Theme;
  sampling: Sampling;
  /** Reasoning effort for models that think; "" leaves it to them. */
  effort: string;
  /** "text", "json", or "schema" with the schema's text. */
  format: "text" | "json" | "schema";
  schema: string;
  /** Functions that the model may call, as the JSON text of an array; "" for none. */
  tools: string;
  /** Enter sends, and Shift+Enter breaks the line; else the other way round, with Ctrl+Enter to send. */
  enterSends: boolean;
  /** Titles by the model, after the first reply. */
  modelTitles: boolean;
  /** Numbers under each reply. */
  showNumbers: boolean;
}

// A small model wanders at 1; 0.5 is where its evaluation was done (models/README.md), and large ones stay lively there.
const Defaults: Settings = {
  theme: "system",
  sampling: {
    temperature: 0.5, top_p: null, top_k: null, min_p: null, repetition_penalty: null, presence_penalty: null, frequency_penalty: null,
    max_output_tokens: null, seed: null,
  },
  effort: "", format: "text", schema: "", tools: "", enterSends: true, modelTitles: true, showNumbers: true,
};

export const defaultSampling: Readonly<Sampling> = Defaults.sampling;

const isObject = (value: unknown): value is Partial<Settings> => typeof value === "object" && value !== null && !Array.isArray(value);

const stored = readStored<Partial<Settings>>("settings", isObject, {});

export const settings = signal<Settings>({ ...Defaults, ...stored, sampling: { ...Defaults.sampling, ...stored.sampling } });

export function change(part: Partial<Settings>): void {
  settings.value = { ...settings.peek(), ...part };
  writeStored("settings", settings.value);
}

export function changeSampling(part: Partial<Sampling>): void {
  change({ sampling: { ...settings.peek().sampling, ...part } });
}

/** Shows the chosen theme; CSS does the rest. */
export function applyTheme(): void {
  effect(() => {
    const { theme } = settings.value;
    if (theme === "system")
      delete document.documentElement.dataset.theme;
    else
      document.documentElement.dataset.theme = theme;
  });
}

/** The functions that the text declares; throws with words for the user where it declares none properly. */
export function parseTools(text: string): FunctionTool[] {
  if (text.trim() === "")
    return [];
  const value: unknown = JSON.parse(text);
  if (!Array.isArray(value))
    throw new Error("Write an array of functions, in square brackets.");
  return value.map((entry: unknown, index) => {
    const tool = (entry ?? {}) as Partial<FunctionTool> & { function?: Partial<FunctionTool> };
    // Chat completions wrap what responses have flat: both are taken.
    const { name, description, parameters, strict } = tool.function ?? tool;
    if (typeof name !== "string" || name === "")
      throw new Error(`Function ${index + 1} has no name.`);
    return { type: "function", name, ...(description && { description }), ...(parameters !== undefined && { parameters }), strict: strict ?? false };
  });
}

/** The schema that the text holds; throws where it is no JSON object. */
export function parseSchema(text: string): object {
  const value: unknown = JSON.parse(text);
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw new Error("A schema is a JSON object.");
  return value;
}

/** What of a request the settings decide. */
export function requestSettings(from: Settings): Partial<ResponseRequest> {
  const request: Partial<ResponseRequest> = { truncation: "auto" };
  for (const [name, value] of Object.entries(from.sampling)) {
    if (value !== null)
      request[name] = value;
  }
  if (from.effort !== "")
    request.reasoning = { effort: from.effort };
  if (from.format === "json")
    request.text = { format: { type: "json_object" } };
  else if (from.format === "schema")
    request.text = { format: { type: "json_schema", name: "reply", schema: parseSchema(from.schema) } };
  const tools = parseTools(from.tools);
  if (tools.length > 0)
    request.tools = tools;
  return request;
}
