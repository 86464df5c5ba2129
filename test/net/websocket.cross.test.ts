import { processSuites } from "./remote/cross_suite.ts";

processSuites([
  { name: "WebSocket", server: "Bun", client: "Deno" },
  { name: "WebSocket", server: "Node", client: "Bun" },
  { name: "WebSocket", server: "Deno", client: "Node" },
  { name: "secure WebSocket with mutual TLS", server: "Bun", client: "Node" },
  { name: "secure WebSocket with mutual TLS", server: "Deno", client: "Bun" },
]);
