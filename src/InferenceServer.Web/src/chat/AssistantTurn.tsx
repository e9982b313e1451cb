import { useContext } from "preact/hooks";
import type { CallItem, Item } from "../api/types.ts";
import { RateButtons } from "../feedback/RateButtons.tsx";
import { compareReplies, openComparison, openIdeal } from "../feedback/dialogs.ts";
import { CodeBlock } from "../markdown/CodeBlock.tsx";
import { Markdown } from "../markdown/Markdown.tsx";
import { settings } from "../settings/settings.ts";
import { CopyButton } from "../ui/CopyButton.tsx";
import { Icon } from "../ui/Icon.tsx";
import { IconButton } from "../ui/IconButton.tsx";
import { Menu } from "../ui/Menu.tsx";
import type { Conversation } from "./conversation.ts";
import { pretty } from "./json.ts";
import { Nearness } from "./nearness.ts";
import { Numbers } from "./Numbers.tsx";
import { Reasoning } from "./Reasoning.tsx";
import { RunNotice } from "./RunNotice.tsx";
import { Siblings } from "./Siblings.tsx";
import { ToolCall } from "./ToolCall.tsx";
import { textOf, type Turn } from "./tree.ts";

interface Props {
  conversation: Conversation;
  turn: Turn;
  last: boolean;
}

/** All that one reply is made of, and what can be done with it. */
export function AssistantTurn({ conversation, turn, last }: Props) {
  const near = useContext(Nearness)(turn.id);
  const full = near.value || last;
  const items = turn.items.map(item => conversation.item(item.id) ?? item);
  const responseId = items.findLast(item => item.response_id)?.response_id ?? null;
  const run = conversation.runs.value.find(one => one.id !== null && one.id === responseId) ?? null;
  const live = run?.isLive ?? false;
  const message = items.findLast(item => item.type === "message");
  const words = () => items.filter(item => item.type === "message").map(textOf).join("\n\n");
  const rival = conversation.tree.siblings(turn.id).findLast(id => id !== turn.id);
  const prompt = conversation.tree.parent(turn.id);
  const judged = message !== undefined && responseId !== null && conversation.isKept.value;
  const lost = items.some(item => conversation.unsaved.value.has(item.id)) && !live;
  return (
    <div class="turn assistant-turn" data-item={turn.id} aria-busy={live}>
      <h2 class="visually-hidden">Reply</h2>
      {items.map(item => <Part key={item.id} item={item} turn={items} near={full} live={live && item.status === "in_progress"} conversation={conversation}
        thought={run?.thought.value ?? null} />)}
      {run && <RunNotice run={run} conversation={conversation} hasText={message !== undefined} lost={lost} />}
      {!run && message?.status === "incomplete" && <p class="notice">This reply was stopped before its end.</p>}
      {!live && !full && <div class="turn-tools" />}
      {!live && full && (
        <div class="turn-tools">
          <Siblings conversation={conversation} id={turn.id} />
          {message && <CopyButton text={words} label="Copy reply" />}
          <IconButton icon="refresh" label="Reply again" class="regenerate" onClick={() => conversation.reply(prompt)} />
          {judged && !lost && <RateButtons item={message.id} />}
          {judged && !lost && <Menu label="More" align="start" entries={[
            { icon: "edit", label: "Write a better answer", run: () => openIdeal(message.id, textOf(message)) },
            ...prompt === null ? [] : [{ icon: "compare" as const, label: "Compare with a new reply", run: () => compareReplies(conversation, prompt) }],
          ]} />}
          {judged && rival !== undefined && <button type="button" class="quiet small" onClick={() => openComparison(conversation, turn.id, rival)}><Icon name="compare" />Which is better?</button>}
          {settings.value.showNumbers && responseId !== null && <Numbers conversation={conversation} response={responseId} eager={last} />}
        </div>
      )}
    </div>
  );
}

interface PartProps {
  item: Item;
  turn: Item[];
  near: boolean;
  live: boolean;
  conversation: Conversation;
  thought: number | null;
}

function Part({ item, turn, near, live, conversation, thought }: PartProps) {
  switch (item.type) {
    case "reasoning": return <Reasoning text={textOf(item)} time={thought} live={live} />;
    case "function_call": return <ToolCall call={item} live={live} output={outputOf(item, turn)} onAnswer={output => conversation.answerCall(item, output)} />;
    case "message": return <Words text={textOf(item)} near={near} live={live} />;
    default: return null;
  }
}

function outputOf(call: CallItem, turn: Item[]): string | null {
  const output = turn.find(item => item.type === "function_call_output" && item.call_id === call.call_id);
  return output ? textOf(output) : null;
}

/** Far from what is seen a reply is its plain text: a long conversation opens at once, and the browser's search still finds all of it. */
function Words({ text, near, live }: { text: string; near: boolean; live: boolean }) {
  if (!near)
    return <div class="plain" dir="auto">{text}</div>;
  const json = live ? null : pretty(text);
  return json === null ? <Markdown text={text} grows={live} /> : <CodeBlock text={json} language="json" />;
}
