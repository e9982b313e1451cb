import { IconButton } from "../ui/IconButton.tsx";
import type { Conversation } from "./conversation.ts";

/** "2 / 3" with arrows, where a message was edited or a reply made again. */
export function Siblings({ conversation, id }: { conversation: Conversation; id: string }) {
  const siblings = conversation.tree.siblings(id);
  if (siblings.length < 2)
    return null;
  const at = siblings.indexOf(id);
  const show = (index: number) => {
    const sibling = siblings[index];
    if (sibling !== undefined)
      conversation.show(sibling);
  };
  return (
    <span class="siblings" role="group" aria-label="Versions">
      <IconButton icon="left" label="Previous version" disabled={at === 0} onClick={() => show(at - 1)} />
      <span class="siblings-count">{at + 1} / {siblings.length}</span>
      <IconButton icon="right" label="Next version" disabled={at === siblings.length - 1} onClick={() => show(at + 1)} />
    </span>
  );
}
