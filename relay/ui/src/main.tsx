/** Starts the page. */

import { render } from "preact";
import "@xterm/xterm/css/xterm.css";
import "./styles.css";
import { App } from "./app.ts";
import { allowStyles } from "./nonce.ts";
import { Page } from "./views/page.tsx";

allowStyles(document, document.querySelector<HTMLScriptElement>("script[nonce]")?.nonce ?? "");
const app = new App();
const root = document.getElementById("page");
if (root) render(<Page app={app} />, root);
void app.start();
