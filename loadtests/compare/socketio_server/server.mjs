// Serves rooms with Socket.IO: `server.mjs PORT [REDIS]`, with its Redis adapter where a Redis is named.
//
// Set up as its makers advise for speed: WebSocket alone, no compression, no bundle to serve, bufferutil beside it.
// Of what else they offer, measured on two nodes with 1 → 50: the sharded adapter, ioredis and a larger young heap make
// no difference beyond noise, binary payloads cost about twice as much as strings, the msgpack parser up to a quarter
// more. eiows, its engine in C++, fetches Node's sources while it is installed, so no lock file holds it: left out.
import { createServer } from "node:http";
import { createAdapter } from "@socket.io/redis-adapter";
import { createClient } from "redis";
import { Server } from "socket.io";

const SILENCE_MS = 600_000; // far beyond a run: the load generator answers no ping while it counts
const [port, redis] = process.argv.slice(2);

const options = {
  transports: ["websocket"],
  perMessageDeflate: false,
  httpCompression: false,
  serveClient: false,
  pingInterval: SILENCE_MS,
  pingTimeout: SILENCE_MS,
};

let subscribing;
if (redis) {
  const where = redis.startsWith("unix://") ? { socket: { path: redis.slice("unix://".length) } } : { url: redis };
  const publishing = createClient(where);
  subscribing = publishing.duplicate();
  await Promise.all([publishing.connect(), subscribing.connect()]);
  options.adapter = createAdapter(publishing, subscribing);
}

const http = createServer((_, answer) => answer.end()); // any path: that we answer says that we are ready
const io = new Server(http, options);
io.on("connection", (socket) => {
  const { topic, publishes } = socket.handshake.auth;
  if (publishes) {
    socket.on("frame", (payload) => io.to(topic).emit("frame", payload));
  } else {
    socket.join(topic);
  }
});
await subscribing?.ping(); // answered after the adapter's own subscriptions, which nobody else can wait for
http.listen(Number(port), "127.0.0.1");
