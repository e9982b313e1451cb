import { useContext, useRef, useState } from "preact/hooks";
import { explain } from "../api/client.ts";
import type { MessageItem } from "../api/types.ts";
import { compareReplies } from "../feedback/dialogs.ts";
import { count } from "../ui/format.ts";
import { CopyButton } from "../ui/CopyButton.tsx";
import { Icon } from "../ui/Icon.tsx";
import { IconButton } from "../ui/IconButton.tsx";
import { fromParts } from "./attachments.ts";
import type { Conversation } from "./conversation.ts";
import { Nearness } from "./nearness.ts";
import { Siblings } from "./Siblings.tsx";

/** Longer messages show their beginning, with a button for the rest. */
const FoldedLength = 2400;

export function UserTurn({ conversation, id, last }: { conversation: Conversation; id: string; last: boolean }) {
  const near = useContext(Nearness)(id);
  const item = conversation.item(id) as MessageItem | undefined;
  const [editing, setEditing] = useState(false);
  const [whole, setWhole] = useState(false);
  if (!item)
    return null;
  const { text, files } = fromParts(item);
  const folds = text.length > FoldedLength && !whole;
  if (editing)
    return <Editor conversation={conversation} item={item} onDone={() => setEditing(false)} />;
  const full = near.value || last;
  return (
    <div class="turn user-turn" data-item={id}>
      <h2 class="visually-hidden">You</h2>
      {files.length > 0 && (
        <ul class="files">
          {files.map((file, index) => (
            <li key={index} class="file">
              <details><summary><Icon name="file" /><span dir="auto">{file.name}</span><small>{count(file.text.length)} characters</small></summary>
                <pre tabIndex={0} dir="auto">{file.text}</pre></details>
            </li>
          ))}
        </ul>
      )}
      {text !== "" && <div class="bubble" dir="auto">{folds ? `${text.slice(0, FoldedLength)}…` : text}</div>}
      {text.length > FoldedLength && <button type="button" class="link" onClick={() => setWhole(!whole)}>{folds ? "Show all of it" : "Show less"}</button>}
      <div class={conversation.tree.siblings(id).length > 1 ? "turn-tools shown" : "turn-tools"}>
        {full && (
          <>
            <Siblings conversation={conversation} id={id} />
            <CopyButton text={() => text} label="Copy message" />
            {conversation.isKept.value && <IconButton icon="compare" label="Compare two replies" onClick={() => compareReplies(conversation, id)} />}
            <IconButton icon="edit" label="Edit message" class="edit-message" onClick={() => setEditing(true)} />
          </>
        )}
      </div>
    </div>
  );
}

/** Sends a changed message as a new branch; the old one stays. */
function Editor({ conversation, item, onDone }: { conversation: Conversation; item: MessageItem; onDone: () => void }) {
  const { text, files } = fromParts(item);
  const field = useRef<HTMLTextAreaElement>(null);
  const [error, setError] = useState<string | null>(null);
  const submit = (event: Event) => {
    event.preventDefault();
    const changed = field.current?.value ?? "";
    if (changed.trim() === "")
      return;
    conversation.send(changed, files, item.parent_id ?? null).then(onDone, failure => setError(explain(failure)));
  };
  const keys = (event: KeyboardEvent) => {
    if (event.key === "Escape")
      onDone();
    else if (event.key === "Enter" && (event.ctrlKey || event.metaKey))
      submit(event);
  };
  return (
    <form class="turn editor" onSubmit={submit}>
      <label class="visually-hidden" for={`edit-${item.id}`}>Change your message</label>
      <textarea id={`edit-${item.id}`} ref={element => {
        if (element && !field.current)
          element.focus();
        field.current = element;
      }} defaultValue={text} onKeyDown={keys} dir="auto" />
      {error !== null && <p class="error">{error}</p>}
      <div class="row end">
        <small class="grow">The old message and its replies stay; the arrows below it switch.</small>
        <button type="button" onClick={onDone}>Cancel</button>
        <button type="submit" class="primary">Send</button>
      </div>
    </form>
  );
}
