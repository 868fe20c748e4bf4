// The console: one page that shows and does with containers what the API has.

import "./styles/tokens.css";
import "./styles/page.css";
import "./styles/parts.css";
import "./styles/views.css";

import { render } from "preact";

import { App } from "./app";

const root = document.getElementById("app");
if (root) render(<App />, root);
