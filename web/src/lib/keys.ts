/** Keyboard shortcuts. A key pressed while something is typed is never one. */
export interface Shortcut {
  /** `n`, `?`, or two keys one after the other as `g t`. */
  keys: string;
  does: string;
  run: () => void;
}

/** Listens until the function that it returns is called. */
export function listen(shortcuts: () => Shortcut[]): () => void {
  let first = "";
  let timer: ReturnType<typeof setTimeout> | undefined;
  const pressed = (event: KeyboardEvent) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented || typing(event.target)) return;
    if (document.querySelector("dialog[open]")) return;
    const keys = first ? `${first} ${event.key}` : event.key;
    clearTimeout(timer);
    first = "";
    const all = shortcuts();
    const found = all.find((one) => one.keys === keys);
    if (found) {
      event.preventDefault();
      found.run();
    } else if (all.some((one) => one.keys.startsWith(`${event.key} `))) {
      first = event.key;
      timer = setTimeout(() => (first = ""), 1_200);
    }
  };
  addEventListener("keydown", pressed);
  return () => removeEventListener("keydown", pressed);
}

function typing(target: EventTarget | null): boolean {
  return target instanceof HTMLElement && (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName));
}
