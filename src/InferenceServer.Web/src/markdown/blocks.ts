import { Lexer, Marked, type Token, type Tokens, type TokensList } from "marked";
import { mathExtension } from "./math.ts";

/** Blocks that are shown as one piece, so that a long text is a list of pieces and not of a thousand blocks. */
const PieceLength = 16;
/** How many blocks at the end may still change while text is added: a line that looks like a paragraph may prove to go on a list above it. */
const OpenBlocks = 2;

/** A list of more items is shown in parts of so many, each finished once the next has begun: else every token of a long list would cost the whole list. */
const ListPart = 32;

const markdown = new Marked({ gfm: true, breaks: true }, mathExtension);

/** A run of blocks that stays the same object as long as nothing in it changes. */
export type Piece = readonly Token[];

/**
 * Splits a growing Markdown text into blocks. Of a text that only grew, finished blocks are kept as they are and the rest alone is parsed;
 * of any other text all is parsed anew.
 */
export class BlockReader {
  #text = "";
  #parsed = 0;
  /** Pieces that are full and finished. */
  #pieces: Piece[] = [];
  /** Finished blocks after them, fewer than a piece. */
  #finished: Token[] = [];
  #open: Token[] = [];
  #links: TokensList["links"] = {};

  /** All pieces of the text, in order; a block keeps its place in them. What a definition at the end means for links far above it is seen when `isWhole`. */
  read(text: string, isWhole: boolean): Piece[] {
    if (!text.startsWith(this.#text))
      this.#reset();
    this.#text = text;
    const known = Object.keys(this.#links).length;
    const tokens = this.#lex(text.slice(this.#parsed)).flatMap(inParts);
    if (isWhole && this.#parsed > 0 && Object.keys(this.#links).length > known) {
      const links = this.#links;
      this.#reset();
      this.#links = links;
      return this.read(text, false);
    }
    this.#take(tokens);
    const rest = [...this.#finished, ...this.#open];
    const pieces = [...this.#pieces];
    for (let from = 0; from < rest.length; from += PieceLength)
      pieces.push(rest.slice(from, from + PieceLength));
    return pieces;
  }

  #take(tokens: Token[]): void {
    const solid = tokens.filter(token => token.type !== "space").length;
    let index = 0;
    for (let finishing = Math.max(0, solid - OpenBlocks); finishing > 0; index++) {
      const token = tokens[index];
      if (!token)
        break;
      this.#parsed += token.raw.length;
      if (token.type === "space")
        continue;
      finishing--;
      this.#finished.push(this.#known(token));
      if (this.#finished.length === PieceLength) {
        this.#pieces.push(this.#finished);
        this.#finished = [];
      }
    }
    this.#open = tokens.slice(index).filter(token => token.type !== "space").map(token => this.#known(token));
  }

  // The same block again is the same object, and so are the items and rows of one that only grew: what is on the screen for them stays.
  #known(token: Token): Token {
    const same = this.#open.find(open => open.raw === token.raw && open.type === token.type);
    if (same)
      return same;
    const before = this.#open.find(open => open.type === token.type && token.raw.startsWith(open.raw.slice(0, -1)));
    if (before)
      keepParts(before, token);
    return token;
  }

  #lex(text: string): Token[] {
    const lexer = new Lexer(markdown.defaults);
    lexer.tokens.links = this.#links;
    return lexer.lex(text);
  }

  #reset(): void {
    this.#text = "";
    this.#parsed = 0;
    this.#pieces = [];
    this.#finished = [];
    this.#open = [];
    this.#links = {};
  }
}

/** A long list as several lists, one after the other; any other block as it is. */
function inParts(token: Token): Token[] {
  if (!isList(token) || token.items.length <= ListPart || token.items.map(item => item.raw).join("") !== token.raw)
    return [token];
  const parts: Tokens.List[] = [];
  for (let from = 0; from < token.items.length; from += ListPart) {
    const items = token.items.slice(from, from + ListPart);
    parts.push({ ...token, items, raw: items.map(item => item.raw).join(""), start: token.start === "" ? "" : token.start + from });
  }
  return parts;
}

function keepParts(before: Token, after: Token): void {
  if (isList(before) && isList(after))
    after.items.forEach((item, index) => {
      const known = before.items[index];
      if (known?.raw === item.raw && known.loose === item.loose)
        after.items[index] = known;
    });
  else if (isTable(before) && isTable(after))
    after.rows.forEach((row, index) => {
      const known = before.rows[index];
      if (known && row.every((cell, column) => cell.text === known[column]?.text))
        after.rows[index] = known;
    });
}

const isList = (token: Token): token is Tokens.List => token.type === "list";
const isTable = (token: Token): token is Tokens.Table => token.type === "table";

/** The HTML of one block, for what only HTML can say. It is not safe yet. */
export const blockHtml = (token: Token): string => markdown.parser([token]);
