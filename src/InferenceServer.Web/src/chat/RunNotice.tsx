import { useEffect, useState } from "preact/hooks";
import { recentRequests } from "../api/server.ts";
import { health, refreshHealth } from "../store/connection.ts";
import { count, duration, plural, short } from "../ui/format.ts";
import { Icon } from "../ui/Icon.tsx";
import type { Conversation } from "./conversation.ts";
import type { Run } from "./run.ts";

interface Props {
  run: Run;
  conversation: Conversation;
  hasText: boolean;
  /** The server does not have what is shown of this reply. */
  lost: boolean;
}

/** What a reply is doing, or how it ended, in words. */
export function RunNotice({ run, conversation, hasText, lost }: Props) {
  const again = () => conversation.reply(run.parent);
  switch (run.state.value) {
    case "sending":
    case "queued": return <Waiting run={run} />;
    case "running": return <LiveNumbers run={run} />;
    case "reconnecting": return <p class="notice" role="status"><span class="pulse" />The connection broke. The reply goes on as soon as the server answers.</p>;
    case "failed": return (
      <div class="notice failed" role="alert">
        <Icon name="warn" />
        <span class="grow">{run.failure.value?.message}{lost && hasText && " The text above was not kept: copy it if you need it."}</span>
        <RetryButton seconds={run.failure.value?.retryAfter ?? null} onRetry={again} />
      </div>
    );
    case "incomplete": return (
      <p class="notice">{run.response.value?.incomplete_details?.reason === "max_output_tokens"
        ? "The reply ended at the limit of tokens. A larger limit is in the settings; the context's end is one too."
        : "The reply ended before its end."}</p>
    );
    case "cancelled": return hasText
      ? <p class="notice">You stopped this reply.</p>
      : <div class="notice"><span class="grow">You stopped the reply before it began.</span><button type="button" onClick={again}>Reply</button></div>;
    case "completed": return null;
  }
}

const PollMs = 1000;
/** A waiting request is among the latest of its key. */
const RecentRequests = 64;
/** Shorter waits are not worth words. */
const WordsAfterMs = 700;

function Waiting({ run }: { run: Run }) {
  const [waited, setWaited] = useState(0);
  const [place, setPlace] = useState<number | null>(null);
  useEffect(() => {
    const timer = setInterval(() => {
      setWaited(performance.now() - run.times.sent);
      // Where it stands is told when the server tells: the run itself says whether the server is gone.
      Promise.all([refreshHealth(), recentRequests(RecentRequests)]).then(
        ([, requests]) => setPlace(requests.find(request => request.id === run.id)?.queue_position ?? null), () => null);
    }, PollMs);
    return () => clearInterval(timer);
  }, [run]);
  return <p class="notice waiting"><span class="pulse" /><span>{waited > WordsAfterMs ? wordsFor(waited, place) : ""}</span></p>;
}

function wordsFor(waited: number, place: number | null): string {
  const { waiting_requests: waiting = 0, running_requests: running = 0 } = health.value ?? {};
  const others = `${plural(waiting, "request")} ${waiting === 1 ? "waits" : "wait"}, ${count(running)} ${running === 1 ? "runs" : "run"}`;
  if (place !== null)
    return `Waiting in line at place ${place}: ${others}.`;
  return waiting > 0 ? `Waiting in line: ${others}.` : `Reading the prompt for ${duration(waited)}…`;
}

function LiveNumbers({ run }: { run: Run }) {
  const tokens = run.tokens.value;
  const { sent, firstToken, lastToken } = run.times;
  if (firstToken === null || lastToken === null)
    return <Waiting run={run} />;
  const seconds = (lastToken - firstToken) / 1000;
  const parts = [plural(tokens, "token")];
  if (seconds > 0.3)
    parts.push(`${short((tokens - 1) / seconds)} tokens/s`);
  // After a reload the first token came at another time than this page saw it.
  if (run.resumed)
    parts.push("taken up again");
  else
    parts.push(`first token after ${duration(firstToken - sent)}`);
  return <p class="notice live-numbers" aria-hidden="true"><span class="pulse" />{parts.join(" · ")}</p>;
}

function RetryButton({ seconds, onRetry }: { seconds: number | null; onRetry: () => void }) {
  const [left, setLeft] = useState(Math.ceil(seconds ?? 0));
  useEffect(() => {
    if (left <= 0)
      return;
    const timer = setTimeout(() => setLeft(left - 1), 1000);
    return () => clearTimeout(timer);
  }, [left]);
  return <button type="button" onClick={onRetry}>{left > 0 ? `Try again (better in ${left} s)` : "Try again"}</button>;
}
