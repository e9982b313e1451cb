import { useEffect, useRef } from "preact/hooks";
import { newChat } from "../chat/current.ts";
import { serverKeeps } from "../chat/kept.ts";
import { route } from "../store/router.ts";
import { showDialog } from "../ui/dialogs.ts";
import { ageGroup } from "../ui/format.ts";
import { Icon, type IconName } from "../ui/Icon.tsx";
import { IconButton } from "../ui/IconButton.tsx";
import { ConversationRow } from "./ConversationRow.tsx";
import { found, hasMore, listError, listLoaded, loadList, loadMore, pinned, query, search, unpinned, type Entry } from "./list.ts";
import { searchFocus } from "./focus.ts";
import { closeIfNarrow, isNarrow, sidebarOpen, toggleSidebar } from "./visibility.ts";

/** Searching waits for a pause in typing. */
const PauseMs = 200;

export function Sidebar() {
  const field = useRef<HTMLInputElement>(null);
  const timer = useRef(0);
  useEffect(() => {
    // Another window may have chatted meanwhile.
    const look = () => {
      if (!document.hidden)
        void loadList();
    };
    document.addEventListener("visibilitychange", look);
    return () => document.removeEventListener("visibilitychange", look);
  }, []);
  useEffect(() => {
    if (searchFocus.value === 0)
      return;
    sidebarOpen.value = true;
    setTimeout(() => field.current?.select());
  }, [searchFocus.value]);
  if (!sidebarOpen.value)
    return null;
  const type = (text: string) => {
    query.value = text;
    clearTimeout(timer.current);
    timer.current = window.setTimeout(() => void search(text), PauseMs);
  };
  return (
    <>
      {isNarrow.value && <div class="sidebar-shade" onClick={toggleSidebar} />}
      <nav class="sidebar" aria-label="Conversations" onKeyDown={event => event.key === "Escape" && isNarrow.value && toggleSidebar()}>
        <header class="sidebar-head">
          <a class="brand" href="/" data-route onClick={closeIfNarrow}><img src={iconUrl} alt="" width={24} height={24} />InferenceServer</a>
          <IconButton icon="sidebar" label="Hide the sidebar" onClick={toggleSidebar} />
        </header>
        <button type="button" class="new-chat" onClick={() => {
          newChat();
          closeIfNarrow();
        }}><Icon name="plus" />New chat</button>
        {serverKeeps.value !== false && (
          <div class="search">
            <Icon name="search" />
            <input ref={field} type="search" value={query.value} placeholder="Search chats" aria-label="Search chats" dir="auto"
              onInput={event => type(event.currentTarget.value)} />
          </div>
        )}
        <div class="conversations" tabIndex={-1}>
          {found.value !== null ? <Found entries={found.value} /> : <All />}
          {listError.value !== null && <p class="list-note">{listError.value}</p>}
        </div>
        <footer class="sidebar-foot">
          <PageLink page="status" icon="gauge" label="Status" />
          {serverKeeps.value !== false && <PageLink page="feedback" icon="thumbUp" label="Feedback" />}
          <PageLink page="playground" icon="terminal" label="Try the API" />
          <div class="row">
            <button type="button" class="quiet" onClick={() => showDialog("settings")}><Icon name="settings" />Settings</button>
            <span class="grow" />
            <IconButton icon="upload" label="Import and export" onClick={() => showDialog("import")} />
            <IconButton icon="help" label="Keyboard shortcuts" onClick={() => showDialog("help")} />
          </div>
        </footer>
      </nav>
    </>
  );
}

function Found({ entries }: { entries: Entry[] }) {
  if (entries.length === 0)
    return <p class="list-note">Nothing found.</p>;
  return <ul aria-label="Found">{entries.map(entry => <ConversationRow key={entry.info.id} entry={entry} />)}</ul>;
}

function All() {
  const now = new Date();
  const groups = new Map<string, Entry[]>();
  for (const entry of unpinned.value) {
    const group = ageGroup(entry.info.updated_at ?? entry.info.created_at, now);
    groups.set(group, [...groups.get(group) ?? [], entry]);
  }
  if (pinned.value.length > 0)
    return <><Group name="Pinned" entries={pinned.value} /><Groups groups={groups} /></>;
  return <Groups groups={groups} />;
}

function Groups({ groups }: { groups: Map<string, Entry[]> }) {
  return (
    <>
      {[...groups].map(([name, entries]) => <Group key={name} name={name} entries={entries} />)}
      {hasMore.value && <button type="button" class="quiet" onClick={() => loadMore()}>Show more</button>}
      {listLoaded.value && groups.size === 0 && pinned.value.length === 0 && <p class="list-note">Your chats will be listed here.</p>}
    </>
  );
}

function Group({ name, entries }: { name: string; entries: Entry[] }) {
  return (
    <section>
      <h2>{name}</h2>
      <ul aria-label={name}>{entries.map(entry => <ConversationRow key={entry.info.id} entry={entry} />)}</ul>
    </section>
  );
}

function PageLink({ page, icon, label }: { page: "status" | "feedback" | "playground"; icon: IconName; label: string }) {
  return (
    <a class="quiet" href={`/${page}`} data-route aria-current={route.value.page === page ? "page" : undefined} onClick={closeIfNarrow}>
      <Icon name={icon} />{label}
    </a>
  );
}

const iconUrl = new URL("../styles/icon.svg", import.meta.url).href;
