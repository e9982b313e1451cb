import { batch, computed, signal, type Signal } from "@preact/signals";
import { explain } from "../api/client.ts";
import { compact, createResponse, getResponse, runningOf } from "../api/responses.ts";
import type { CallItem, ConversationInfo, Item, Metadata, ModelResponse, NewItem, ResponseRequest } from "../api/types.ts";
import { requestSettings, settings } from "../settings/settings.ts";
import { noteChange, noteUse } from "../sidebar/list.ts";
import { model } from "../store/models.ts";
import { toParts, type Attachment } from "./attachments.ts";
import { addItems, createConversation, getConversation, getItems, serverKeeps, setMetadata } from "./kept.ts";
import { emptyMeta, readMeta, writeMeta, type ConversationMeta } from "./metadata.ts";
import { Run, type RunOwner } from "./run.ts";
import { isOfTab, keepItem, toInput } from "./tabConversations.ts";
import { acceptTitle, firstWords, titlePrompt } from "./title.ts";
import { textOf, Tree, turnsOf } from "./tree.ts";

/** A title's prompt is answered within so many tokens, or not at all. */
const TitleTokens = 24;

/** A reply to compare with another: its first item's id, or the run that makes it. */
export type Candidate = string | Run;

/** One conversation as the page shows it: the tree of its items, the branch that is read, and the replies being made. */
export class Conversation implements RunOwner {
  readonly id = signal<string | null>(null);
  readonly meta = signal<ConversationMeta>({ ...emptyMeta });
  readonly leaf = signal<string | null>(null);
  readonly runs = signal<readonly Run[]>([]);
  readonly error = signal<string | null>(null);
  readonly busy = signal<"" | "loading" | "sending" | "compacting">("");
  /** Items that only this page has: the server lost them, or failed before it kept them. */
  readonly unsaved = signal<ReadonlySet<string>>(new Set());

  readonly #tree = signal(new Tree());
  readonly #shape = signal(0);
  readonly #items = new Map<string, Signal<Item>>();
  readonly #responses = new Map<string, Signal<ModelResponse | null>>();
  readonly #reading = new AbortController();
  #info: ConversationInfo | null = null;
  #metadata: Metadata = {};

  readonly turns = computed(() => {
    void this.#shape.value;
    return turnsOf(this.#tree.value.path(this.leaf.value));
  });

  /** The run whose reply belongs at the end of what is shown. */
  readonly shownRun = computed(() => {
    void this.#shape.value;
    const leaf = this.leaf.value;
    return this.runs.value.findLast(run => run.parent === leaf || (leaf !== null && run.id !== null && this.item(leaf)?.response_id === run.id)) ?? null;
  });

  /** It is on the server, or will be: elsewhere this tab alone has it, and no feedback can be given to it. */
  readonly isKept = computed(() => this.id.value === null ? serverKeeps.value !== false : !isOfTab(this.id.value));

  get tree(): Tree {
    void this.#shape.value;
    return this.#tree.value;
  }

  item(id: string): Item | undefined {
    return this.#items.get(id)?.value;
  }

  /** The item that the list is to be scrolled to, once. */
  readonly target = signal<string | null>(null);

  /** Reads a stored conversation, and goes on with replies that are being made. Shows the branch of `item` where one is named. */
  async load(id: string, item: string | null): Promise<void> {
    this.id.value = id;
    this.busy.value = "loading";
    try {
      const info = await getConversation(id, this.#reading.signal);
      const items = await getItems(id, this.#reading.signal);
      batch(() => {
        this.#info = info;
        this.#metadata = info.metadata;
        this.meta.value = readMeta(info.metadata);
        this.#setTree(new Tree(items));
        const kept = [item, this.meta.value.leaf].find(one => one !== null && this.#tree.value.get(one)) ?? null;
        this.leaf.value = this.#tree.value.newestLeaf(kept);
        this.target.value = item;
      });
      // Showing it is a task of its own.
      await new Promise(resolve => setTimeout(resolve));
      for (const response of runningOf(info))
        void this.#resume(response);
    } catch (error) {
      if (!this.#reading.signal.aborted)
        this.error.value = explain(error);
    } finally {
      this.busy.value = "";
    }
  }

  /** Stops reading; replies go on at the server. What only this tab has goes on here. */
  leave(): void {
    if (this.id.value !== null && !this.isKept.value)
      return;
    this.#reading.abort();
    this.runs.value.forEach(run => run.leave());
  }

  /** Stops all replies that are being made. */
  stop(): void {
    this.runs.value.filter(run => run.isLive).forEach(run => run.stop());
  }

  /** Keeps a user's message on the server and has it answered. Throws where it could not be kept: nothing has changed then. */
  async send(text: string, files: readonly Attachment[], parent: string | null = this.anchor()): Promise<void> {
    this.error.value = null;
    this.busy.value = "sending";
    try {
      if (this.id.value === null)
        await this.#create(text || (files[0]?.name ?? ""));
      await this.#add([{ type: "message", role: "user", content: toParts(text, files) }], parent);
      if (this.#info)
        noteUse({ ...this.#info, metadata: this.#metadata });
    } finally {
      this.busy.value = "";
    }
    this.reply(this.leaf.value);
  }

  /** Has the model reply to what stands at `parent`: the first time, or once more beside what is there. */
  reply(parent: string | null): Run | null {
    const { value: id } = this.id;
    const name = model.value?.id;
    if (id === null || name === undefined)
      return null;
    this.error.value = null;
    let decided: Partial<ResponseRequest>;
    try {
      decided = requestSettings(settings.value);
    } catch (error) {
      this.error.value = `The settings cannot be sent: ${explain(error)}`;
      return null;
    }
    const run = new Run(parent, this);
    batch(() => {
      this.runs.value = [...this.runs.value.filter(one => one.isLive || one.parent !== parent), run];
      this.leaf.value = parent;
    });
    void run.start({
      ...decided, model: name, ...this.#history(parent), ...this.#instructions(), timing: true, x_cache_report: true,
      ...!this.isKept.value && { store: false },
    });
    return run;
  }

  /** Two replies to what stands at `parent`: the one that is shown or being made, where there is one, and another that is begun now. */
  compare(parent: string): [Candidate, Candidate] | null {
    const children = this.#tree.value.children(parent);
    const shown = children.find(id => this.#tree.value.path(this.leaf.value).some(item => item.id === id)) ?? children.at(-1);
    const first = this.runs.value.find(run => run.isLive && run.parent === parent) ?? shown ?? this.reply(parent);
    const second = first === null ? null : this.reply(parent);
    return first === null || second === null ? null : [first, second];
  }

  /** The first item of a reply; null as long as it has none. */
  turnOf(candidate: Candidate): string | null {
    void this.#shape.value;
    if (typeof candidate === "string")
      return candidate;
    return this.#tree.value.children(candidate.parent).find(id => candidate.id !== null && this.item(id)?.response_id === candidate.id) ?? null;
  }

  /** Shows the branch of this item, down to its newest reply. */
  show(id: string): void {
    this.leaf.value = this.#tree.value.newestLeaf(id);
    this.#keepLeaf();
  }

  /** Shows the branch of this item, and scrolls to it. */
  reveal(id: string): void {
    this.show(id);
    this.target.value = id;
  }

  /** Gives the model what a function returned; once all calls of the reply have their results, it goes on. */
  async answerCall(call: CallItem, output: string): Promise<void> {
    await this.#add([{ type: "function_call_output", call_id: call.call_id, output }], this.anchor());
    const path = this.#tree.value.path(this.leaf.value);
    const answered = new Set(path.flatMap(item => item.type === "function_call_output" ? [item.call_id] : []));
    if (path.every(item => item.type !== "function_call" || answered.has(item.call_id)))
      this.reply(this.leaf.value);
  }

  /** Begins a new branch with the model's summary in place of the messages so far. The old branch stays. */
  async compact(): Promise<void> {
    const name = model.value?.id;
    if (this.id.value === null || name === undefined)
      return;
    this.busy.value = "compacting";
    try {
      const { output } = await compact({ model: name, ...this.#history(this.anchor()), ...this.#instructions() }, this.#reading.signal);
      await this.#add(output.map(({ id: _, ...item }) => item as NewItem), null);
    } catch (error) {
      this.error.value = explain(error);
    } finally {
      this.busy.value = "";
    }
  }

  async changeMeta(change: Partial<ConversationMeta>): Promise<void> {
    this.meta.value = { ...this.meta.value, ...change };
    if (this.id.value === null)
      return;
    this.#metadata = writeMeta(this.meta.value, this.#metadata);
    noteChange(await setMetadata(this.id.value, this.#metadata));
  }

  /** What a request for the next reply would say, for counting its tokens. */
  draftRequest(text: string, files: readonly Attachment[]): ResponseRequest | null {
    const name = model.value?.id;
    if (name === undefined)
      return null;
    const { conversation, input } = this.#history(this.anchor());
    const message: NewItem[] = text === "" && files.length === 0 ? [] : [{ type: "message", role: "user", content: toParts(text, files) }];
    return { model: name, ...conversation && { conversation }, input: [...input, ...message], ...this.#instructions() };
  }

  /** The stored response that made an item, with its numbers; null until it is here, or where it is no more. */
  response(id: string): Signal<ModelResponse | null> {
    let known = this.#responses.get(id);
    if (!known) {
      known = signal<ModelResponse | null>(null);
      this.#responses.set(id, known);
      const into = known;
      if (this.isKept.value)
        getResponse(id).then(response => into.value = response, () => null);
    }
    return known;
  }

  put(item: Item): void {
    const known = this.#items.get(item.id);
    if (known) {
      const placed = { ...item, parent_id: known.peek().parent_id ?? null, created_at: known.peek().created_at };
      this.#tree.value.add(placed);
      known.value = placed;
      this.#keep(placed);
      return;
    }
    const run = this.runs.value.find(one => one.id === item.response_id);
    const parent = this.#lastOf(run) ?? run?.parent ?? null;
    const placed = { ...item, parent_id: parent, created_at: Date.now() / 1000 };
    this.#place(placed);
    this.#keep(placed);
    if (this.leaf.peek() === parent)
      this.leaf.value = item.id;
  }

  ended(run: Run): void {
    const response = run.response.value;
    if (response && run.id !== null)
      this.#responses.set(run.id, signal<ModelResponse | null>(response));
    if (run.state.value === "completed") {
      this.#keepLeaf();
      void this.#title();
    } else {
      void this.#compareWithServer();
    }
  }

  /** Where the next message hangs: the newest shown item that the server has. */
  anchor(): string | null {
    const path = this.#tree.value.path(this.leaf.value);
    return path.findLast(item => !this.unsaved.value.has(item.id))?.id ?? null;
  }

  /** What an answer continues: the stored conversation by its name, or all that is to be read of it. */
  #history(parent: string | null): { conversation?: { id: string; parent_id: string | null }; input: NewItem[] } {
    const { value: id } = this.id;
    return id !== null && this.isKept.value ? { conversation: { id, parent_id: parent }, input: [] } : { input: toInput(this.#tree.value.path(parent)) };
  }

  #keep(item: Item): void {
    if (this.id.value !== null && !this.isKept.value)
      keepItem(this.id.value, item);
  }

  async #create(text: string): Promise<void> {
    const meta = { ...this.meta.value, title: this.meta.value.title || firstWords(text) };
    this.#metadata = writeMeta(meta);
    const info = await createConversation(this.#metadata);
    batch(() => {
      this.meta.value = meta;
      this.id.value = info.id;
    });
    this.#info = info;
    noteUse(info);
  }

  async #add(items: NewItem[], parent: string | null): Promise<void> {
    const { value: id } = this.id;
    if (id === null)
      return;
    const added = await addItems(id, items, parent);
    batch(() => {
      let above = parent;
      for (const item of added) {
        this.#place({ created_at: Date.now() / 1000, ...item, parent_id: above });
        above = item.id;
      }
      this.leaf.value = above;
    });
    this.#keepLeaf();
  }

  async #resume(id: string): Promise<void> {
    try {
      const run = new Run((await getResponse(id)).conversation?.parent_id ?? null, this);
      this.runs.value = [...this.runs.value, run];
      await run.resume(id);
    } catch (error) {
      this.error.value = explain(error);
    }
  }

  /** After a reply that did not end well: what of it does the server have? */
  async #compareWithServer(): Promise<void> {
    const { value: id } = this.id;
    if (id === null)
      return;
    try {
      const kept = new Set((await getItems(id, this.#reading.signal)).map(item => item.id));
      this.unsaved.value = new Set([...this.#items.keys()].filter(one => !kept.has(one)));
      this.#keepLeaf();
    } catch (error) {
      if (!this.#reading.signal.aborted)
        this.error.value = explain(error);
    }
  }

  #keepLeaf(): void {
    const leaf = this.anchor();
    if (leaf !== this.meta.value.leaf)
      this.changeMeta({ leaf }).catch(error => this.error.value = explain(error));
  }

  async #title(): Promise<void> {
    const { value: meta } = this.meta;
    const name = model.value?.id;
    const turns = this.turns.value;
    if (meta.titledBy !== "first-words" || !settings.value.modelTitles || turns.length > 4 || name === undefined)
      return;
    const words = (role: "user" | "assistant") =>
      textOf(turns.find(turn => turn.role === role)?.items.find(item => item.type === "message") ?? { id: "", type: "compaction", encrypted_content: "" });
    const [user, reply] = [words("user"), words("assistant")];
    try {
      const response = await createResponse({
        model: name, input: titlePrompt(user, reply), store: false, temperature: 0, max_output_tokens: TitleTokens, truncation: "auto",
      }, this.#reading.signal);
      const title = acceptTitle(response.output.filter(item => item.type === "message").map(textOf).join(""), user, reply);
      // A title that the user gave meanwhile stays.
      if (title !== null && this.meta.value.titledBy === "first-words")
        await this.changeMeta({ title, titledBy: "model" });
    } catch {
      // No title of the model's: the first words stand, and the user can rename.
    }
  }

  #instructions(): { instructions?: string } {
    const { instructions } = this.meta.value;
    return instructions.trim() === "" ? {} : { instructions };
  }

  #setTree(tree: Tree): void {
    this.#items.clear();
    for (const item of tree.items())
      this.#items.set(item.id, signal(item));
    this.#tree.value = tree;
    this.#shape.value++;
  }

  #place(item: Item): void {
    this.#items.set(item.id, signal(item));
    this.#tree.value.add(item);
    this.#shape.value++;
  }

  #lastOf(run: Run | undefined): string | null {
    if (!run)
      return null;
    let last: string | null = null;
    for (const item of this.#tree.value.items()) {
      if (item.response_id === run.id)
        last = item.id;
    }
    return last;
  }
}
