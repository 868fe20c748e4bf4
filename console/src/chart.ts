// A line over the last minutes. Loaded when there is one to show.

import "uplot/dist/uPlot.min.css";

import uPlot from "uplot";

import { clock } from "./format";
import { colour, theme } from "./theme";

export interface Chart {
  show: (at: readonly number[], values: readonly number[]) => void;
  close: () => void;
}

const HEIGHT = 180;

/** Steps between lines that are round numbers of kB, MB and GB. */
const BINARY = Array.from({ length: 40 }, (_, power) => 2 ** power);

export type Scale = "binary" | "decimal";

export function makeChart(parent: HTMLElement, label: string, scale: Scale, write: (value: number) => string): Chart {
  let data: uPlot.AlignedData = [[], []];
  let plot = draw(parent, label, scale, write, data);
  const anew = (): void => {
    plot.destroy();
    plot = draw(parent, label, scale, write, data);
  };
  const observer = new ResizeObserver(() => {
    if (parent.clientWidth > 0) plot.setSize({ width: parent.clientWidth, height: HEIGHT });
  });
  observer.observe(parent);
  const unsubscribe = theme.subscribe(anew);
  return {
    show: (at, values) => {
      data = [[...at], [...values]];
      plot.setData(data);
    },
    close: () => {
      observer.disconnect();
      unsubscribe();
      plot.destroy();
    },
  };
}

function draw(
  parent: HTMLElement,
  label: string,
  scale: Scale,
  write: (value: number) => string,
  data: uPlot.AlignedData,
): uPlot {
  const axis = {
    stroke: colour("muted"),
    grid: { stroke: colour("line"), width: 1 },
    ticks: { show: false },
    font: "11px ui-sans-serif, system-ui, sans-serif",
  };
  return new uPlot(
    {
      width: parent.clientWidth || 400,
      height: HEIGHT,
      legend: { show: false },
      cursor: { y: false },
      scales: { y: { range: (_, __, most) => [0, most > 0 ? most * 1.15 : 1] } },
      axes: [
        { ...axis, size: 28, space: 90, values: (_, times) => times.map(clock) },
        { ...axis, size: 64, values: (_, values) => values.map(write), ...(scale === "binary" ? { incrs: BINARY } : {}) },
      ],
      series: [{}, { label, stroke: colour("accent"), fill: colour("accent-soft"), width: 2, points: { show: false } }],
    },
    data,
    parent,
  );
}
