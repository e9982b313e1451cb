import { useState } from "preact/hooks";
import { explain } from "../api/client.ts";
import type { CallItem } from "../api/types.ts";
import { CodeBlock } from "../markdown/CodeBlock.tsx";
import { Icon } from "../ui/Icon.tsx";
import { pretty } from "./json.ts";

interface Props {
  call: CallItem;
  /** What the function returned; null as long as nobody said. */
  output: string | null;
  live: boolean;
  onAnswer: (output: string) => Promise<void>;
}

/** A function that the model wants called, with its arguments and its result. The page runs nothing: the user says what came of it. */
export function ToolCall({ call, output, live, onAnswer }: Props) {
  const [result, setResult] = useState("");
  const [error, setError] = useState<string | null>(null);
  const submit = (event: Event) => {
    event.preventDefault();
    onAnswer(result).catch((failure: unknown) => setError(explain(failure)));
  };
  return (
    <section class="tool-call" aria-label={`Call of ${call.name}`}>
      <header><Icon name="tool" /><span>{live ? "Calling" : "Call of"} <code dir="auto">{call.name}</code></span></header>
      <CodeBlock text={pretty(call.arguments) ?? call.arguments} language="json" />
      {output !== null && (
        <details>
          <summary><Icon name="right" />Result</summary>
          <CodeBlock text={pretty(output) ?? output} language={pretty(output) === null ? "" : "json"} />
        </details>
      )}
      {output === null && !live && (
        <form onSubmit={submit}>
          <label>What did it return?
            <textarea rows={2} value={result} onInput={event => setResult(event.currentTarget.value)} placeholder="Run the function yourself and put its result here" dir="auto" />
          </label>
          {error !== null && <p class="error">{error}</p>}
          <button type="submit" disabled={result.trim() === ""}>Send the result</button>
        </form>
      )}
    </section>
  );
}
