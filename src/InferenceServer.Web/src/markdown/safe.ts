import DOMPurify from "dompurify";

const Tags = ["a", "abbr", "b", "bdi", "bdo", "blockquote", "br", "caption", "cite", "code", "dd", "del", "details", "dfn", "div", "dl", "dt", "em", "h1", "h2",
  "h3", "h4", "h5", "h6", "hr", "i", "ins", "kbd", "li", "mark", "ol", "p", "pre", "q", "rp", "rt", "ruby", "s", "samp", "small", "span", "strong", "sub",
  "summary", "sup", "table", "tbody", "td", "tfoot", "th", "thead", "tr", "u", "ul", "var", "wbr"];
// No style, class, id or name: they reach into the page. No sources either: nothing is loaded for a reply.
const Attributes = ["href", "title", "lang", "dir", "colspan", "rowspan", "start", "open", "scope"];

const purifier = DOMPurify(window);
purifier.addHook("afterSanitizeAttributes", node => {
  if (node.tagName === "A") {
    const href = safeLink(node.getAttribute("href") ?? "");
    if (href === null) {
      node.removeAttribute("href");
      return;
    }
    node.setAttribute("target", "_blank");
    node.setAttribute("rel", "noopener noreferrer nofollow");
  }
});

/** The elements of untrusted HTML that only say how text looks. */
export function sanitize(html: string): DocumentFragment {
  return purifier.sanitize(html, { ALLOWED_TAGS: Tags, ALLOWED_ATTR: Attributes, ALLOW_DATA_ATTR: false, ALLOW_ARIA_ATTR: false, RETURN_DOM_FRAGMENT: true });
}

/** The address where it may be followed; null for scripts and for what would stay on this page. */
export function safeLink(href: string): string | null {
  return /^(?:https?:\/\/|mailto:|tel:)/i.test(href.trim()) ? href.trim() : null;
}

const decoder = document.createElement("textarea");

/** Text with its character references (&amp;amp; and the like) read. */
export function decodeReferences(text: string): string {
  if (!/&(?:#\d+|#x[\da-f]+|\w+);/i.test(text))
    return text;
  // What is inside a textarea is text: no tag in it is one.
  decoder.innerHTML = text.replaceAll("<", "&lt;");
  return decoder.value;
}
