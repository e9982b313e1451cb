import { useId, useState } from "preact/hooks";
import { count, duration, percent, short } from "../ui/format.ts";
import { Icon } from "../ui/Icon.tsx";
import type { Conversation } from "./conversation.ts";
import { explainCache, numbersOf, summarize, type ReplyNumbers } from "./numbers.ts";

interface Props {
  conversation: Conversation;
  response: string;
  /** Shown at once; else when asked for. */
  eager: boolean;
}

/** What a reply cost, in one line, and in full on demand. */
export function Numbers({ conversation, response, eager }: Props) {
  const [open, setOpen] = useState(false);
  const id = useId();
  const known = eager || open ? conversation.response(response).value : null;
  const numbers = known && numbersOf(known);
  return (
    <span class={open ? "numbers open" : "numbers"}>
      <button type="button" class="quiet small" aria-expanded={open} aria-controls={open ? id : undefined} onClick={() => setOpen(!open)} title="Numbers of this reply">
        <Icon name="gauge" /><span>{numbers && !open ? summarize(numbers) : "Numbers"}</span>
      </button>
      {open && <div class="numbers-box" id={id}>{numbers && known ? <Table numbers={numbers} model={known.model} /> : <p>The server no longer has them.</p>}</div>}
    </span>
  );
}

function Table({ numbers, model }: { numbers: ReplyNumbers; model: string }) {
  const rows: [string, string][] = [
    ["Model", model],
    ["Reply", `${count(numbers.replyTokens)} tokens${numbers.reasoningTokens > 0 ? `, ${count(numbers.reasoningTokens)} of them thinking` : ""}`],
  ];
  if (numbers.perSecond !== null)
    rows.push(["Speed", `${short(numbers.perSecond)} tokens/s`]);
  if (numbers.firstTokenMs !== null)
    rows.push(["First token", `after ${duration(numbers.firstTokenMs)}: ${duration(numbers.queueMs ?? 0)} in line, ${duration(numbers.prefillMs ?? 0)} for the prompt`]);
  rows.push(["Prompt", `${count(numbers.promptTokens)} tokens, ${percent(numbers.cachedShare)} from the cache`]);
  if (numbers.cache?.reason)
    rows.push(["Why not more", explainCache(numbers.cache.reason)]);
  if (numbers.meanBatch !== null)
    rows.push(["Beside it", numbers.meanBatch > 1.05 ? `${short(numbers.meanBatch)} replies were computed at once on average` : "nothing else"]);
  return <dl>{rows.map(([name, value]) => <><dt key={name}>{name}</dt><dd dir="auto">{value}</dd></>)}</dl>;
}
