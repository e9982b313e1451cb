import assert from "node:assert/strict";
import { test } from "node:test";
import { BlockReader } from "../../../src/InferenceServer.Web/src/markdown/blocks.ts";

const text = `# Title

A paragraph with **bold** words,
and a second line.

- one
- two

  of two paragraphs

1. first
2. second

| a | b |
|---|---|
| 1 | 2 |

\`\`\`python
def f():

    return 1
\`\`\`

$$
x^2
$$

> quoted

The end, with \\(a + b\\) and [a link][l].

[l]: https://example.org
`;

const raws = (reader: BlockReader, whole: string) => reader.read(whole, true).flat().map(token => [token.type, token.raw.trim()]);

test("A text that comes letter by letter has the blocks of the whole text", () => {
  const grown = new BlockReader();
  for (let end = 1; end < text.length; end++)
    grown.read(text.slice(0, end), false);
  assert.deepEqual(raws(grown, text), raws(new BlockReader(), text));
});

test("Finished blocks stay the same objects while the text grows", () => {
  const reader = new BlockReader();
  const long = Array.from({ length: 100 }, (_, index) => `Paragraph ${index}.`).join("\n\n");
  const before = reader.read(long, false);
  const after = reader.read(`${long} More words.`, false);
  assert.equal(after.length, before.length);
  assert.ok(before.length > 3);
  for (let index = 0; index < before.length - 1; index++)
    assert.equal(after[index], before[index], `piece ${index} was made anew`);
  const [open, grown] = [before.at(-1) ?? [], after.at(-1) ?? []];
  assert.equal(grown[0], open[0]);
  assert.notEqual(grown.at(-1), open.at(-1));
});

test("A long list comes in parts that stay, and goes on counting", () => {
  const reader = new BlockReader();
  const lines = Array.from({ length: 300 }, (_, index) => `${index + 1}. item ${index + 1}`);
  let first: unknown;
  for (let count = 1; count <= lines.length; count++) {
    const [list] = reader.read(lines.slice(0, count).join("\n"), false).flat();
    if (count === 100)
      first = list;
    else if (count > 100)
      assert.equal(list, first);
  }
  const lists = reader.read(lines.join("\n"), true).flat() as { items: unknown[]; start: number }[];
  assert.equal(lists.flatMap(list => list.items).length, 300);
  assert.deepEqual(lists.map(list => list.start), lists.map((_, index) => 1 + lists.slice(0, index).flatMap(list => list.items).length));
  assert.deepEqual(raws(reader, lines.join("\n")), raws(new BlockReader(), lines.join("\n")));
});

test("Items and rows of a list or table that grows stay the same objects", () => {
  const reader = new BlockReader();
  const parts = () => reader.read(text, false).flat().map(token => (token as { items?: object[]; rows?: object[] }).items ?? (token as { rows?: object[] }).rows ?? []).find(list => list.length > 0) ?? [];
  let text = "- one\n- two\n- thr";
  let before = parts();
  text += "ee\n- four";
  assert.equal(parts()[0], before[0]);
  assert.equal(parts()[1], before[1]);
  assert.notEqual(parts()[2], before[2]);
  text = "| a |\n|---|\n| 1 |\n| 2 |";
  before = parts();
  text += "\n| 3 |";
  assert.equal(parts()[0], before[0]);
  assert.equal(parts().length, 3);
});

test("Another text is parsed anew", () => {
  const reader = new BlockReader();
  reader.read("One.\n\nTwo.\n\nThree.\n\nFour.", false);
  assert.deepEqual(raws(reader, "Five."), [["paragraph", "Five."]]);
});

test("A definition at the end reaches links far above it", () => {
  const reader = new BlockReader();
  const body = `See [the page][p].\n\n${"Words.\n\n".repeat(30)}`;
  reader.read(body, false);
  const tokens = reader.read(`${body}[p]: https://example.org/`, true).flat();
  assert.match(JSON.stringify(tokens[0]), /"type":"link".*https:\/\/example\.org\//);
});

test("Formulas are found, and prices are not", () => {
  const kinds = (markdown: string) => JSON.stringify(new BlockReader().read(markdown, true));
  for (const formula of ["$a+b$", "\\(a+b\\)", "$$a+b$$", "\\[a+b\\]", "so $x$."])
    assert.match(kinds(formula), /"type":"math"/, formula);
  for (const plain of ["It costs $5 and $6.", "From $ to $", "a $ b", "`$x$`", "US$10 or $20"])
    assert.doesNotMatch(kinds(plain), /"type":"math"/, plain);
});

test("A fence that is still open is code to the end", () => {
  const [token] = new BlockReader().read("```js\nlet a = 1;\n", false).flat();
  assert.equal(token?.type, "code");
});
