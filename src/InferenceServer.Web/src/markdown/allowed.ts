export const Tags: ReadonlySet<string> = new Set(["a", "abbr", "b", "bdi", "bdo", "blockquote", "br", "caption", "cite", "code", "dd", "del", "details", "dfn", "div", "dl",
  "dt", "em", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "i", "ins", "kbd", "li", "mark", "ol", "p", "pre", "q", "rp", "rt", "ruby", "s", "samp", "small", "span",
  "strong", "sub", "summary", "sup", "table", "tbody", "td", "tfoot", "th", "thead", "tr", "u", "ul", "var", "wbr"]);

// No style, class, id or name: they reach into the page. No sources either: nothing is loaded for a reply.
export const Attributes: ReadonlySet<string> = new Set(["href", "title", "lang", "dir", "colspan", "rowspan", "start", "open", "scope"]);

/** The address where it may be followed; null for scripts and for what would stay on this page. */
export function safeLink(href: string): string | null {
  return /^(?:https?:\/\/|mailto:|tel:)/i.test(href.trim()) ? href.trim() : null;
}

/** HTML in which every tag that is not allowed stands as the text that it is, and allowed ones have allowed attributes only. */
export function keepAllowed(html: string): string {
  return html.replace(/<(\/?)([a-zA-Z][a-zA-Z0-9]*)((?:\s+(?:[^<>"']|"[^"<]*"|'[^'<]*')*)?)\/?>|<!--[^]*?-->|</g, (found, slash: string, name: string | undefined, rest: string) => {
    if (found.startsWith("<!--"))
      return "";
    const tag = name?.toLowerCase() ?? "";
    if (!Tags.has(tag))
      return found.replace("<", "&lt;");
    return slash ? `</${tag}>` : `<${tag}${attributesOf(rest)}>`;
  });
}

function attributesOf(text: string): string {
  let kept = "";
  for (const [, name = "", double, single, bare] of text.matchAll(/([a-zA-Z-]+)(?:\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'=<>`]+)))?/g)) {
    const value = double ?? single ?? bare ?? "";
    if (Attributes.has(name.toLowerCase()) && (name.toLowerCase() !== "href" || safeLink(value) !== null))
      kept += ` ${name.toLowerCase()}="${value.replaceAll("\"", "&quot;").replaceAll("<", "&lt;")}"`;
  }
  return kept;
}
