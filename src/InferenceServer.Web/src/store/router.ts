import { signal } from "@preact/signals";

export type Route =
  | { page: "chat"; conversation: string | null }
  | { page: "status" | "playground" | "feedback" };

export const route = signal<Route>(parse(location.pathname));

export function parse(path: string): Route {
  const conversation = /^\/c\/([^/]+)\/?$/.exec(path)?.[1];
  if (conversation !== undefined)
    return { page: "chat", conversation: decodeURIComponent(conversation) };
  const page = /^\/(status|playground|feedback)\/?$/.exec(path)?.[1];
  return page === undefined ? { page: "chat", conversation: null } : { page: page as "status" | "playground" | "feedback" };
}

export const conversationPath = (id: string): string => `/c/${encodeURIComponent(id)}`;

export function navigate(path: string, replace = false): void {
  if (path === location.pathname)
    return;
  history[replace ? "replaceState" : "pushState"](null, "", path);
  route.value = parse(path);
}

addEventListener("popstate", () => {
  route.value = parse(location.pathname);
});

/** Follows links within the page without loading it anew. */
export function followLinks(event: MouseEvent): void {
  if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey)
    return;
  const link = (event.target as Element).closest?.("a[data-route]");
  if (link instanceof HTMLAnchorElement) {
    event.preventDefault();
    navigate(link.pathname);
  }
}
