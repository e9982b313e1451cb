import type { ComponentChildren } from "preact";
import type { Token, Tokens } from "marked";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { memo } from "../ui/memo.ts";
import { safeLink } from "./allowed.ts";
import { BlockReader, blockHtml, type Piece } from "./blocks.ts";
import { CodeBlock } from "./CodeBlock.tsx";
import type { MathToken } from "./math.ts";
import { MathView } from "./MathView.tsx";
import { decodeReferences, sanitize } from "./safe.ts";

interface Props {
  text: string;
  /** The text is still growing. */
  grows?: boolean;
}

/** A growing text is parsed again after so many times what that took the last time: it never takes more than a share of the frames. */
const PauseTimes = 3;
/** What takes less than this is done in every frame. */
const QuickMs = 4;

/** Markdown as elements. Text is never taken for HTML, save for the HTML that Markdown allows, which is sanitized. */
export const Markdown = memo(function Markdown({ text, grows = false }: Props) {
  const pieces = usePieces(text, grows);
  const joined = useJoining(pieces.length, grows);
  return <div class="markdown" dir="auto">{pieces.slice(0, joined).map((piece, index) => <PieceView key={index} piece={piece} />)}</div>;
});

/** How many pieces to show: all of a text that grows; of one that is there already a few at first, and more of them in tasks of their own. */
function useJoining(total: number, grows: boolean): number {
  const [joined, setJoined] = useState(grows ? Infinity : 2);
  useEffect(() => {
    if (joined >= total)
      return;
    const timer = setTimeout(() => setJoined(joined + 2));
    return () => clearTimeout(timer);
  }, [joined, total]);
  return joined;
}

function usePieces(text: string, grows: boolean): Piece[] {
  const reader = useRef<BlockReader>(null);
  reader.current ??= new BlockReader();
  const last = useRef({ pieces: [] as Piece[], begun: 0, took: 0 });
  const [, lookAgain] = useState({});
  const begun = performance.now();
  const wait = grows && last.current.took > QuickMs ? last.current.begun + (1 + PauseTimes) * last.current.took - begun : 0;
  const waits = wait > 0;
  if (!waits)
    last.current = { pieces: reader.current.read(text, !grows), begun, took: 0 };
  useLayoutEffect(() => {
    if (!waits)
      last.current.took = performance.now() - last.current.begun;
  });
  useEffect(() => {
    if (!waits)
      return;
    const timer = setTimeout(() => lookAgain({}), wait);
    return () => clearTimeout(timer);
  }, [text, waits]);
  return last.current.pieces;
}

const PieceView = memo(function PieceView({ piece }: { piece: Piece }) {
  return <div class="piece">{piece.map((token, index) => <Block key={index} token={token} />)}</div>;
});

const Block = memo(function Block({ token }: { token: Token }) {
  // HTML inside a line may open what other tokens of the line are in: the whole block is HTML then.
  if (token.type === "html" || (token.type !== "code" && holdsHtml(token)))
    return <SafeHtml html={blockHtml(token)} />;
  return <>{toElement(token)}</>;
});

function SafeHtml({ html }: { html: string }) {
  const place = useRef<HTMLDivElement>(null);
  useEffect(() => place.current?.replaceChildren(sanitize(html)), [html]);
  return <div ref={place} class="html" />;
}

function holdsHtml(token: Token): boolean {
  if (token.type === "html")
    return true;
  const generic = token as Tokens.Generic;
  if (generic.tokens?.some(holdsHtml) || (generic.items as Token[] | undefined)?.some(holdsHtml))
    return true;
  if (token.type !== "table")
    return false;
  const table = token as Tokens.Table;
  return [table.header, ...table.rows].some(row => row.some(cell => cell.tokens.some(holdsHtml)));
}

const toElements = (tokens: Token[] | undefined): ComponentChildren => tokens?.map(toElement);

function toElement(token: Token): ComponentChildren {
  switch (token.type) {
    case "space": case "def": return null;
    case "hr": return <hr />;
    case "br": return <br />;
    case "heading": return <Heading token={token as Tokens.Heading} />;
    case "paragraph": return <p>{toElements(token.tokens)}</p>;
    case "blockquote": return <blockquote>{toElements(token.tokens)}</blockquote>;
    case "code": return <CodeBlock text={(token as Tokens.Code).text} language={/^\S+/.exec((token as Tokens.Code).lang ?? "")?.[0] ?? ""} />;
    case "list": return <List token={token as Tokens.List} />;
    case "table": return <Table token={token as Tokens.Table} />;
    case "strong": return <strong>{toElements(token.tokens)}</strong>;
    case "em": return <em>{toElements(token.tokens)}</em>;
    case "del": return <del>{toElements(token.tokens)}</del>;
    case "codespan": return <code>{(token as Tokens.Codespan).text}</code>;
    case "link": return <Link token={token as Tokens.Link} />;
    case "image": return <Image token={token as Tokens.Image} />;
    case "math": return <MathView tex={(token as MathToken).tex} display={(token as MathToken).display} />;
    case "checkbox": return null;
    case "text": return token.tokens ? toElements(token.tokens) : decodeReferences((token as Tokens.Text).text);
    case "escape": return (token as Tokens.Escape).text;
    default: return token.raw;
  }
}

// A reply may begin at any level and skip some, which would make the page's outline wrong: all of its headings stand below the turn's own, and differ in looks.
function Heading({ token }: { token: Tokens.Heading }) {
  return <h3 class={`heading-${token.depth}`}>{toElements(token.tokens)}</h3>;
}

function List({ token }: { token: Tokens.List }) {
  const items = token.items.map((item, index) => <ListItem key={index} item={item} />);
  return token.ordered ? <ol start={token.start === "" ? 1 : token.start}>{items}</ol> : <ul>{items}</ul>;
}

const ListItem = memo(function ListItem({ item }: { item: Tokens.ListItem }) {
  return (
    <li class={item.task ? "task" : undefined}>
      {item.task && <input type="checkbox" checked={item.checked ?? false} disabled aria-label={item.checked ? "Done" : "To do"} />}
      {toElements(item.tokens)}
    </li>
  );
});

function Table({ token }: { token: Tokens.Table }) {
  return (
    <div class="table" tabIndex={0} role="region" aria-label="Table">
      <table>
        <thead><Row cells={token.header} heads /></thead>
        <tbody>{token.rows.map((cells, index) => <Row key={index} cells={cells} />)}</tbody>
      </table>
    </div>
  );
}

const Row = memo(function Row({ cells, heads = false }: { cells: Tokens.TableCell[]; heads?: boolean }) {
  const Tag = heads ? "th" : "td";
  return <tr>{cells.map((cell, index) => <Tag key={index} class={cell.align ? `align-${cell.align}` : undefined} scope={heads ? "col" : undefined}>{toElements(cell.tokens)}</Tag>)}</tr>;
});

function Link({ token }: { token: Tokens.Link }) {
  const href = safeLink(token.href);
  const content = toElements(token.tokens);
  return href === null ? <span>{content}</span> : <a href={href} title={token.title ?? undefined} target="_blank" rel="noopener noreferrer nofollow">{content}</a>;
}

/** Pictures inside the text are shown. Others are links: the page asks nobody else for anything on its own. */
function Image({ token }: { token: Tokens.Image }) {
  if (/^data:image\/(?:png|jpeg|gif|webp);base64,/i.test(token.href))
    return <img src={token.href} alt={token.text} />;
  const href = safeLink(token.href);
  const words = token.text || "image";
  return href === null ? <span>{words}</span> : <a href={href} target="_blank" rel="noopener noreferrer nofollow">{words} (image)</a>;
}
