// Lets Node run the tests: `node --import ./test/runtimes/node_hook.mjs --test FILES`. Resolves `bun:test` to the harness.

import { registerHooks } from "node:module";

const harness = new URL("./harness.ts", import.meta.url).href;

registerHooks({
  resolve: (specifier, context, next) =>
    specifier === "bun:test"
      ? { url: harness, format: "module-typescript", shortCircuit: true }
      : next(specifier, context),
});
