import { processSuites } from "./remote/cross_suite.ts";

// Each runtime with itself is tried within one process, in webtransport.contract.test.ts.
processSuites([
  { name: "WebTransport over HTTP/2", server: "Bun", client: "Deno" },
  { name: "WebTransport over HTTP/2", server: "Bun", client: "Node" },
  { name: "WebTransport over HTTP/2", server: "Deno", client: "Bun" },
  { name: "WebTransport over HTTP/2", server: "Deno", client: "Node" },
  { name: "WebTransport over HTTP/2", server: "Node", client: "Bun" },
  { name: "WebTransport over HTTP/2", server: "Node", client: "Deno" },
]);
