import { useId, useState } from "preact/hooks";
import { explain } from "../api/client.ts";
import { announce } from "../ui/announce.tsx";
import { IconButton } from "../ui/IconButton.tsx";
import { rate, ratingOf, takeBack, type Rating } from "./ratings.ts";

const Reasons: Record<Rating, string[]> = {
  up: ["Correct", "Clear", "Just right in length", "Well written"],
  down: ["Not true", "Not what I asked", "Too long", "Too short", "Should not have refused", "Badly written"],
};

/** Thumbs for a reply. The rating is kept at once; a reason may follow. */
export function RateButtons({ item }: { item: string }) {
  const given = ratingOf(item);
  const [asking, setAsking] = useState(false);
  const [error, setError] = useState<string | null>(null);
  const give = async (rating: Rating) => {
    setError(null);
    try {
      if (given?.rating === rating) {
        await takeBack(item);
        setAsking(false);
        announce("Rating taken back");
      } else {
        await rate(item, rating, "");
        setAsking(true);
        announce("Thank you. You can add a reason.");
      }
    } catch (failure) {
      setError(explain(failure));
    }
  };
  return (
    <span class="rate">
      <IconButton icon="thumbUp" label="Good reply" aria-pressed={given?.rating === "up"} onClick={() => give("up")} />
      <IconButton icon="thumbDown" label="Bad reply" aria-pressed={given?.rating === "down"} onClick={() => give("down")} />
      {error !== null && <span class="error" role="alert">{error}</span>}
      {asking && given && <ReasonForm item={item} rating={given.rating} onDone={() => setAsking(false)} onError={setError} />}
    </span>
  );
}

interface ReasonProps {
  item: string;
  rating: Rating;
  onDone: () => void;
  onError: (message: string) => void;
}

function ReasonForm({ item, rating, onDone, onError }: ReasonProps) {
  const [reason, setReason] = useState("");
  const id = useId();
  const submit = (words: string) => {
    rate(item, rating, words).then(onDone, (failure: unknown) => onError(explain(failure)));
  };
  return (
    <form class="reason" onSubmit={event => {
      event.preventDefault();
      submit(reason.trim());
    }} onKeyDown={event => event.key === "Escape" && onDone()}>
      <label for={id}>{rating === "up" ? "What was good about it?" : "What was wrong with it?"}</label>
      <div class="chips">{Reasons[rating].map(words => <button key={words} type="button" onClick={() => submit(words)}>{words}</button>)}</div>
      <input id={id} value={reason} maxLength={2000} placeholder="In your own words" dir="auto" onInput={event => setReason(event.currentTarget.value)} />
      <div class="row end">
        <button type="button" onClick={onDone}>Skip</button>
        <button type="submit" class="primary" disabled={reason.trim() === ""}>Send</button>
      </div>
    </form>
  );
}
