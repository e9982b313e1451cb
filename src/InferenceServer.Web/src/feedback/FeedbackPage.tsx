import { signal } from "@preact/signals";
import { useEffect, useState } from "preact/hooks";
import { explain } from "../api/client.ts";
import { deleteAllFeedback, deleteFeedback, exportFeedback, feedbackSummary, listFeedback } from "../api/feedback.ts";
import type { Feedback, FeedbackKind, FeedbackSummary, Rate } from "../api/types.ts";
import { serverKeeps } from "../chat/kept.ts";
import { PageHead } from "../ui/PageHead.tsx";
import { download } from "../ui/download.ts";
import { count, dateAndTime, percent } from "../ui/format.ts";
import { Icon } from "../ui/Icon.tsx";
import { IconButton } from "../ui/IconButton.tsx";

const PageSize = 25;

const summary = signal<FeedbackSummary | null>(null);
const entries = signal<Feedback[]>([]);
const more = signal<string | null>(null);
const kind = signal<FeedbackKind | null>(null);
const error = signal<string | null>(null);

async function attempt(work: () => Promise<unknown>): Promise<void> {
  try {
    await work();
    error.value = null;
  } catch (failure) {
    error.value = explain(failure);
  }
}

const load = () => attempt(async () => {
  const [sums, page] = await Promise.all([feedbackSummary(), listFeedback(kind.value, null, PageSize)]);
  summary.value = sums;
  entries.value = page.data;
  more.value = page.has_more ? page.last_id : null;
});

const loadMore = () => attempt(async () => {
  const page = await listFeedback(kind.value, more.value, PageSize);
  entries.value = [...entries.value, ...page.data];
  more.value = page.has_more ? page.last_id : null;
});

export function FeedbackPage() {
  const keepsNothing = serverKeeps.value === false;
  useEffect(() => {
    if (!keepsNothing)
      void load();
  }, [keepsNothing]);
  if (keepsNothing)
    return (
      <main class="page-main" id="main" tabIndex={0}>
        <PageHead title="Feedback" />
        <p class="notice">This server keeps nothing, so there is no feedback to give or to see. Start it with a data directory (--data-dir) to collect feedback.</p>
      </main>
    );
  return (
    <main class="page-main" id="main" tabIndex={0}>
      <PageHead title="Feedback" />
      <p class="lead">What you said about replies: thumbs, which of two was better, and better answers of your own. It is kept on the server, and training can learn from it.</p>
      {error.value !== null && <p class="notice failed" role="alert">{error.value}</p>}
      {summary.value && <Models models={summary.value.models} />}
      {summary.value && summary.value.models.length > 0 && <Wins comparisons={summary.value.comparisons} />}
      <Export />
      <Entries />
    </main>
  );
}

function Models({ models }: { models: FeedbackSummary["models"] }) {
  if (models.length === 0)
    return <p class="notice">There is no feedback yet. The thumbs under a reply give the first.</p>;
  return (
    <section aria-labelledby="by-model">
      <h2 id="by-model">By model</h2>
      <div class="table" tabIndex={0} role="region" aria-label="Feedback by model">
        <table>
          <thead><tr><th scope="col">Model</th><th scope="col">Good</th><th scope="col">Bad</th><th scope="col">Better answers</th><th scope="col">Share of good</th></tr></thead>
          <tbody>
            {models.map(one => (
              <tr key={one.model}><td>{one.model}</td><td>{count(one.up)}</td><td>{count(one.down)}</td><td>{count(one.edits)}</td>
                <td>{one.rate ? <Interval rate={one.rate} /> : "–"}</td></tr>
            ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}

function Wins({ comparisons }: { comparisons: FeedbackSummary["comparisons"] }) {
  if (comparisons.length === 0)
    return <p><small>Win rates appear here once you compared replies of two models. Comparisons of one model with itself are kept for training.</small></p>;
  return (
    <section aria-labelledby="wins">
      <h2 id="wins">Which is better</h2>
      <div class="table" tabIndex={0} role="region" aria-label="Comparisons of models">
        <table>
          <thead><tr><th scope="col">Model</th><th scope="col">Against</th><th scope="col">Won</th><th scope="col">Lost</th><th scope="col">Win rate</th></tr></thead>
          <tbody>
            {comparisons.map(one => (
              <tr key={`${one.model}/${one.opponent}`}><td>{one.model}</td><td>{one.opponent}</td><td>{count(one.wins)}</td><td>{count(one.losses)}</td><td><Interval rate={one} /></td></tr>
            ))}
          </tbody>
        </table>
      </div>
      <p><small>The bar is the 95% interval: with few comparisons it is wide, and says little.</small></p>
    </section>
  );
}

/** A share with its interval, as a bar and in figures. */
function Interval({ rate }: { rate: Rate }) {
  return (
    <span class="interval">
      <svg viewBox="0 0 100 12" preserveAspectRatio="none" aria-hidden="true">
        <rect class="interval-track" x={0} y={4} width={100} height={4} />
        <rect class="interval-range" x={100 * rate.low} y={2} width={Math.max(1, 100 * (rate.high - rate.low))} height={8} />
        <rect class="interval-point" x={Math.min(98, 100 * rate.rate)} y={0} width={2} height={12} />
      </svg>
      <span><b>{percent(rate.rate)}</b> ({percent(rate.low)} to {percent(rate.high)})</span>
    </span>
  );
}

const Formats = [
  ["sft", "Good replies and better answers", "sft"],
  ["dpo", "Pairs of a better and a worse reply", "dpo"],
  ["reward", "Pairs for a reward model", "reward"],
] as const;

function Export() {
  const [sure, setSure] = useState(false);
  const save = (format: "sft" | "dpo" | "reward") => attempt(async () => download(`feedback-${format}.jsonl`, await exportFeedback(format), "application/jsonl"));
  return (
    <section aria-labelledby="export">
      <h2 id="export">For training</h2>
      <div class="row">
        {Formats.map(([format, note, label]) => <button key={format} type="button" title={note} onClick={() => save(format)}><Icon name="download" />{note} ({label})</button>)}
        <span class="grow" />
        {sure
          ? <><span>Delete all of it for good?</span><button type="button" onClick={() => setSure(false)}>Keep</button>
            <button type="button" class="danger" onClick={() => {
              setSure(false);
              void attempt(deleteAllFeedback).then(load);
            }}>Delete</button></>
          : <button type="button" class="danger quiet" disabled={entries.value.length === 0} onClick={() => setSure(true)}><Icon name="trash" />Delete all…</button>}
      </div>
    </section>
  );
}

const Kinds: [FeedbackKind | null, string][] = [[null, "All"], ["rating", "Thumbs"], ["comparison", "Comparisons"], ["edit", "Better answers"]];

function Entries() {
  return (
    <section aria-labelledby="entries">
      <h2 id="entries">Entries</h2>
      <fieldset class="segments"><legend>Show</legend>
        {Kinds.map(([value, label]) => (
          <label key={label}><input type="radio" name="kind" checked={kind.value === value} onChange={() => {
            kind.value = value;
            void load();
          }} /><span>{label}</span></label>
        ))}
      </fieldset>
      <ul class="feedback-list">{entries.value.map(entry => <Entry key={entry.id} entry={entry} />)}</ul>
      {more.value !== null && <button type="button" onClick={loadMore}>Show more</button>}
    </section>
  );
}

function Entry({ entry }: { entry: Feedback }) {
  const asked = entry.prompt.findLast(message => message.role === "user")?.content ?? "";
  return (
    <li class="feedback-entry">
      <header class="row">
        <Icon name={entry.kind === "rating" ? (entry.rating === "up" ? "thumbUp" : "thumbDown") : entry.kind === "comparison" ? "compare" : "edit"} />
        <strong>{titleOf(entry)}</strong><small>{entry.model} · {dateAndTime(entry.created_at)}</small><span class="grow" />
        <IconButton icon="trash" label="Delete this entry" onClick={() => attempt(async () => {
          await deleteFeedback(entry.id);
          await load();
        })} />
      </header>
      {entry.reason && <p dir="auto">“{entry.reason}”</p>}
      <details><summary><Icon name="right" /><span class="clip" dir="auto">{asked}</span></summary>
        <dl>
          {entry.prompt.map((message, index) => <><dt key={index}>{message.role}</dt><dd dir="auto">{message.content}</dd></>)}
          {textsOf(entry).map(([name, text]) => <><dt key={name}>{name}</dt><dd dir="auto">{text}</dd></>)}
        </dl>
      </details>
    </li>
  );
}

function titleOf(entry: Feedback): string {
  switch (entry.kind) {
    case "rating": return entry.rating === "up" ? "Good reply" : "Bad reply";
    case "comparison": return "One reply was better";
    case "edit": return "A better answer";
  }
}

function textsOf({ reply, chosen, rejected, ideal }: Feedback): [string, string][] {
  const texts: [string, string | null | undefined][] = [["reply", reply?.content], ["better reply", chosen?.content], ["other reply", rejected?.content], ["better answer", ideal]];
  return texts.filter((pair): pair is [string, string] => typeof pair[1] === "string");
}
