import { processSuites } from "./remote/cross_suite.ts";

const name = "WebTransport over HTTP/2";
const note = "Deno's HTTP/2 ends the process under load";
const onDeno = { note, unsupported: note };

processSuites([
  { name, server: "Bun", client: "Bun" },
  { name, server: "Bun", client: "Node" },
  { name, server: "Node", client: "Bun" },
  { name, server: "Node", client: "Node" },
  { name, server: "Bun", client: "Deno", ...onDeno },
  { name, server: "Node", client: "Deno", ...onDeno },
  { name, server: "Deno", client: "Bun", ...onDeno },
  { name, server: "Deno", client: "Node", ...onDeno },
]);
