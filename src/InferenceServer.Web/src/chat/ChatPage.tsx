import { findPersona } from "../settings/personas.ts";
import { sidebarOpen, toggleSidebar } from "../sidebar/visibility.ts";
import { showDialog } from "../ui/dialogs.ts";
import { Icon } from "../ui/Icon.tsx";
import { IconButton } from "../ui/IconButton.tsx";
import { Composer } from "./Composer.tsx";
import type { Conversation } from "./conversation.ts";
import { current, newChat } from "./current.ts";
import { ConversationMenu } from "./ConversationMenu.tsx";
import { MessageList } from "./MessageList.tsx";
import { ModelPicker } from "./ModelPicker.tsx";
import { Welcome } from "./Welcome.tsx";

export function ChatPage() {
  const conversation = current.value;
  const empty = conversation.leaf.value === null && conversation.id.value === null;
  return (
    <main class="chat" id="main">
      <header class="chat-head">
        {!sidebarOpen.value && <IconButton icon="sidebar" label="Show the sidebar" onClick={toggleSidebar} />}
        {!sidebarOpen.value && <IconButton icon="plus" label="New chat" onClick={newChat} />}
        <ModelPicker />
        <h1 class={empty ? "visually-hidden" : "chat-title"} dir="auto">{conversation.meta.value.title || "New chat"}</h1>
        <span class="grow" />
        <PersonaButton conversation={conversation} />
        {!empty && <ConversationMenu conversation={conversation} />}
      </header>
      {empty
        ? <div class="scroller"><Welcome conversation={conversation} /></div>
        : conversation.busy.value === "loading"
          ? <div class="scroller"><p class="notice loading"><span class="pulse" />Loading the conversation…</p></div>
          : <MessageList key={conversation} conversation={conversation} />}
      <div class="composer-place">
        <Composer conversation={conversation} />
        <p class="small-print">
          Models make mistakes. Check what matters.
          {!conversation.isKept.value && <> <strong>This server keeps no conversations: they are in this browser tab alone, and end with it.</strong></>}
        </p>
      </div>
    </main>
  );
}

function PersonaButton({ conversation }: { conversation: Conversation }) {
  const { persona, instructions } = conversation.meta.value;
  const name = findPersona(persona)?.name ?? (instructions === "" ? null : "Own instructions");
  return (
    <button type="button" class="quiet persona-button" onClick={() => showDialog("persona")} title="Persona and system prompt">
      <Icon name="star" /><span dir="auto">{name ?? "Persona"}</span>
    </button>
  );
}
