import { processSuites } from "./remote/cross_suite.ts";

processSuites([
  { name: "QUIC", server: "Bun", client: "Deno" },
  { name: "QUIC", server: "Deno", client: "Bun" },
  { name: "QUIC with mutual TLS", server: "Bun", client: "Deno" },
]);
