import { signal, computed, effect } from "@preact/signals";
import { useEffect, useState } from "preact/hooks";
import { explain, fetchJson } from "../api/client.ts";
import { key } from "../api/key.ts";
import { CodeBlock } from "../markdown/CodeBlock.tsx";
import { Markdown } from "../markdown/Markdown.tsx";
import { model } from "../store/models.ts";
import { CopyButton } from "../ui/CopyButton.tsx";
import { duration } from "../ui/format.ts";
import { Icon } from "../ui/Icon.tsx";
import { PageHead } from "../ui/PageHead.tsx";
import { examples, type Example } from "./examples.ts";
import { answer, send, stop } from "./exchange.ts";
import { ApiDescription, type Endpoint } from "./openapi.ts";
import { toCSharp, toCurl, toPython, type Call } from "./snippets.ts";

const description = signal<ApiDescription | null>(null);
const loadError = signal<string | null>(null);
const chosen = signal("POST /v1/chat/completions");
const body = signal("");
const parameters = signal<Record<string, string>>({});

const endpoint = computed(() => description.value?.endpoints.find(one => one.id === chosen.value) ?? null);

const path = computed(() => {
  const { value } = endpoint;
  if (!value)
    return "";
  const filled = value.path.replace(/\{(\w+)\}/g, (_, name: string) => encodeURIComponent(parameters.value[name] ?? ""));
  const query = value.parameters.filter(one => one.in === "query" && parameters.value[one.name]).map(one => `${one.name}=${encodeURIComponent(parameters.value[one.name] ?? "")}`);
  return query.length === 0 ? filled : `${filled}?${query.join("&")}`;
});

const bodyError = computed(() => {
  if (endpoint.value?.body == null)
    return null;
  try {
    JSON.parse(body.value);
    return null;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
});

const examplesOf = (of: Endpoint): Example[] => examples[of.id] ?? (of.body ? [{ name: "What it needs", body: () => of.sample }] : []);

const format = (value: unknown) => JSON.stringify(value, null, 2);

// A chosen endpoint begins with its first example.
effect(() => {
  const { value } = endpoint;
  const name = model.value?.id;
  if (!value || name === undefined)
    return;
  parameters.value = {};
  const [first] = examplesOf(value);
  body.value = first ? format(first.body(name)) : "";
});

export function PlaygroundPage() {
  useEffect(() => {
    if (description.value === null)
      fetchJson<ConstructorParameters<typeof ApiDescription>[0]>("/openapi/v1.json").then(
        document => description.value = new ApiDescription(document), (error: unknown) => loadError.value = explain(error));
  }, []);
  return (
    <main class="page-main playground" id="main" tabIndex={0}>
      <PageHead title="Try the API" />
      {loadError.value !== null && <p class="notice failed" role="alert">{loadError.value}</p>}
      {endpoint.value && <div class="playground-columns"><RequestForm endpoint={endpoint.value} /><AnswerView /></div>}
    </main>
  );
}

function RequestForm({ endpoint: of }: { endpoint: Endpoint }) {
  const running = answer.value?.state === "running";
  const submit = (event: Event) => {
    event.preventDefault();
    void send(path.value, of.method, of.body ? body.value : null);
  };
  const groups = Map.groupBy(description.value?.endpoints ?? [], one => one.group);
  const name = model.value?.id ?? "";
  return (
    <form class="stack request" onSubmit={submit}>
      <label class="stack">Endpoint
        <select value={of.id} onChange={event => chosen.value = event.currentTarget.value}>
          {[...groups].map(([group, endpoints]) => (
            <optgroup key={group} label={group}>{endpoints.map(one => <option key={one.id} value={one.id}>{one.id}</option>)}</optgroup>
          ))}
        </select>
      </label>
      <p>{of.summary}</p>
      {of.parameters.length > 0 && (
        <fieldset class="parameters"><legend>Parameters</legend>
          {of.parameters.map(one => (
            <label key={one.name}><span><code>{one.name}</code>{one.in === "path" && " (needed)"}</span>
              <input value={parameters.value[one.name] ?? ""} placeholder={one.description} required={one.in === "path"} title={one.description}
                onInput={event => parameters.value = { ...parameters.value, [one.name]: event.currentTarget.value }} />
            </label>
          ))}
        </fieldset>
      )}
      {of.body && (
        <>
          <div class="chips" role="group" aria-label="Examples">
            {examplesOf(of).map(example => <button key={example.name} type="button" onClick={() => body.value = format(example.body(name))}>{example.name}</button>)}
          </div>
          <label class="stack code-field">Body
            <textarea rows={16} spellcheck={false} dir="ltr" value={body.value} aria-invalid={bodyError.value !== null} onInput={event => body.value = event.currentTarget.value}
              onKeyDown={event => {
                if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && bodyError.value === null)
                  submit(event);
              }} />
          </label>
          {bodyError.value !== null && <small class="error">The body is not JSON: {bodyError.value}</small>}
        </>
      )}
      <div class="row">
        {running
          ? <button type="button" onClick={stop}><Icon name="stop" />Stop</button>
          : <button type="submit" class="primary" disabled={bodyError.value !== null}>Send</button>}
        <span class="grow" />
        <Snippets of={of} />
      </div>
      {of.body && <Fields of={of} />}
    </form>
  );
}

function Snippets({ of }: { of: Endpoint }) {
  const call = (): Call => ({ url: `${location.origin}${path.value}`, method: of.method, body: of.body ? body.value : null, keyed: key.value !== "" });
  if (bodyError.value !== null)
    return null;
  return (
    <span class="row" role="group" aria-label="Copy as">
      <CopyButton text={() => toCurl(call())} label="Copy as curl" short="curl" />
      <CopyButton text={() => toPython(call())} label="Copy as Python" short="Python" />
      <CopyButton text={() => toCSharp(call())} label="Copy as C#" short="C#" />
    </span>
  );
}

function Fields({ of }: { of: Endpoint }) {
  return (
    <details class="fields"><summary><Icon name="right" />All fields of the body</summary>
      <dl>
        {(of.body ? description.value?.fields(of.body) ?? [] : []).map(field => (
          <div key={field.path}><dt><code>{field.path}</code><small>{field.type}{field.required && ", needed"}</small></dt><dd>{field.note}</dd></div>
        ))}
      </dl>
    </details>
  );
}

function AnswerView() {
  const { value } = answer;
  const [tab, setTab] = useState<"both" | "raw" | "text">("both");
  if (!value)
    return <section class="answer empty" aria-label="Answer"><p>The answer appears here: what comes over the wire, and what it says.</p></section>;
  return (
    <section class="answer" aria-label="Answer">
      <header class="row">
        <strong class={value.status >= 400 || value.state === "failed" ? "error" : ""}>{value.status > 0 ? `Status ${value.status}` : value.state === "running" ? "Waiting…" : "No answer"}</strong>
        <small>{duration(value.milliseconds)}{value.firstByteMs !== null && `, first byte after ${duration(value.firstByteMs)}`}</small>
        <span class="grow" />
        <fieldset class="segments"><legend class="visually-hidden">Show</legend>
          {([["both", "Both"], ["raw", "Raw"], ["text", "Rendered"]] as const).map(([name, label]) => (
            <label key={name}><input type="radio" name="tab" checked={tab === name} onChange={() => setTab(name)} /><span>{label}</span></label>
          ))}
        </fieldset>
      </header>
      {value.error !== null && <p class="notice failed" role="alert">{value.error}</p>}
      <div class={`answer-panes ${tab}`}>
        {tab !== "text" && <div class="pane"><h2>Raw</h2><pre tabIndex={0} aria-label="Raw answer" dir="ltr">{value.raw}</pre></div>}
        {tab !== "raw" && <div class="pane"><h2>Rendered</h2><div class="rendered" tabIndex={0} role="region" aria-label="Rendered answer"><Markdown text={value.text} grows={value.state === "running"} /></div></div>}
      </div>
      <details><summary><Icon name="right" />Headers</summary><CodeBlock language="" text={value.headers.map(([name, text]) => `${name}: ${text}`).join("\n")} /></details>
    </section>
  );
}
