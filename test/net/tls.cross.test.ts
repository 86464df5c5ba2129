import { processSuites } from "./remote/cross_suite.ts";

processSuites([
  { name: "TLS with client certificates", server: "Bun", client: "Deno" },
  { name: "TLS with client certificates", server: "Node", client: "Bun" },
  { name: "TLS", server: "Deno", client: "Node" },
]);
