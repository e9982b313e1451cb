/** What the server's API sends and takes, as far as the page uses it. */

export type Metadata = Record<string, string>;

export interface Page<T> {
  object: "list";
  data: T[];
  first_id: string | null;
  last_id: string | null;
  has_more: boolean;
}

export interface Model {
  id: string;
  created: number;
  owned_by: string;
  context_length?: number;
}

/** What a model's file says of itself (POST /api/show). */
export interface ModelDetails {
  details: { family: string; parameter_size: string; quantization_level: string };
  model_info: Record<string, unknown>;
  capabilities: string[];
}

export interface ContentPart {
  type: "input_text" | "output_text" | "refusal" | "reasoning_text" | "summary_text";
  text?: string;
  refusal?: string;
}

export type ItemStatus = "in_progress" | "completed" | "incomplete";

interface ItemPlace {
  id: string;
  parent_id?: string | null;
  created_at?: number;
  response_id?: string | null;
  status?: ItemStatus;
}

export interface MessageItem extends ItemPlace {
  type: "message";
  role: "user" | "assistant" | "system" | "developer";
  content: ContentPart[];
}

export interface ReasoningItem extends ItemPlace {
  type: "reasoning";
  summary: ContentPart[];
  content?: ContentPart[];
}

export interface CallItem extends ItemPlace {
  type: "function_call";
  call_id: string;
  name: string;
  arguments: string;
}

export interface CallOutputItem extends ItemPlace {
  type: "function_call_output";
  call_id: string;
  output: string | ContentPart[];
}

export interface CompactionItem extends ItemPlace {
  type: "compaction";
  encrypted_content: string;
}

/** One entry of a conversation. */
export type Item = MessageItem | ReasoningItem | CallItem | CallOutputItem | CompactionItem;

/** An item as it is sent: the server gives it its id. */
export type NewItem = Omit<MessageItem, "id"> | Omit<ReasoningItem, "id"> | Omit<CallItem, "id"> | Omit<CallOutputItem, "id">
  | Omit<CompactionItem, "id"> | Item;

export interface SearchMatch {
  item_id: string | null;
  before: string;
  text: string;
  after: string;
}

export interface ConversationInfo {
  id: string;
  object: "conversation";
  created_at: number;
  updated_at?: number;
  metadata: Metadata;
  running?: string[];
  match?: SearchMatch;
}

export interface Usage {
  input_tokens: number;
  input_tokens_details: { cached_tokens: number };
  output_tokens: number;
  output_tokens_details: { reasoning_tokens: number };
  total_tokens: number;
}

/** Milliseconds, and how many sequences a step computed on average. */
export interface Timing {
  queue_ms: number;
  prefill_ms: number;
  decode_ms: number;
  prompt_tokens_computed: number;
  prompt_tokens_cached: number;
  mean_batch: number;
}

export interface CacheReport {
  cached_tokens: number;
  host_tokens: number;
  disk_tokens: number;
  /** Why no more was reused; null where nothing more could have been. */
  reason: string | null;
  diverged_at: number | null;
}

export type ResponseStatus = "queued" | "in_progress" | "completed" | "incomplete" | "failed" | "cancelled";

export interface ModelResponse {
  id: string;
  object: "response";
  created_at: number;
  status: ResponseStatus;
  error: { code?: string; message: string } | null;
  incomplete_details: { reason: string } | null;
  model: string;
  output: Item[];
  conversation?: { id: string; parent_id?: string | null } | null;
  usage?: Usage | null;
  metadata: Metadata;
  x_cache?: CacheReport;
  timing?: Timing;
  x_truncation?: unknown;
}

interface EventPlace {
  sequence_number: number;
}

interface PartPlace extends EventPlace {
  item_id: string;
  output_index: number;
}

export type ResponseEvent =
  | (EventPlace & { type: "response.created" | "response.queued" | "response.in_progress"; response: ModelResponse })
  | (EventPlace & { type: "response.completed" | "response.incomplete" | "response.failed" | "response.cancelled"; response: ModelResponse })
  | (EventPlace & { type: "response.output_item.added" | "response.output_item.done"; output_index: number; item: Item })
  | (PartPlace & { type: "response.output_text.delta" | "response.refusal.delta" | "response.reasoning_text.delta"; content_index: number; delta: string })
  | (PartPlace & { type: "response.reasoning_summary_text.delta"; summary_index: number; delta: string })
  | (PartPlace & { type: "response.function_call_arguments.delta"; delta: string })
  | (EventPlace & { type: "error"; code?: string | null; message: string });

export interface FunctionTool {
  type: "function";
  name: string;
  description?: string;
  parameters?: unknown;
  strict?: boolean;
}

export interface ResponseRequest {
  model: string;
  input?: NewItem[] | string;
  conversation?: { id: string; parent_id: string | null };
  instructions?: string;
  background?: boolean;
  stream?: boolean;
  store?: boolean;
  metadata?: Metadata;
  truncation?: "auto" | "disabled";
  max_output_tokens?: number;
  tools?: FunctionTool[];
  text?: { format: unknown };
  reasoning?: { effort: string };
  timing?: boolean;
  x_cache_report?: boolean;
  [sampling: string]: unknown;
}

export interface Health {
  status: string;
  reason: string | null;
  version: string;
  model: string;
  backend: string;
  uptime_seconds: number;
  waiting_requests: number;
  running_requests: number;
  kv_cells_used: number;
  kv_cells_total: number;
}

export type FeedbackKind = "rating" | "comparison" | "edit";

export interface NewFeedback {
  kind: FeedbackKind;
  item_id?: string;
  rating?: "up" | "down";
  reason?: string;
  chosen?: string;
  rejected?: string;
  ideal?: string;
}

export interface PromptMessage {
  role: string;
  content: string | null;
}

/** A reply that was judged, as it was then. */
export interface JudgedReply {
  response_id: string;
  item_id: string | null;
  model: string;
  content: string | null;
}

export interface Feedback {
  id: string;
  object: "feedback";
  created_at: number;
  kind: FeedbackKind;
  model: string;
  fingerprint: string;
  prompt: PromptMessage[];
  rating?: "up" | "down";
  reason?: string;
  ideal?: string;
  reply?: JudgedReply;
  chosen?: JudgedReply;
  rejected?: JudgedReply;
}

/** A share of trials with its 95% interval. */
export interface Rate {
  rate: number;
  low: number;
  high: number;
}

export interface FeedbackSummary {
  models: { model: string; up: number; down: number; edits: number; rate: Rate | null }[];
  comparisons: ({ model: string; opponent: string; wins: number; losses: number } & Rate)[];
}

export interface RequestRecord {
  id: string;
  created_at: number;
  endpoint: string;
  status: number | null;
  outcome: string;
  model: string | null;
  stream: boolean;
  prompt_tokens: number | null;
  cached_tokens: number | null;
  completion_tokens: number | null;
  /** 1 is next; null unless it waits. */
  queue_position: number | null;
  queue_ms: number | null;
  prefill_ms: number | null;
  decode_ms: number | null;
  first_token_ms: number | null;
  total_ms: number | null;
  cache: { reason: string | null; diverged_at?: number | null } | null;
  preemptions: number | null;
}
