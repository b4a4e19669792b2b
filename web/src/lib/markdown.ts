/** The part of Markdown that descriptions use, as a tree: what shows it makes elements of it, never HTML out of text. */

export type Inline =
  | { kind: "text"; text: string }
  | { kind: "code"; text: string }
  | { kind: "strong"; inner: Inline[] }
  | { kind: "em"; inner: Inline[] }
  | { kind: "link"; href: string; inner: Inline[] };

export type Block =
  | { kind: "heading"; level: number; inner: Inline[] }
  | { kind: "paragraph"; inner: Inline[] }
  | { kind: "quote"; inner: Inline[] }
  | { kind: "list"; ordered: boolean; items: Inline[][] }
  | { kind: "code"; text: string }
  | { kind: "rule" };

export function markdown(source: string): Block[] {
  const blocks: Block[] = [];
  const lines = source.split(/\r?\n/);
  let paragraph: string[] = [];
  const close = () => {
    if (paragraph.length > 0) blocks.push({ kind: "paragraph", inner: inline(paragraph.join("\n")) });
    paragraph = [];
  };
  for (let i = 0; i < lines.length; i += 1) {
    const line = lines[i] ?? "";
    const heading = /^(#{1,6})\s+(.*?)\s*#*$/.exec(line);
    const item = /^\s*(?:[-*+]|(\d{1,9})[.)])\s+(.*)$/.exec(line);
    const fence = /^\s*(```+|~~~+)/.exec(line)?.[1];
    if (fence) {
      close();
      const text: string[] = [];
      for (i += 1; i < lines.length && !(lines[i] ?? "").trim().startsWith(fence); i += 1) text.push(lines[i] ?? "");
      blocks.push({ kind: "code", text: text.join("\n") });
    } else if (/^\s*([-*_])(\s*\1){2,}\s*$/.test(line)) {
      close();
      blocks.push({ kind: "rule" });
    } else if (heading) {
      close();
      blocks.push({ kind: "heading", level: heading[1]?.length ?? 1, inner: inline(heading[2] ?? "") });
    } else if (item) {
      const ordered = item[1] !== undefined;
      const last = blocks.at(-1);
      const goesOn = paragraph.length === 0 && last?.kind === "list" && last.ordered === ordered;
      close();
      if (goesOn) last.items.push(inline(item[2] ?? ""));
      else blocks.push({ kind: "list", ordered, items: [inline(item[2] ?? "")] });
    } else if (line.startsWith(">")) {
      close();
      const quoted = [line.replace(/^>\s?/, "")];
      while ((lines[i + 1] ?? "").startsWith(">")) quoted.push((lines[(i += 1)] ?? "").replace(/^>\s?/, ""));
      blocks.push({ kind: "quote", inner: inline(quoted.join("\n")) });
    } else if (line.trim() === "") close();
    else paragraph.push(line.trimStart());
  }
  close();
  return blocks;
}

const MARKS = /(`+)(.+?)\1|\*\*(\S(?:.*?\S)?)\*\*|\*([^\s*](?:[^*]*[^\s*])?)\*|(?<!\w)_([^\s_](?:[^_]*[^\s_])?)_(?!\w)|\[([^\]\n]+)\]\(([^()\s]+)\)|(https?:\/\/[^\s<>()]*[^\s<>().,;:!?])/s;

function inline(text: string): Inline[] {
  const out: Inline[] = [];
  let rest = text;
  for (let match = MARKS.exec(rest); match; match = MARKS.exec(rest)) {
    if (match.index > 0) out.push({ kind: "text", text: rest.slice(0, match.index) });
    const [whole, , code, strong, star, under, label, target, bare] = match;
    if (code !== undefined) out.push({ kind: "code", text: code.trim() || code });
    else if (strong !== undefined) out.push({ kind: "strong", inner: inline(strong) });
    else if (star !== undefined || under !== undefined) out.push({ kind: "em", inner: inline(star ?? under ?? "") });
    else if (bare !== undefined) out.push({ kind: "link", href: bare, inner: [{ kind: "text", text: bare }] });
    else if (target !== undefined && /^https?:\/\//i.test(target)) out.push({ kind: "link", href: target, inner: inline(label ?? "") });
    // A link to anything but a web page stays the text that it is.
    else out.push({ kind: "text", text: whole });
    rest = rest.slice(match.index + whole.length);
  }
  if (rest) out.push({ kind: "text", text: rest });
  return out;
}
