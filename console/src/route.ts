// Which view the address names. Everything stands after the #, so that the server serves one page.

import { Cell } from "./store";

export const TABS = ["notebook", "files", "terminal", "network", "activity"] as const;
export type Tab = (typeof TABS)[number];

export type Route = { view: "containers" } | { view: "container"; id: string; tab: Tab };

export function readRoute(hash: string): Route {
  const [, noun, id, tab] = hash.split("/");
  if (noun !== "containers" || !id || !/^\w+$/.test(id)) return { view: "containers" };
  return { view: "container", id, tab: TABS.find((one) => one === tab) ?? "notebook" };
}

export function href(route: Route): string {
  return route.view === "containers" ? "#/" : `#/containers/${route.id}/${route.tab}`;
}

export const route = new Cell<Route>(readRoute(location.hash));

addEventListener("hashchange", () => route.set(readRoute(location.hash)));

export function go(to: Route): void {
  location.hash = href(to);
}
