import { useEffect, useRef, useState } from "preact/hooks";
import { CopyButton } from "../ui/CopyButton.tsx";
import { Icon } from "../ui/Icon.tsx";
import { CodeLines } from "./codeLines.ts";

interface Props {
  text: string;
  language: string;
}

export function CodeBlock({ text, language }: Props) {
  const code = useRef<HTMLElement>(null);
  const lines = useRef<CodeLines>(null);
  const [wraps, setWraps] = useState(false);
  useEffect(() => {
    if (code.current)
      lines.current ??= new CodeLines(code.current);
    lines.current?.show(text, language);
  }, [text, language]);
  return (
    <div class="code-block" dir="ltr">
      <div class="code-head">
        <span class="code-language">{language || "text"}</span>
        <button type="button" class="quiet small" aria-pressed={wraps} onClick={() => setWraps(!wraps)} title="Break long lines">
          <Icon name="wrap" />Wrap
        </button>
        <CopyButton text={() => text} label="Copy code" short="Copy" />
      </div>
      <pre class={wraps ? "wraps" : ""} tabIndex={0} role="group" aria-label={`Code${language ? ` in ${language}` : ""}`}><code ref={code} /></pre>
    </div>
  );
}
