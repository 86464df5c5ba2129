// Reads the JUnit reports of Bun, Deno and Node: only what run.mjs counts.

const ENTITIES = { lt: "<", gt: ">", quot: '"', apos: "'", amp: "&" };

/** The test cases of the report of `runtime`: `title` with its suites, `outcome` "passed", "failed" or "skipped", Bun's with `file`. */
export function casesOf(xml, runtime) {
  const cases = [];
  for (const [, attributes, body] of xml.matchAll(/<testcase\b((?:[^>"]|"[^"]*")*?)(?:\/>|>([\s\S]*?)<\/testcase>)/g)) {
    const name = attributeOf(attributes, "name");
    const outcome = outcomeOf(body ?? "");
    // Bun reports the hooks of a skipped suite as a nameless skipped test.
    if (outcome === "skipped" && /^(\(unnamed\))?$/.test(name)) continue;
    const file = runtime === "bun" ? attributeOf(attributes, "file") : "";
    cases.push({ title: titleOf(attributes, name, runtime), outcome, ...(file === "" ? {} : { file }) });
  }
  return cases;
}

function outcomeOf(body) {
  if (/<(failure|error)\b/.test(body)) return "failed";
  return /<skipped\b/.test(body) ? "skipped" : "passed";
}

/**
 * Bun keeps the suites in `classname`, the innermost first; Deno and Node have the full title already (harness.ts) and no
 * use for it.
 */
function titleOf(attributes, name, runtime) {
  const suites = runtime === "bun" ? attributeOf(attributes, "classname") : "";
  if (suites === "" || suites === attributeOf(attributes, "file")) return name;
  return [...suites.split(" > ").reverse(), name].join(" > ");
}

/** The same for the same test on every runtime, also where a suite's own title has a `>` in it. */
export function keyOf(title) {
  return title.split(" > ").sort().join(" > ");
}

function attributeOf(attributes, key) {
  const found = new RegExp(`\\b${key}="([^"]*)"`).exec(attributes);
  return (found?.[1] ?? "").replace(/&(lt|gt|quot|apos|amp);/g, (_all, entity) => ENTITIES[entity]);
}
