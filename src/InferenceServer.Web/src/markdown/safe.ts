import DOMPurify from "dompurify";
import { Attributes, keepAllowed, safeLink, Tags } from "./allowed.ts";

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

/**
 * The elements of untrusted HTML that only say how text looks. The list of what is allowed is gone through twice: as text, since the browser reports what
 * a parsed handler or style would violate, even in a document that is never shown; and in what was parsed.
 */
export function sanitize(html: string): DocumentFragment {
  return purifier.sanitize(keepAllowed(html), { ALLOWED_TAGS: [...Tags], ALLOWED_ATTR: [...Attributes], ALLOW_DATA_ATTR: false, ALLOW_ARIA_ATTR: false, RETURN_DOM_FRAGMENT: true });
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
