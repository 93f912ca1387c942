// Two small plots as SVG: counts one after another, and how large the cells are.
import { svg } from "./dom.js";
import { number, plural, significant } from "./format.js";
import { countPage } from "./root.js";

const WIDTH = 460;
const HEIGHT = 220;
const UNIT_ROOM = 36;
const EDGE = { left: 44, right: 10, top: 14, bottom: 30 };

const frame = (role, label, ...children) => svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role, "aria-label": label }, ...children);
const text = (x, y, words, anchor = "middle") => svg("text", { x, y, "text-anchor": anchor }, words);
const line = (name, x1, y1, x2, y2) => svg("line", { class: name, x1, y1, x2, y2 });

/** Round steps that cover 0..most in about four parts. */
function steps(most) {
  const raw = Math.max(most, 1) / 4;
  const decade = 10 ** Math.floor(Math.log10(raw));
  const step = Math.max(1, [1, 2, 5, 10].map((one) => one * decade).find((one) => one >= raw));
  return Array.from({ length: Math.ceil(most / step) + 1 }, (_, at) => at * step);
}

function scaleOf(values) {
  const ticks = steps(values.reduce((most, value) => Math.max(most, value), 1));
  const top = ticks.at(-1);
  return { ticks, y: (value) => HEIGHT - EDGE.bottom - ((HEIGHT - EDGE.top - EDGE.bottom) * value) / top };
}

const grid = ({ ticks, y }) => ticks.flatMap((tick) => [
  line(tick ? "grid" : "axis", EDGE.left, y(tick), WIDTH - EDGE.right, y(tick)), text(EDGE.left - 8, y(tick) + 4, number(tick), "end"),
]);

/** counts: oldest first, as GET /counts gives them. */
export function countsPlot(counts) {
  const shown = (count) => count.corrected_count ?? count.count;
  const scale = scaleOf(counts.flatMap((count) => [shown(count), count.interval?.[1] ?? 0]));
  const room = WIDTH - EDGE.left - EDGE.right - 16;
  const x = (at) => EDGE.left + 8 + (counts.length === 1 ? room / 2 : (room * at) / (counts.length - 1));
  const points = counts.map((count, at) => {
    const isCorrected = count.corrected_count !== null && count.corrected_count !== undefined && count.corrected_count !== count.count;
    const words = `${count.sample || count.image}: ${number(shown(count))}${isCorrected ? `, automatic ${number(count.count)}` : ""}`;
    return svg("a", { href: countPage(count.id), "aria-label": words },
      svg("title", {}, words),
      ...(count.interval ? [line("interval", x(at), scale.y(count.interval[0]), x(at), scale.y(count.interval[1] ?? shown(count)))] : []),
      svg("circle", { class: isCorrected ? "point corrected" : "point", cx: x(at), cy: scale.y(shown(count)), r: counts.length > 80 ? 2.5 : 4 }));
  });
  const ends = [text(EDGE.left + 8, HEIGHT - 8, "oldest", "start"), text(WIDTH - EDGE.right - 8, HEIGHT - 8, "newest", "end")];
  // Its points are links, which an image cannot hold.
  return frame("group", `Counts of ${plural(counts.length, "image")}, oldest first`, ...grid(scale), ...ends, ...points);
}

const quantile = (sorted, part) => sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))];

/** diameters of cells; unit "px" or "µm". */
export function sizesPlot(diameters, unit) {
  const sorted = diameters.toSorted((a, b) => a - b);
  const most = quantile(sorted, 0.995) * 1.12;
  const bins = Math.max(6, Math.min(30, Math.round(Math.sqrt(sorted.length))));
  const heights = new Array(bins).fill(0);
  for (const one of sorted) heights[Math.min(bins - 1, Math.floor((bins * one) / most))] += 1;
  const scale = scaleOf(heights);
  const room = WIDTH - EDGE.left - EDGE.right;
  const x = (value) => EDGE.left + (room * value) / most;
  const columns = heights.map((height, at) => svg("rect", {
    class: "column", x: x((at * most) / bins) + 1, width: Math.max(1, room / bins - 2), y: scale.y(height), height: HEIGHT - EDGE.bottom - scale.y(height),
  }, svg("title", {}, `${significant((at * most) / bins)} to ${significant(((at + 1) * most) / bins)} ${unit}: ${plural(height, "cell")}`)));
  const median = quantile(sorted, 0.5);
  // The unit stands at the end, where a number would run into it.
  const free = WIDTH - EDGE.right - UNIT_ROOM;
  const labels = steps(most).filter((tick) => x(tick) <= free).map((tick) => text(x(tick), HEIGHT - 10, number(tick)));
  labels.push(text(WIDTH - EDGE.right, HEIGHT - 10, unit, "end"));
  return frame("img", `Diameters of ${plural(sorted.length, "cell")}, median ${significant(median)} ${unit}`,
    ...grid(scale), ...columns, line("median", x(median), EDGE.top, x(median), HEIGHT - EDGE.bottom), ...labels);
}

export { quantile };
