import { useState } from "preact/hooks";
import { explain } from "../api/client.ts";
import { sendFeedback } from "../api/feedback.ts";
import type { Item } from "../api/types.ts";
import type { Candidate, Conversation } from "../chat/conversation.ts";
import { RunNotice } from "../chat/RunNotice.tsx";
import { textOf } from "../chat/tree.ts";
import { Markdown } from "../markdown/Markdown.tsx";
import { announce } from "../ui/announce.tsx";
import { Dialog } from "../ui/Dialog.tsx";
import { Icon } from "../ui/Icon.tsx";
import { feedbackDialog } from "./dialogs.ts";

const close = () => {
  feedbackDialog.value = null;
};

export function FeedbackDialogs() {
  const open = feedbackDialog.value;
  switch (open?.kind) {
    case "ideal": return <IdealDialog key={open.item} item={open.item} text={open.text} />;
    case "comparison": return <ComparisonDialog conversation={open.conversation} first={open.first} second={open.second} />;
    case undefined: return null;
  }
}

function IdealDialog({ item, text }: { item: string; text: string }) {
  const [ideal, setIdeal] = useState(text);
  const [error, setError] = useState<string | null>(null);
  const submit = (event: Event) => {
    event.preventDefault();
    sendFeedback({ kind: "edit", item_id: item, ideal }).then(() => {
      announce("Your answer is kept.");
      close();
    }, (failure: unknown) => setError(explain(failure)));
  };
  return (
    <Dialog title="Write a better answer" onClose={close} class="wide">
      <form onSubmit={submit} class="stack">
        <label for="ideal">Change the reply into the one you wanted. It is kept with the prompt, and training can learn from it.</label>
        <textarea id="ideal" rows={12} value={ideal} dir="auto" onInput={event => setIdeal(event.currentTarget.value)} />
        {error !== null && <p class="error" role="alert">{error}</p>}
        <div class="row end">
          <button type="button" onClick={close}>Cancel</button>
          <button type="submit" class="primary" disabled={ideal.trim() === "" || ideal === text}>Keep it</button>
        </div>
      </form>
    </Dialog>
  );
}

interface ComparisonProps {
  conversation: Conversation;
  first: Candidate;
  second: Candidate;
}

function ComparisonDialog({ conversation, first, second }: ComparisonProps) {
  const [other, setOther] = useState(second);
  const [reason, setReason] = useState("");
  const [error, setError] = useState<string | null>(null);
  const sides = [first, other];
  const turns = sides.map(side => conversation.turnOf(side));
  const messages = turns.map(turn => turn === null ? undefined : messageOf(conversation, turn));
  const live = sides.some(isLive);
  const whole = !live && messages.every(message => message !== undefined && textOf(message) !== "" && !conversation.unsaved.value.has(message.id));
  const [left, right] = turns;
  const siblings = left ? conversation.tree.siblings(left) : [];
  const choose = (index: 0 | 1) => {
    const [chosen, rejected] = [messages[index], messages[1 - index]];
    const turn = turns[index];
    if (!chosen || !rejected || !turn)
      return;
    sendFeedback({ kind: "comparison", chosen: chosen.id, rejected: rejected.id, ...(reason.trim() === "" ? {} : { reason: reason.trim() }) }).then(() => {
      announce("Your choice is kept.");
      conversation.show(turn);
      close();
    }, (failure: unknown) => setError(explain(failure)));
  };
  return (
    <Dialog title="Which reply is better?" onClose={close} class="widest">
      {siblings.length > 2 && left && right && !live && (
        <label class="row">Compare version {siblings.indexOf(left) + 1} with
          <select value={right} onChange={event => setOther(event.currentTarget.value)}>
            {siblings.map((id, index) => id === left ? null : <option key={id} value={id}>version {index + 1}</option>)}
          </select>
        </label>
      )}
      <div class="comparison">
        {([0, 1] as const).map(index => {
          const [side, turn] = [sides[index] ?? first, turns[index] ?? null];
          const name = `Version ${turn === null ? siblings.length + 1 : siblings.indexOf(turn) + 1}`;
          return <Side key={index} name={name} conversation={conversation} side={side} message={messages[index]} disabled={!whole} onChoose={() => choose(index)} />;
        })}
      </div>
      {whole && wordsOf(messages[0]) === wordsOf(messages[1]) && <p class="notice">Both say the same. With a temperature above 0, in the settings, replies differ.</p>}
      <label class="stack">Why? (if you like)
        <input value={reason} maxLength={2000} dir="auto" onInput={event => setReason(event.currentTarget.value)} />
      </label>
      {error !== null && <p class="error" role="alert">{error}</p>}
    </Dialog>
  );
}

interface SideProps {
  name: string;
  conversation: Conversation;
  side: Candidate;
  message: Item | undefined;
  disabled: boolean;
  onChoose: () => void;
}

/** One of two replies, perhaps while it is made. */
function Side({ name, conversation, side, message, disabled, onChoose }: SideProps) {
  const run = typeof side === "string" ? null : side;
  const live = isLive(side);
  return (
    <section aria-label={name} aria-busy={live}>
      <h3>{name}</h3>
      <div class="comparison-text" tabIndex={0} role="region" aria-label={`Text of ${name.toLowerCase()}`}>
        {message && <Markdown text={textOf(message)} grows={live} />}
        {run && live && <RunNotice run={run} conversation={conversation} hasText={message !== undefined} lost={false} />}
        {run?.failure.value && <p class="error" role="alert">{run.failure.value.message}</p>}
        {run?.state.value === "cancelled" && <p class="notice">You stopped this reply.</p>}
      </div>
      {run && live
        ? <button type="button" onClick={() => run.stop()}><Icon name="stop" />Stop</button>
        : <button type="button" class="primary" disabled={disabled} onClick={onChoose}>This one is better</button>}
    </section>
  );
}

const isLive = (candidate: Candidate): boolean => typeof candidate !== "string" && candidate.isLive;

function messageOf(conversation: Conversation, turn: string): Item | undefined {
  const message = conversation.tree.reply(turn).findLast(item => item.type === "message");
  return message && conversation.item(message.id);
}

const wordsOf = (item: Item | undefined): string => item ? textOf(item) : "";
