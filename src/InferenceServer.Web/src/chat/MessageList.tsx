import { signal } from "@preact/signals";
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import { announce } from "../ui/announce.tsx";
import { plural } from "../ui/format.ts";
import { Icon } from "../ui/Icon.tsx";
import { memo } from "../ui/memo.ts";
import { AssistantTurn } from "./AssistantTurn.tsx";
import type { Conversation } from "./conversation.ts";
import { Nearness, NearnessWatcher } from "./nearness.ts";
import { RunNotice } from "./RunNotice.tsx";
import { textOf, type Turn } from "./tree.ts";
import { UserTurn } from "./UserTurn.tsx";

/** Pixels from the end that still count as being there. */
const EndMargin = 60;

/** The turns of the shown branch. It follows a growing reply as long as the reader is at its end. */
export function MessageList({ conversation }: { conversation: Conversation }) {
  const scroller = useRef<HTMLDivElement>(null);
  const content = useRef<HTMLDivElement>(null);
  const atEnd = useMemo(() => signal(true), [conversation]);
  const watcher = useMemo(() => new NearnessWatcher(), [conversation]);
  const turns = conversation.turns.value;
  const run = conversation.shownRun.value;
  // A run shows itself inside the turn of its first item; before that it is a turn of its own.
  const waits = run !== null && run.parent === conversation.leaf.value && run.state.value !== "completed";
  const unanswered = !waits && turns.at(-1)?.role === "user" && conversation.busy.value === "";
  const groups = useGroups(turns);
  const opened = useNextTask();

  useLayoutEffect(() => {
    const { current: element } = scroller;
    const { current: inner } = content;
    if (!element || !inner)
      return;
    let top = element.scrollTop;
    const onScroll = () => {
      const { scrollTop } = element;
      // Only a move upwards is the reader's: the end runs away downwards by itself.
      if (scrollTop < top - 2)
        atEnd.value = element.scrollHeight - scrollTop - element.clientHeight < EndMargin;
      else if (!atEnd.value && element.scrollHeight - scrollTop - element.clientHeight < EndMargin)
        atEnd.value = true;
      top = scrollTop;
    };
    const follow = () => {
      if (atEnd.value)
        element.scrollTop = element.scrollHeight;
    };
    const resized = new ResizeObserver(follow);
    resized.observe(inner);
    resized.observe(element);
    element.addEventListener("scroll", onScroll, { passive: true });
    follow();
    return () => {
      resized.disconnect();
      element.removeEventListener("scroll", onScroll);
    };
  }, [conversation]);

  useEffect(() => () => watcher.stop(), [watcher]);

  useEffect(() => {
    const elements = content.current?.querySelectorAll(":scope > .group") ?? [];
    groups.forEach((group, index) => {
      const element = elements[index];
      if (scroller.current && element)
        watcher.watch(scroller.current, element, group.turns.map(turn => turn.id));
    });
  }, [watcher, groups]);

  useEffect(() => {
    const wanted = turns.find(turn => turn.items.some(item => item.id === conversation.target.value));
    const element = wanted && content.current?.querySelector(`[data-item="${CSS.escape(wanted.id)}"]`);
    if (!element)
      return;
    conversation.target.value = null;
    atEnd.value = false;
    element.scrollIntoView({ block: "center" });
  }, [conversation, groups, conversation.target.value]);

  useEffect(() => {
    if (run !== null && run.parent === conversation.leaf.peek())
      atEnd.value = true;
  }, [run]);

  useAnnouncements(conversation);

  return (
    <Nearness.Provider value={watcher.of}>
      <div class="scroller" ref={scroller} tabIndex={0} role="region" aria-label="Messages">
        <div class="column" ref={content} role="log" aria-live="off" aria-label="Conversation">
          {groups.map(group => (
            <div key={group.first} class="group">
              {group.turns.map(turn => <TurnView key={turn.id} conversation={conversation} turn={turn} ids={idsOf(turn)} last={opened && turn === turns.at(-1)} />)}
            </div>
          ))}
          {waits && run && <div class="turn assistant-turn"><RunNotice run={run} conversation={conversation} hasText={false} lost={false} /></div>}
          {unanswered && (
            <div class="turn assistant-turn">
              <p class="notice"><span class="grow">There is no reply to this yet.</span>
                <button type="button" onClick={() => conversation.reply(conversation.leaf.value)}>Reply</button></p>
            </div>
          )}
          {conversation.error.value !== null && <div class="notice failed" role="alert"><Icon name="warn" />{conversation.error.value}</div>}
        </div>
      </div>
      <ToEnd hidden={atEnd.value} onClick={() => {
        atEnd.value = true;
        scroller.current?.scrollTo({ top: scroller.current.scrollHeight });
      }} />
    </Nearness.Provider>
  );
}

/** False at first, true in a task of its own: what is there at once and what comes after it are never one long task. */
function useNextTask(): boolean {
  const [came, setCame] = useState(false);
  useEffect(() => {
    const timer = setTimeout(() => setCame(true));
    return () => clearTimeout(timer);
  }, []);
  return came;
}

/** Turns that the browser may leave out of its work together. */
const GroupSize = 6;

interface Group {
  /** The first turn's place. */
  first: number;
  turns: Turn[];
}

/** The turns in groups. Of a long list the end is there at once, and what is above it joins group by group, in tasks of their own. */
function useGroups(turns: readonly Turn[]): Group[] {
  const total = Math.ceil(turns.length / GroupSize);
  const [joined, setJoined] = useState(1);
  useEffect(() => {
    if (joined >= total)
      return;
    const timer = setTimeout(() => setJoined(joined + 1));
    return () => clearTimeout(timer);
  }, [joined, total]);
  return useMemo(() => {
    const groups: Group[] = [];
    for (let index = Math.max(0, total - joined); index < total; index++)
      groups.push({ first: index * GroupSize, turns: turns.slice(index * GroupSize, (index + 1) * GroupSize) });
    return groups;
  }, [turns, joined, total]);
}

const idsOf = (turn: Turn): string => turn.items.map(item => item.id).join();

interface TurnProps {
  conversation: Conversation;
  turn: Turn;
  /** The turn's items: another object for the same items is no reason to render it again. */
  ids: string;
  last: boolean;
}

function TurnView(props: TurnProps) {
  const turn = useRef(props.turn);
  if (idsOf(turn.current) !== props.ids)
    turn.current = props.turn;
  return <StableTurn conversation={props.conversation} turn={turn.current} last={props.last} />;
}

const StableTurn = memo(function StableTurn({ conversation, turn, last }: { conversation: Conversation; turn: Turn; last: boolean }) {
  switch (turn.role) {
    case "user": return <UserTurn conversation={conversation} id={turn.id} last={last} />;
    case "assistant": return <AssistantTurn conversation={conversation} turn={turn} last={last} />;
    case "note": return <Note conversation={conversation} turn={turn} />;
  }
});

function Note({ conversation, turn }: { conversation: Conversation; turn: Turn }) {
  const item = turn.items[0];
  if (item?.type !== "compaction")
    return <div class="turn note" data-item={turn.id} dir="auto"><small>System prompt</small>{item && textOf(item)}</div>;
  const first = conversation.tree.path(turn.id)[0];
  const before = conversation.tree.children(null).findLast(root => root !== first?.id);
  return (
    <div class="turn note" data-item={turn.id}>
      <Icon name="compact" />
      <span class="grow">The replies above were summarised by the model, and it reads the summary in their place.</span>
      {before !== undefined && <button type="button" onClick={() => conversation.show(before)}>Show the whole conversation</button>}
    </div>
  );
}

function ToEnd({ hidden, onClick }: { hidden: boolean; onClick: () => void }) {
  return <div class="to-end">{!hidden && <button type="button" class="round" aria-label="Go to the end" title="Go to the end" onClick={onClick}><Icon name="down" /></button>}</div>;
}

/** Tells screen readers that a reply began and that it ended; its words are there to be read, not read out as they come. */
function useAnnouncements(conversation: Conversation): void {
  const state = conversation.shownRun.value?.state.value;
  useEffect(() => {
    if (state === "running")
      announce("The reply begins.");
    else if (state === "completed") {
      const reply = conversation.turns.peek().at(-1)?.items.map(textOf).join(" ") ?? "";
      announce(`The reply is complete: ${plural(reply.split(/\s+/).filter(word => word !== "").length, "word")}.`);
    } else if (state === "reconnecting")
      announce("The connection broke. Trying again.");
    else if (state === "cancelled")
      announce("The reply was stopped.");
  }, [state]);
}
