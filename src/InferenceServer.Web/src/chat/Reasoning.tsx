import { duration } from "../ui/format.ts";
import { Icon } from "../ui/Icon.tsx";
import { Markdown } from "../markdown/Markdown.tsx";

interface Props {
  text: string;
  /** Milliseconds; null where nobody measured. */
  time: number | null;
  live: boolean;
}

/** What the model thought before it replied: folded, with the time it took. */
export function Reasoning({ text, time, live }: Props) {
  const took = time === null || time < 50 ? "" : ` for ${duration(time)}`;
  return (
    <details class="reasoning">
      <summary><Icon name="right" /><span>{live ? `Thinking${took}…` : `Thought${took}`}</span></summary>
      <Markdown text={text} grows={live} />
    </details>
  );
}
