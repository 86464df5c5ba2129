import { processSuites } from "./remote/cross_suite.ts";
import { newerBun } from "./remote/newer_bun.node.ts";

const found = newerBun();
const unsupported = "unsupported" in found ? { unsupported: found.unsupported } : {};
const name = "WebTransport over HTTP/3";

// Neither end is told the other's code and reason (Deno 2.9.6, @moq/web-transport 0.1.4).
const carriesCloseReason = false;

processSuites([
  { name, server: "Deno", client: "Bun on a newer C library", carriesCloseReason, ...unsupported },
  { name, server: "Bun on a newer C library", client: "Deno", carriesCloseReason, ...unsupported },
  { name, server: "Bun on a newer C library", client: "Bun on a newer C library", ...unsupported },
], "command" in found ? found.command : undefined);
