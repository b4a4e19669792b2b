/** Colours of terminals in lines of log: escape sequences become classes, never markup. */

export interface Piece {
  text: string;
  /** Classes, such as `fg1 bold`; empty for plain text. */
  style: string;
}

// CSI sequences, OSC sequences (titles, links) and other escapes; only SGR (`m`) means something here.
// eslint-disable-next-line no-control-regex
const ESCAPE = /\x1b(?:\[([0-9;:?<=>]*)([@-~])|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])/g;
// eslint-disable-next-line no-control-regex
const CONTROL = /[\x00-\x08\x0b-\x1f\x7f]/g;

interface State {
  fg: string;
  bg: string;
  bold: boolean;
  dim: boolean;
  italic: boolean;
  underline: boolean;
}

const plain = (): State => ({ fg: "", bg: "", bold: false, dim: false, italic: false, underline: false });

/** Cuts a line into pieces of one style each. Colours outside the sixteen of terminals are left out. */
export function pieces(line: string): Piece[] {
  if (!line.includes("\x1b")) return [{ text: clean(line), style: "" }];
  const out: Piece[] = [];
  let state = plain();
  let last = 0;
  const push = (text: string) => {
    const visible = clean(text);
    if (visible) out.push({ text: visible, style: classes(state) });
  };
  for (const match of line.matchAll(ESCAPE)) {
    push(line.slice(last, match.index));
    last = match.index + match[0].length;
    if (match[2] === "m") state = apply(state, match[1] ?? "");
  }
  push(line.slice(last));
  return out;
}

/** The text of a line without its colours: what is searched. */
export function text(line: string): string {
  return clean(line.includes("\x1b") ? line.replace(ESCAPE, "") : line);
}

function clean(text: string): string {
  // A progress bar overwrites its line again and again: the last state is what a terminal shows.
  const trimmed = text.endsWith("\r") ? text.slice(0, -1) : text;
  const shown = trimmed.includes("\r") ? trimmed.slice(trimmed.lastIndexOf("\r") + 1) : trimmed;
  return shown.replace(CONTROL, "");
}

function classes(state: State): string {
  const names = [state.fg, state.bg];
  if (state.bold) names.push("bold");
  if (state.dim) names.push("dim");
  if (state.italic) names.push("italic");
  if (state.underline) names.push("underline");
  return names.filter(Boolean).join(" ");
}

function apply(before: State, codes: string): State {
  const state = { ...before };
  const list = codes.split(/[;:]/).map(Number);
  for (let i = 0; i < list.length; i += 1) {
    const code = list[i] ?? 0;
    if (code === 0) Object.assign(state, plain());
    else if (code === 1) state.bold = true;
    else if (code === 2) state.dim = true;
    else if (code === 3) state.italic = true;
    else if (code === 4) state.underline = true;
    else if (code === 22) state.bold = state.dim = false;
    else if (code === 23) state.italic = false;
    else if (code === 24) state.underline = false;
    else if (code >= 30 && code <= 37) state.fg = `fg${code - 30}`;
    else if (code === 39) state.fg = "";
    else if (code >= 40 && code <= 47) state.bg = `bg${code - 40}`;
    else if (code === 49) state.bg = "";
    else if (code >= 90 && code <= 97) state.fg = `fg${code - 82}`;
    else if (code >= 100 && code <= 107) state.bg = `bg${code - 92}`;
    else if (code === 38 || code === 48) {
      const indexed = list[i + 1] === 5;
      const colour = list[i + 2] ?? 0;
      if (indexed && colour < 16) state[code === 38 ? "fg" : "bg"] = `${code === 38 ? "fg" : "bg"}${colour}`;
      i += indexed ? 2 : 4;
    }
  }
  return state;
}
