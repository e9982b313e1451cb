import { useState } from "preact/hooks";
import { explain } from "../api/client.ts";
import { sendFeedback } from "../api/feedback.ts";
import type { Item } from "../api/types.ts";
import type { Conversation } from "../chat/conversation.ts";
import { textOf } from "../chat/tree.ts";
import { Markdown } from "../markdown/Markdown.tsx";
import { announce } from "../ui/announce.tsx";
import { Dialog } from "../ui/Dialog.tsx";
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
  first: string;
  second: string;
}

function ComparisonDialog({ conversation, first, second }: ComparisonProps) {
  const siblings = conversation.tree.siblings(first);
  const [other, setOther] = useState(second);
  const [reason, setReason] = useState("");
  const [error, setError] = useState<string | null>(null);
  const choose = (chosen: string, rejected: string) => {
    const [good, bad] = [messageOf(conversation, chosen), messageOf(conversation, rejected)];
    if (!good || !bad)
      return;
    sendFeedback({ kind: "comparison", chosen: good.id, rejected: bad.id, ...(reason.trim() === "" ? {} : { reason: reason.trim() }) }).then(() => {
      announce("Your choice is kept.");
      conversation.show(chosen);
      close();
    }, (failure: unknown) => setError(explain(failure)));
  };
  return (
    <Dialog title="Which reply is better?" onClose={close} class="wide">
      {siblings.length > 2 && (
        <label class="row">Compare version {siblings.indexOf(first) + 1} with
          <select value={other} onChange={event => setOther(event.currentTarget.value)}>
            {siblings.map((id, index) => id === first ? null : <option key={id} value={id}>version {index + 1}</option>)}
          </select>
        </label>
      )}
      <div class="comparison">
        {[first, other].map((id, index) => (
          <section key={id} aria-label={`Version ${siblings.indexOf(id) + 1}`}>
            <h3>Version {siblings.indexOf(id) + 1}</h3>
            <div class="comparison-text" tabIndex={0} role="region" aria-label={`Text of version ${siblings.indexOf(id) + 1}`}>
              <Markdown text={wordsOf(messageOf(conversation, id))} />
            </div>
            <button type="button" class="primary" onClick={() => choose(id, index === 0 ? other : first)}>This one is better</button>
          </section>
        ))}
      </div>
      <label class="stack">Why? (if you like)
        <input value={reason} maxLength={2000} dir="auto" onInput={event => setReason(event.currentTarget.value)} />
      </label>
      {error !== null && <p class="error" role="alert">{error}</p>}
    </Dialog>
  );
}

const messageOf = (conversation: Conversation, turn: string): Item | undefined => conversation.tree.reply(turn).findLast(item => item.type === "message");
const wordsOf = (item: Item | undefined): string => item ? textOf(item) : "";
