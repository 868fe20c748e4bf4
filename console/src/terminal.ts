// A terminal on the page: xterm.js at one end, the container's at the other. The connection may break; the shell goes on.

import "@xterm/xterm/css/xterm.css";

import { FitAddon } from "@xterm/addon-fit";
import { type ITheme, Terminal as Xterm } from "@xterm/xterm";

import { isAway, lost, returns } from "./connection";
import { key } from "./session";
import { colour, theme } from "./theme";

export type TerminalState =
  | { kind: "connecting" }
  | { kind: "connected"; id: string }
  | { kind: "broken"; why: string }
  | { kind: "ended"; why: string };

interface Wanted {
  containerId: string;
  /** One that is there already; a new one without it. */
  terminalId: string | null;
  onState: (state: TerminalState) => void;
  onLeave: () => void;
}

// After these the terminal goes on in the container: 1001 and 1006 are a connection that went, 1011 a page that slept,
// 1012 a server that starts anew.
const GOES_ON = new Set([1001, 1006, 1011, 1012]);
const PAUSE_MS = 1000;

export class TerminalView {
  private readonly xterm: Xterm;
  private readonly fit = new FitAddon();
  private readonly ending: (() => void)[] = [];
  private socket: WebSocket | null = null;
  private terminalId: string | null;
  private timer = 0;

  constructor(
    private readonly parent: HTMLElement,
    private readonly wanted: Wanted,
  ) {
    this.terminalId = wanted.terminalId;
    this.xterm = new Xterm({
      fontFamily: colour("mono"),
      fontSize: 13,
      lineHeight: 1.25,
      cursorBlink: true,
      scrollback: 5000,
      screenReaderMode: true,
      linkHandler: { activate: () => undefined }, // what a program calls a link leads nowhere from here
      theme: colours(),
    });
    this.xterm.loadAddon(this.fit);
    this.xterm.open(parent);
    this.resize();
    this.xterm.onData((keys) => this.send(new TextEncoder().encode(keys)));
    this.xterm.onBinary((keys) => this.send(Uint8Array.from(keys, (char) => char.charCodeAt(0))));
    this.xterm.onResize(({ cols, rows }) => this.send(JSON.stringify({ type: "resize", cols, rows })));
    this.xterm.attachCustomKeyEventHandler((event) => {
      if (!(event.ctrlKey && event.shiftKey && event.key === "ArrowUp")) return true;
      if (event.type === "keydown") wanted.onLeave();
      return false;
    });
    const observer = new ResizeObserver(() => this.resize());
    observer.observe(parent);
    this.ending.push(
      () => observer.disconnect(),
      theme.subscribe(() => {
        this.xterm.options.theme = colours();
      }),
      returns.subscribe(() => this.socket === null && this.terminalId !== null && this.connect()),
    );
    this.connect();
  }

  focus(): void {
    this.xterm.focus();
  }

  /** Let go of the terminal, which lives on in the container. */
  close(): void {
    clearTimeout(this.timer);
    for (const end of this.ending) end();
    const socket = this.socket;
    this.socket = null;
    socket?.close(1000);
    this.xterm.dispose();
  }

  /** Take over again what another window has taken. */
  connect(): void {
    clearTimeout(this.timer);
    this.wanted.onState({ kind: "connecting" });
    const { cols, rows } = this.xterm;
    const url = new URL(`v1/containers/${this.wanted.containerId}/terminal`, document.baseURI);
    url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
    url.search = new URLSearchParams({
      cols: String(cols),
      rows: String(rows),
      ...(this.terminalId === null ? {} : { terminal_id: this.terminalId }),
    }).toString();
    const secret = btoa(key.get() ?? "").replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
    const socket = new WebSocket(url, ["atoll.terminal", `atoll.key.${secret}`]);
    socket.binaryType = "arraybuffer";
    this.socket = socket;
    socket.onmessage = ({ data }: MessageEvent<string | ArrayBuffer>) => {
      if (this.socket !== socket) return;
      if (typeof data === "string") this.obey(JSON.parse(data) as { type: string; terminal_id?: string });
      else this.xterm.write(new Uint8Array(data));
    };
    socket.onclose = ({ code, reason }) => this.socket === socket && this.closed(code, reason);
  }

  private obey(message: { type: string; terminal_id?: string }): void {
    if (message.type !== "attached" || message.terminal_id === undefined) return;
    this.terminalId = message.terminal_id;
    this.xterm.reset(); // what was shown last comes again
    this.wanted.onState({ kind: "connected", id: message.terminal_id });
  }

  private closed(code: number, reason: string): void {
    this.socket = null;
    if (!GOES_ON.has(code)) {
      this.wanted.onState({ kind: "ended", why: reason || `The connection was closed (${code}).` });
      return;
    }
    this.wanted.onState({ kind: "broken", why: "The connection broke. What runs in the terminal goes on." });
    if (code === 1006 || code === 1012) lost();
    this.timer = window.setTimeout(() => isAway.get() || this.socket !== null || this.connect(), PAUSE_MS);
  }

  private send(message: string | Uint8Array<ArrayBuffer>): void {
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(message);
  }

  private resize(): void {
    if (this.parent.clientWidth > 0) this.fit.fit();
  }
}

function colours(): ITheme {
  const isDark = theme.get() === "dark";
  return {
    background: colour("code"),
    foreground: colour("text"),
    cursor: colour("accent"),
    cursorAccent: colour("code"),
    selectionBackground: isDark ? "#2f5b66" : "#bfe3e6",
    black: isDark ? "#3a434a" : "#24292e",
    red: isDark ? "#f08a80" : "#b3382c",
    green: isDark ? "#86c98b" : "#2a7a3b",
    yellow: isDark ? "#dcb86a" : "#8a6100",
    blue: isDark ? "#86b6f0" : "#2461a8",
    magenta: isDark ? "#cfa2e6" : "#7d3f9c",
    cyan: isDark ? "#6cc7cb" : "#0c7277",
    white: isDark ? "#d5dade" : "#6a737a",
    brightBlack: isDark ? "#6f7a83" : "#57606a",
    brightRed: isDark ? "#f6a49b" : "#c6483b",
    brightGreen: isDark ? "#a1d9a5" : "#34904a",
    brightYellow: isDark ? "#e7ca8a" : "#a37408",
    brightBlue: isDark ? "#a5c9f5" : "#3074c4",
    brightMagenta: isDark ? "#dcbaee" : "#9250b3",
    brightCyan: isDark ? "#8ed7da" : "#14878d",
    brightWhite: isDark ? "#ffffff" : "#1c2024",
  };
}
