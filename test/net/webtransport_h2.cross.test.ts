import { processSuites } from "./remote/cross_suite.ts";

const name = "WebTransport over HTTP/2";
const unsupported = "Deno's HTTP/2 ends the process under load: Deno has WebTransport over HTTP/3 itself";

processSuites([
  { name, server: "Bun", client: "Bun" },
  { name, server: "Bun", client: "Node" },
  { name, server: "Node", client: "Bun" },
  { name, server: "Node", client: "Node" },
  { name, server: "Bun", client: "Deno", unsupported },
  { name, server: "Node", client: "Deno", unsupported },
  { name, server: "Deno", client: "Bun", unsupported },
  { name, server: "Deno", client: "Node", unsupported },
]);
