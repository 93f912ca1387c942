// Counts and cell sizes of a selection. Sizes need the cells of each result, which are fetched once.
import * as api from "./api.js";
import { byId, element } from "./dom.js";
import { number, plural, significant } from "./format.js";
import { countsPlot, quantile, sizesPlot } from "./plots.js";

const MOST_RESULTS = 40;
const known = new Map();
let drawn = 0;

const say = (id, text) => byId(id).replaceChildren(element("p", {}, text));

async function cellsOf(count) {
  // A re-labelled result has other cells: its count is part of the key.
  const key = `${count.id} ${count.count}`;
  if (!known.has(key)) known.set(key, await api.get(api.countPath(count.id)));
  return known.get(key);
}

export async function drawPlots(selection) {
  drawn += 1;
  const turn = drawn;
  const done = selection.filter((count) => count.status === "done");
  byId("counts-note").textContent = "";
  byId("sizes-note").textContent = "";
  if (!done.length) {
    say("counts-plot", "No finished counts in this selection.");
    say("sizes-plot", "No finished counts in this selection.");
    return;
  }
  const oldestFirst = done.toSorted((a, b) => a.sequence - b.sequence);
  byId("counts-plot").replaceChildren(countsPlot(oldestFirst));
  const values = done.map((count) => count.corrected_count ?? count.count);
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  byId("counts-note").textContent = `${plural(done.length, "image")}, mean ${number(mean, 1)}`;
  await drawSizes(done, () => turn === drawn);
}

async function drawSizes(done, stillWanted) {
  const results = [];
  for (const count of done.slice(0, MOST_RESULTS)) {
    try {
      results.push(await cellsOf(count));
    } catch (error) {
      say("sizes-plot", error.message);
      return;
    }
    if (!stillWanted()) return;
  }
  const scaled = results.every((result) => result.pixel_size_um);
  const unit = scaled ? "µm" : "px";
  const diameters = results.flatMap((result) => result.cells.map((cell) => cell.equivalent_diameter_px * (scaled ? result.pixel_size_um : 1)));
  if (!diameters.length) { say("sizes-plot", "No cells in this selection."); return; }
  byId("sizes-plot").replaceChildren(sizesPlot(diameters, unit));
  const median = quantile(diameters.toSorted((a, b) => a - b), 0.5);
  const part = done.length > MOST_RESULTS ? `, ${MOST_RESULTS} images only` : "";
  byId("sizes-note").textContent = `${plural(diameters.length, "cell")}, median ${significant(median)} ${unit}${part}`;
}
