/** Which page is shown: the URL's path and query, without a library. Links are plain links. */
export interface Route {
  page: "overview" | "tasks" | "task" | "workers" | "worker" | "nowhere";
  id: string;
}

export function parse(path: string): Route {
  const [page, id, ...rest] = path.split("/").filter(Boolean).map(safeDecode);
  if (rest.length > 0) return { page: "nowhere", id: "" };
  if (page === undefined) return { page: "overview", id: "" };
  if (page === "tasks") return id === undefined ? { page: "tasks", id: "" } : { page: "task", id };
  if (page === "workers") return id === undefined ? { page: "workers", id: "" } : { page: "worker", id };
  return { page: "nowhere", id: "" };
}

function safeDecode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

class Router {
  path = $state(typeof location === "undefined" ? "/" : location.pathname);
  query = $state.raw(new URLSearchParams(typeof location === "undefined" ? "" : location.search));
  route = $derived(parse(this.path));

  start(): void {
    addEventListener("popstate", () => this.#read());
    document.addEventListener("click", (event) => {
      if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
      const link = (event.target as Element).closest?.("a[href]");
      if (!(link instanceof HTMLAnchorElement) || link.target || link.origin !== location.origin) return;
      if (parse(link.pathname).page === "nowhere" || link.hash) return;
      event.preventDefault();
      this.go(link.pathname + link.search);
    });
  }

  go(to: string): void {
    if (to !== location.pathname + location.search) history.pushState(null, "", to);
    const before = this.path;
    this.#read();
    if (before !== this.path) {
      scrollTo(0, 0);
      // Who listens to the page hears that it is another one.
      requestAnimationFrame(() => document.querySelector<HTMLElement>("h1")?.focus({ preventScroll: true }));
    }
  }

  /** Changes the query in place: no step of the browser's history. */
  set(query: Record<string, string>): void {
    const next = new URLSearchParams(Object.entries(query).filter(([, value]) => value !== ""));
    const text = next.toString();
    history.replaceState(null, "", location.pathname + (text ? `?${text}` : ""));
    this.query = next;
  }

  #read(): void {
    this.path = location.pathname;
    this.query = new URLSearchParams(location.search);
  }
}

export const router = new Router();
