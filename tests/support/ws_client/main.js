// Runs the story with the package `ws`: the story's address, and what it needs as JSON; its answer is JSON too.

import WebSocket from "ws";

const [, , story, needs] = process.argv;
await import(story);
console.log(JSON.stringify(await globalThis.relayStory(WebSocket, JSON.parse(needs))));
