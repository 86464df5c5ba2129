// Bun's types for `deno check`, so that `*.bun.ts` files are read too. They give `node:url`'s URLSearchParams a method more
// than the DOM's has; without the same here, no `URL` would be accepted where Node's is asked for.

/// <reference types="bun" />

interface URLSearchParams {
  toJSON(): Record<string, string>;
}
