// Writes the declarations of Deno's own namespace to .cache/deno.d.ts, so that `tsc` can read `*.deno.ts` files: the rest of
// what `deno types` prints says the same as TypeScript's DOM library in other words and would collide with it.

import { execFileSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";

const printed = execFileSync("deno", ["types"], { encoding: "utf8", maxBuffer: 1 << 26 });
const blocks = printed.match(/^declare namespace Deno \{[\s\S]*?^\}/gm);
if (blocks === null) throw new Error("`deno types` prints no `declare namespace Deno` any more");
mkdirSync(".cache", { recursive: true });
writeFileSync(".cache/deno.d.ts", blocks.join("\n"));
