import { effect, signal, untracked } from "@preact/signals";
import { conversationPath, navigate, route } from "../store/router.ts";
import { Conversation } from "./conversation.ts";

/** The conversation that is on the screen. */
export const current = signal(new Conversation());

/** Conversations of this tab alone that were open: their replies go on while another is on the screen. */
const open = new Map<string, Conversation>();

/** Where the next conversation is opened: at the item that a search found. */
let wanted: string | null = null;

/** Opens a conversation at one of its items. */
export function openAt(id: string, item: string): void {
  if (current.value.id.value === id) {
    navigate(conversationPath(id));
    current.value.reveal(item);
    return;
  }
  wanted = item;
  navigate(conversationPath(id));
}

/** Opens what the address names, and gives a new conversation its address once it has one. */
export function followRoute(): void {
  effect(() => {
    const { value } = route;
    if (value.page !== "chat")
      return;
    untracked(() => {
      if (value.conversation === current.value.id.value)
        return;
      current.value.leave();
      const known = value.conversation === null ? undefined : open.get(value.conversation);
      current.value = known ?? new Conversation();
      if (value.conversation !== null && !known)
        void current.value.load(value.conversation, wanted);
      wanted = null;
    });
  });
  effect(() => {
    const id = current.value.id.value;
    untracked(() => {
      if (id !== null && !current.value.isKept.value)
        open.set(id, current.value);
      if (id !== null && route.value.page === "chat" && route.value.conversation !== id)
        navigate(conversationPath(id));
    });
  });
}

/** Leaves a conversation that was deleted. */
export function dropConversation(id: string): void {
  open.get(id)?.stop();
  open.delete(id);
  if (current.value.id.value === id)
    newChat();
}

export function newChat(): void {
  if (current.value.id.value !== null || current.value.error.value !== null) {
    current.value.leave();
    current.value = new Conversation();
  }
  navigate("/");
}
