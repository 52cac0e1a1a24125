/** Starts the page. */

import { render } from "preact";
import "@xterm/xterm/css/xterm.css";
import "./styles.css";
import { App } from "./app.ts";
import { Page } from "./views/page.tsx";

const nonce = document.querySelector<HTMLScriptElement>("script[nonce]")?.nonce ?? "";
const app = new App(nonce);
const root = document.getElementById("page");
if (root) render(<Page app={app} />, root);
void app.start();
