import { signal } from "@preact/signals";
import { deleteFeedback, listFeedback, sendFeedback } from "../api/feedback.ts";

export type Rating = "up" | "down";

interface Given {
  id: string;
  rating: Rating;
  reason: string;
}

const PageSize = 100;
/** Older ratings than these are on the server, and not shown under their replies. */
const MostPages = 10;

const given = signal<ReadonlyMap<string, Given>>(new Map());
let loading: Promise<void> | null = null;

export function ratingOf(item: string): Given | null {
  loading ??= load().catch(() => undefined);
  return given.value.get(item) ?? null;
}

export async function rate(item: string, rating: Rating, reason: string): Promise<void> {
  const { id } = await sendFeedback({ kind: "rating", item_id: item, rating, ...(reason === "" ? {} : { reason }) });
  given.value = new Map([...given.peek(), [item, { id, rating, reason }]]);
}

export async function takeBack(item: string): Promise<void> {
  const known = given.peek().get(item);
  if (!known)
    return;
  await deleteFeedback(known.id);
  given.value = new Map([...given.peek()].filter(([other]) => other !== item));
}

async function load(): Promise<void> {
  let after: string | null = null;
  for (let page = 0; page < MostPages; page++) {
    const { data, has_more, last_id } = await listFeedback("rating", after, PageSize);
    const read = data.flatMap(one => one.reply?.item_id && one.rating ? [[one.reply.item_id, { id: one.id, rating: one.rating, reason: one.reason ?? "" }] as const] : []);
    // What was rated since this page was opened is newer than what the list says.
    given.value = new Map([...read, ...given.peek()]);
    if (!has_more || last_id === null)
      return;
    after = last_id;
  }
}
