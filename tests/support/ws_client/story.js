// Plays one browser by hand on any WebSocket that has the interface of browsers, and says what it saw.

const INPUT = 16; // the kind of a frame, its first byte
const SEQUENCE_AT = 24; // of a frame's header

globalThis.relayStory = (Socket, { url, ticket, machine, session }) =>
  new Promise((resolve) => {
    const socket = new Socket(url, ["relay.v1", ticket]);
    const saw = { subprotocol: null, messages: [], frameBytes: 0, code: 0, reason: "", clean: null };
    socket.binaryType = "arraybuffer";
    const say = (message) => socket.send(JSON.stringify(message));
    socket.onopen = () => {
      saw.subprotocol = socket.protocol;
      saw.extensions = socket.extensions;
      say({ type: "hello", client: "a-story-client", label: "läuft" });
    };
    socket.onmessage = ({ data }) => {
      if (typeof data === "string") {
        const { type } = JSON.parse(data);
        saw.messages.push(type);
        if (type === "welcome") say({ type: "attach", ref: 1, machine, session });
        return;
      }
      // The agent's frame goes back to it as input: the header is the same but for the kind and the number.
      saw.frameBytes = data.byteLength;
      const back = new Uint8Array(data.slice(0));
      back[0] = INPUT;
      new DataView(back.buffer).setBigUint64(SEQUENCE_AT, 1n);
      socket.send(back);
      socket.send("no message of ours");
    };
    socket.onclose = ({ code, reason, wasClean }) => resolve({ ...saw, code, reason, clean: wasClean });
  });
