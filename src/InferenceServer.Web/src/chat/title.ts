const LongestTitle = 60;
const MostWords = 7;
/** Words that any text may share with any other. */
const CommonWords = new Set("about and are but can does for from has have how into not say that the their them they this was what when where which who why will with you your".split(" "));

/** The first words of what the user said: a title until there is a better one. */
export function firstWords(text: string, most = 42): string {
  const line = text.replace(/```[\s\S]*?```/g, " ").replace(/[#*_`>]+/g, " ").replace(/\s+/g, " ").trim() || text.replace(/\s+/g, " ").trim();
  if (line.length <= most)
    return line;
  const cut = line.slice(0, most + 1);
  const space = cut.lastIndexOf(" ");
  return `${cut.slice(0, space > most / 2 ? space : most).replace(/[\s,;:.!?-]+$/, "")}…`;
}

export const titlePrompt = (user: string, reply: string): string =>
  `Write a title of two to five words for this conversation. Answer with the title only.\n\nUser: ${user.slice(0, 600)}\nAssistant: ${reply.slice(0, 600)}`;

/** What the model answered, as a title; null where it is none, as small models' answers often are. */
export function acceptTitle(answer: string, user: string, reply: string): string | null {
  const lines = answer.trim().split("\n").map(line => line.trim()).filter(line => line !== "");
  if (lines.length !== 1)
    return null;
  const title = (lines[0] ?? "").replace(/^title\s*:\s*/i, "").replace(/^["'“«*#\s]+|["'”»*.\s]+$/g, "");
  const words = wordsOf(title);
  if (title.length < 3 || title.length > LongestTitle || title.split(/\s+/).length > MostWords || /[?!]|[.,;:] /.test(title))
    return null;
  // A title is about the conversation: most of its words come from there. And it is neither its question nor its answer again.
  const about = new Set([...wordsOf(`${user} ${reply}`)].map(stem));
  const shared = [...words].filter(word => about.has(stem(word))).length;
  const repeats = reply.toLowerCase().startsWith(title.toLowerCase()) || user.toLowerCase().startsWith(title.toLowerCase());
  return shared > 0 && shared * 2 >= words.size && !repeats ? title : null;
}

// Words of three letters and more carry the topic; in scripts without spaces a character does.
const wordsOf = (text: string): Set<string> =>
  new Set((text.toLowerCase().match(/\p{L}{3,}|[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Thai}]/gu) ?? []).filter(word => !CommonWords.has(word)));
const stem = (word: string): string => word.slice(0, 5);
