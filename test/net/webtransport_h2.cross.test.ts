import { processSuites } from "./remote/cross_suite.ts";

const name = "WebTransport over HTTP/2";

processSuites([
  { name, server: "Bun", client: "Bun" },
  { name, server: "Bun", client: "Deno" },
  { name, server: "Bun", client: "Node" },
  { name, server: "Deno", client: "Bun" },
  { name, server: "Deno", client: "Deno" },
  { name, server: "Deno", client: "Node" },
  { name, server: "Node", client: "Bun" },
  { name, server: "Node", client: "Deno" },
  { name, server: "Node", client: "Node" },
]);
