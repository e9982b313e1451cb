import { useEffect, useRef, useState } from "preact/hooks";
import { countTokens } from "../api/responses.ts";
import { contextLength } from "../store/models.ts";
import { count, percent, plural } from "../ui/format.ts";
import { Icon } from "../ui/Icon.tsx";
import { useDismiss } from "../ui/useDismiss.ts";
import type { Attachment } from "./attachments.ts";
import type { Conversation } from "./conversation.ts";

interface Props {
  conversation: Conversation;
  text: string;
  files: readonly Attachment[];
}

/** Counting waits until the typing pauses. */
const PauseMs = 400;
/** From here on the meter warns. */
const NearlyFull = 0.75;

/** How much of the context the next request fills, and what happens when it is full. */
export function ContextMeter({ conversation, text, files }: Props) {
  const [tokens, setTokens] = useState<number | null>(null);
  const [open, setOpen] = useState(false);
  const root = useRef<HTMLDivElement>(null);
  useDismiss(root, open, () => setOpen(false));
  const leaf = conversation.leaf.value;
  const live = conversation.shownRun.value?.isLive ?? false;
  const { instructions } = conversation.meta.value;
  const total = contextLength.value;
  const nothing = leaf === null && text === "" && files.length === 0;

  useEffect(() => {
    const request = live || nothing ? null : conversation.draftRequest(text, files);
    if (request === null) {
      if (nothing)
        setTokens(null);
      return;
    }
    const abort = new AbortController();
    const timer = setTimeout(() => {
      countTokens(request, abort.signal).then(setTokens, () => null);
    }, PauseMs);
    return () => {
      clearTimeout(timer);
      abort.abort();
    };
  }, [conversation, leaf, live, text, files, instructions]);

  if (total === null)
    return null;
  const used = tokens ?? 0;
  const share = Math.min(1, used / total);
  const level = used >= total ? "full" : share >= NearlyFull ? "near" : "";
  return (
    <div class={`context-meter ${level}`} ref={root}>
      <button type="button" class="quiet small" aria-expanded={open} onClick={() => setOpen(!open)} title="How full the context is">
        <svg class="ring" viewBox="0 0 20 20" aria-hidden="true">
          <circle class="ring-track" cx="10" cy="10" r="7.500" />
          <circle class="ring-value" cx="10" cy="10" r="7.500" pathLength={100} stroke-dasharray={`${100 * share} 100`} />
        </svg>
        <span>{tokens === null ? `${count(total)} tokens of context` : `${count(used)} of ${count(total)} tokens`}</span>
      </button>
      {open && (
        <div class="popover context-box">
          <p><strong>{percent(used / total)} of the context is used.</strong> {wordsFor(used, total)}</p>
          <p>When the context is full, the model no longer reads the oldest messages. They stay on this page. You can also have the model sum up the conversation, which makes room at once.</p>
          <button type="button" disabled={leaf === null || live || conversation.busy.value !== ""} onClick={() => {
            setOpen(false);
            void conversation.compact();
          }}><Icon name="compact" />{conversation.busy.value === "compacting" ? "Summing up…" : "Sum up and make room"}</button>
        </div>
      )}
    </div>
  );
}

function wordsFor(used: number, total: number): string {
  if (used >= total)
    return "It is full: the oldest messages are left out of the next request.";
  return `There is room for ${plural(total - used, "more token", "more tokens")}, the next reply included.`;
}
