// A process that is one side of a test elsewhere: `remote_peer.ts ADDRESS`, where the test waits for it. It ends with the
// connection to the test.

import process from "node:process";
import { PeerService } from "../remote/peer_service.ts";
import { Rpc } from "../remote/rpc.ts";

const webSocket = new WebSocket(process.argv[2]!);
webSocket.binaryType = "arraybuffer";
const rpc = new Rpc((message) => webSocket.send(message));
const service = new PeerService(rpc);
process.on("unhandledRejection", (error) => service.fault(error));
process.on("uncaughtException", (error) => service.fault(error));
webSocket.onmessage = ({ data }) => rpc.received(data as ArrayBuffer);
webSocket.onerror = () => {};
webSocket.onclose = () => process.exit();
