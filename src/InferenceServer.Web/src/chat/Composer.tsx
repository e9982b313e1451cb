import { useEffect, useRef, useState } from "preact/hooks";
import { explain } from "../api/client.ts";
import { tokenCount } from "../api/server.ts";
import { settings } from "../settings/settings.ts";
import { connection } from "../store/connection.ts";
import { model } from "../store/models.ts";
import { plural } from "../ui/format.ts";
import { Icon } from "../ui/Icon.tsx";
import { IconButton } from "../ui/IconButton.tsx";
import { readTextFile, type Attachment } from "./attachments.ts";
import { ContextMeter } from "./ContextMeter.tsx";
import type { Conversation } from "./conversation.ts";
import { keepDraft, readDraft } from "./drafts.ts";
import { composerFocus } from "./focus.ts";

export function Composer({ conversation }: { conversation: Conversation }) {
  const id = conversation.id.value;
  const field = useRef<HTMLTextAreaElement>(null);
  const picker = useRef<HTMLInputElement>(null);
  const [text, setText] = useState("");
  const [files, setFiles] = useState<Attachment[]>([]);
  const [error, setError] = useState<string | null>(null);
  const run = conversation.shownRun.value;
  const live = run?.isLive ?? false;

  // A new conversation gets its id while its first message is sent: that is no other draft.
  const shown = useRef<Conversation>(null);
  useEffect(() => {
    if (shown.current === conversation)
      return;
    shown.current = conversation;
    const draft = readDraft(id);
    setText(draft.text);
    setFiles(draft.files);
    setError(null);
    field.current?.focus({ preventScroll: true });
  }, [conversation, id]);

  useEffect(() => {
    const wanted = composerFocus.value;
    if (wanted === null)
      return;
    if (wanted.text !== undefined)
      change(wanted.text, files);
    field.current?.focus();
    composerFocus.value = null;
  }, [composerFocus.value]);

  useGrowth(field, text);

  const change = (newText: string, newFiles: Attachment[]) => {
    setText(newText);
    setFiles(newFiles);
    keepDraft(conversation.id.peek(), { text: newText, files: newFiles });
  };

  const attach = async (chosen: Iterable<File>) => {
    setError(null);
    const added: Attachment[] = [];
    for (const file of chosen)
      await readTextFile(file).then(read => added.push(read), (failure: unknown) => setError(explain(failure)));
    if (added.length > 0)
      change(field.current?.value ?? text, [...files, ...added]);
  };

  const send = async () => {
    const words = text.trim();
    if ((words === "" && files.length === 0) || live || conversation.busy.value !== "")
      return;
    const before = { text, files };
    const draftOf = conversation.id.peek();
    setError(null);
    setText("");
    setFiles([]);
    try {
      await conversation.send(words, files);
      keepDraft(draftOf, { text: "", files: [] });
    } catch (failure) {
      setText(before.text);
      setFiles(before.files);
      setError(`${explain(failure)} Your message is still here.`);
    }
  };

  const keys = (event: KeyboardEvent) => {
    if (event.key === "Enter" && !event.isComposing) {
      const plain = !event.shiftKey && !event.ctrlKey && !event.metaKey && !event.altKey;
      // On a touch keyboard Enter breaks the line: there is no Shift to do it with.
      const touch = matchMedia("(pointer: coarse)").matches;
      if (event.ctrlKey || event.metaKey || (plain && settings.value.enterSends && !touch)) {
        event.preventDefault();
        void send();
      }
    } else if (event.key === "Escape" && live) {
      event.preventDefault();
      run?.stop();
    } else if (event.key === "ArrowUp" && text === "" && !event.shiftKey) {
      const edits = document.querySelectorAll<HTMLElement>(".edit-message");
      if (edits.length > 0) {
        event.preventDefault();
        edits[edits.length - 1]?.click();
      }
    }
  };

  const drop = (event: DragEvent) => {
    event.preventDefault();
    void attach(event.dataTransfer?.files ?? []);
  };

  const paste = (event: ClipboardEvent) => {
    const pasted = event.clipboardData?.files;
    if (pasted?.length) {
      event.preventDefault();
      void attach(pasted);
    }
  };

  return (
    <form class="composer" onSubmit={event => {
      event.preventDefault();
      void send();
    }} onDrop={drop} onDragOver={event => event.preventDefault()}>
      {error !== null && <p class="error" role="alert">{error}</p>}
      <div class="composer-box">
        {files.length > 0 && (
          <ul class="files">
            {files.map((file, index) => (
              <FileChip key={`${file.name}:${index}`} file={file} onRemove={() => change(text, files.filter((_, other) => other !== index))} />
            ))}
          </ul>
        )}
        <label class="visually-hidden" for="composer">Message</label>
        <textarea id="composer" ref={field} rows={1} value={text} placeholder={model.value ? `Message ${model.value.id}` : "Message"} dir="auto"
          onInput={event => change(event.currentTarget.value, files)} onKeyDown={keys} onPaste={paste} enterkeyhint="send" />
        <div class="composer-row">
          <IconButton icon="attach" label="Attach text files" onClick={() => picker.current?.click()} />
          <input ref={picker} type="file" multiple hidden aria-label="Attach text files" onChange={event => {
            void attach([...event.currentTarget.files ?? []]);
            event.currentTarget.value = "";
          }} />
          <ContextMeter conversation={conversation} text={text} files={files} />
          <span class="grow" />
          {live
            ? <button type="button" class="round primary stop" aria-label="Stop" title="Stop (Escape)" onClick={() => run?.stop()}><Icon name="stop" /></button>
            : <button type="submit" class="round primary send" aria-label="Send" title="Send (Enter)"
                disabled={(text.trim() === "" && files.length === 0) || conversation.busy.value !== "" || connection.value === "gone"}><Icon name="send" /></button>}
        </div>
      </div>
    </form>
  );
}

function FileChip({ file, onRemove }: { file: Attachment; onRemove: () => void }) {
  const [tokens, setTokens] = useState<number | null>(null);
  useEffect(() => {
    const abort = new AbortController();
    tokenCount(file.text, abort.signal).then(setTokens, () => null);
    return () => abort.abort();
  }, [file]);
  return (
    <li class="file">
      <Icon name="file" /><span class="file-name" dir="auto">{file.name}</span><small>{tokens === null ? "counting…" : plural(tokens, "token")}</small>
      <IconButton icon="close" label={`Remove ${file.name}`} onClick={onRemove} />
    </li>
  );
}

/** Where the browser cannot size a field by its content, its height follows the text. */
function useGrowth(field: { current: HTMLTextAreaElement | null }, text: string): void {
  useEffect(() => {
    const { current } = field;
    if (!current || CSS.supports("field-sizing", "content"))
      return;
    current.style.height = "auto";
    current.style.height = `${current.scrollHeight}px`;
  }, [text]);
}
