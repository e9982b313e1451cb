import { useEffect, useRef, useState } from "preact/hooks";
import { explain } from "../api/client.ts";
import { current, dropConversation, openAt } from "../chat/current.ts";
import { conversationPath, route } from "../store/router.ts";
import { announce } from "../ui/announce.tsx";
import { Icon } from "../ui/Icon.tsx";
import { Menu } from "../ui/Menu.tsx";
import { exportJson, exportMarkdown } from "./export.ts";
import { changeMeta, listError, remove, type Entry } from "./list.ts";
import { closeIfNarrow } from "./visibility.ts";

export function ConversationRow({ entry }: { entry: Entry }) {
  const [state, setState] = useState<"" | "renaming" | "deleting">("");
  const { info, meta } = entry;
  const title = meta.title || "Untitled chat";
  const isCurrent = route.value.page === "chat" && route.value.conversation === info.id;
  const attempt = (work: Promise<unknown>) => {
    work.catch((failure: unknown) => listError.value = explain(failure));
  };
  // The open conversation keeps its own copy, which would write the old values back.
  const change = (values: Partial<typeof meta>) => attempt(isCurrent ? current.value.changeMeta(values) : changeMeta(info.id, values));

  if (state === "renaming")
    return <li><Rename title={meta.title} onDone={name => {
      setState("");
      if (name !== null)
        change({ title: name, titledBy: "user" });
    }} /></li>;
  if (state === "deleting")
    return (
      <li class="confirm">
        <p>Delete “<span dir="auto">{title}</span>” for good?</p>
        <div class="row end" role="group" aria-label={`Delete ${title}?`}>
          <button type="button" ref={button => button?.focus()} onClick={() => setState("")}>Keep</button>
          <button type="button" class="danger" onClick={() => {
            attempt(remove(info.id).then(() => {
              announce("Deleted");
              dropConversation(info.id);
            }));
          }}>Delete</button>
        </div>
      </li>
    );
  return (
    <li class={isCurrent ? "conversation current" : "conversation"}>
      <a href={conversationPath(info.id)} data-route aria-current={isCurrent ? "page" : undefined} title={title} onClick={event => {
        closeIfNarrow();
        if (info.match?.item_id && !event.ctrlKey && !event.metaKey && !event.shiftKey) {
          event.preventDefault();
          openAt(info.id, info.match.item_id);
        }
      }}>
        {meta.pinned && <Icon name="pin" />}
        <span class="conversation-title" dir="auto">{title}</span>
        {info.match && <span class="match" dir="auto">{info.match.before}<mark>{info.match.text}</mark>{info.match.after}</span>}
      </a>
      <Menu label={`Options of ${title}`} entries={[
        { icon: "pin", label: meta.pinned ? "Unpin" : "Pin", run: () => change({ pinned: !meta.pinned }) },
        { icon: "edit", label: "Rename", run: () => setState("renaming") },
        { icon: "download", label: "Export as Markdown", run: () => attempt(exportMarkdown(info.id, meta.leaf)) },
        { icon: "download", label: "Export as JSON", run: () => attempt(exportJson([info.id])) },
        { icon: "trash", label: "Delete…", danger: true, run: () => setState("deleting") },
      ]} />
    </li>
  );
}

function Rename({ title, onDone }: { title: string; onDone: (name: string | null) => void }) {
  const field = useRef<HTMLInputElement>(null);
  useEffect(() => field.current?.select(), []);
  const finish = () => {
    const name = field.current?.value.trim() ?? "";
    onDone(name === "" || name === title ? null : name);
  };
  return (
    <form class="rename" onSubmit={event => {
      event.preventDefault();
      finish();
    }}>
      <input ref={field} defaultValue={title} maxLength={200} aria-label="Title" dir="auto" onBlur={finish}
        onKeyDown={event => event.key === "Escape" && onDone(null)} />
    </form>
  );
}
