// Lines as real files have them: short, empty, in many scripts, with odd characters, and long ones.

const PATTERNS: readonly ((index: number) => string)[] = [
  (index) => JSON.stringify({ order: index, item: "mill wheel", price: index * 3 }),
  () => "",
  () => " ",
  (index) => `Zeile ${index}: Größe, naïve café, Ελληνικά, 日本語, русский, עברית, हिन्दी`,
  (index) => `🏭🌊 ${index} 👩🏽‍🔧 e\u0301 \u200d`,
  (index) => `\t<script>alert(${index})</script> &amp; "quoted" \\ back \u0001 \u007f`,
  (index) => String(index),
  () => "\r",
  (index) => `${index} `.repeat(40),
];
/** Every so many lines one is long. */
const LONG_EVERY = 500;
const LONG_CHARACTERS = 150_000;

/** `count` lines, each ended by a newline; the same ones for the same count. */
export function manyLines(count: number): Uint8Array<ArrayBuffer> {
  const lines = Array.from({ length: count }, (_, index) => {
    if (index % LONG_EVERY === LONG_EVERY - 1) return `${index}: ${"long ".repeat(LONG_CHARACTERS / 5)}`;
    return PATTERNS[index % PATTERNS.length]!(index);
  });
  return new TextEncoder().encode(`${lines.join("\n")}\n`);
}
