// A lexer just good enough to blank what is not code: comments, strings, the text of templates, regular expressions.

/** `text` with those blanked, delimiters of strings kept; same length, same lines. */
export function maskCode(text: string): string {
  const masked = text.split("");
  const blank = (from: number, to: number) => {
    for (let at = from; at < to; at++) if (masked[at] !== "\n") masked[at] = " ";
  };
  /** How many braces are open inside each template placeholder that is open. */
  const placeholders: number[] = [];
  let at = 0;
  while (at < text.length) {
    const char = text[at]!;
    if (char === "`" || (char === "}" && placeholders.at(-1) === 0)) {
      if (char === "}") placeholders.pop();
      const end = endOfTemplateText(text, at + 1);
      blank(at + 1, end);
      if (text[end] === "$") placeholders.push(0);
      at = end + (text[end] === "$" ? 2 : 1);
      continue;
    }
    if (placeholders.length > 0 && char === "{") placeholders[placeholders.length - 1]!++;
    if (placeholders.length > 0 && char === "}") placeholders[placeholders.length - 1]!--;
    const end = endOfOpaque(text, at);
    if (end === undefined) at++;
    else {
      const kept = char === '"' || char === "'" ? 1 : 0;
      blank(at + kept, end - kept);
      at = end;
    }
  }
  return masked.join("");
}

/** Offset of the closing backquote, or of the `$` of a placeholder. */
function endOfTemplateText(text: string, from: number): number {
  for (let at = from; at < text.length; at++) {
    if (text[at] === "\\") at++;
    else if (text[at] === "`" || (text[at] === "$" && text[at + 1] === "{")) return at;
  }
  return text.length;
}

/** Offset after the comment, string or regular expression at `at`; `undefined` where none begins. */
function endOfOpaque(text: string, at: number): number | undefined {
  const char = text[at]!;
  if (text.startsWith("//", at)) return offsetOr(text.indexOf("\n", at), text.length);
  if (text.startsWith("/*", at)) return offsetOr(text.indexOf("*/", at + 2) + 2, text.length);
  if (char === '"' || char === "'") return endOfString(text, at);
  if (char === "/" && regexMayBegin(text, at)) return endOfRegex(text, at);
  return undefined;
}

function offsetOr(found: number, otherwise: number): number {
  return found < 2 ? otherwise : found;
}

function endOfString(text: string, from: number): number {
  for (let at = from + 1; at < text.length; at++) {
    if (text[at] === "\\") at++;
    else if (text[at] === text[from] || text[at] === "\n") return at + 1;
  }
  return text.length;
}

/** A slash after an operand divides; anywhere else it begins a regular expression. */
function regexMayBegin(text: string, at: number): boolean {
  const before = text.slice(Math.max(0, at - 40), at).trimEnd();
  return before === "" || /[(,=:[!&|?{};+\-*%<>~^]$/.test(before) ||
    /\b(return|typeof|case|of|in|do|else)$/.test(before);
}

function endOfRegex(text: string, from: number): number {
  let inClass = false;
  for (let at = from + 1; at < text.length; at++) {
    const char = text[at]!;
    if (char === "\\") at++;
    else if (char === "[") inClass = true;
    else if (char === "]") inClass = false;
    else if (char === "\n" || (char === "/" && !inClass)) return at + 1;
  }
  return text.length;
}
