// The readings of one count: automatic and corrected count, interval, warnings, doubtful objects, settings.
import { byId, element, pairs } from "./dom.js";
import { exposure, interval, moment, number, percent, person, plural, significant } from "./format.js";
import { holding } from "./cells.js";
import { flagItem } from "./flags.js";

function block(label, value, range, note, attributes = {}) {
  return element("div", { class: "number", ...attributes },
    element("span", {}, label), element("strong", {}, value), range && element("em", {}, range), note && element("small", {}, note));
}

/** Corrections that change the count; a confirmed object does not. */
const changing = (corrections) => holding(corrections).filter((one) => one.action !== "confirm");

function changes(corrections) {
  const held = changing(corrections);
  const adds = held.filter((one) => one.action === "add").length;
  const removes = held.length - adds;
  const last = held.at(-1);
  const words = [adds && `${number(adds)} added`, removes && `${number(removes)} removed`].filter(Boolean).join(", ");
  return last ? `${words}, by ${person(last.who)}, ${moment(last.when)}` : "";
}

/** trial: the CountResult of the slider settings while they are being tried, else null. */
export function showNumbers(count, trial) {
  const made = changing(count.corrections).length > 0;
  const automatic = trial ?? count;
  const range = automatic.interval && `(${interval(automatic.interval)})`;
  const left = block(trial ? "With these settings" : "Automatic", number(automatic.count), range,
    trial ? "not saved yet" : "90 % interval", { "data-quiet": made && !trial, id: "automatic-count" });
  const right = trial
    ? block("Saved", number(count.corrected_count ?? count.count), "", made ? "corrected by hand" : "", { "data-quiet": true, id: "kept-count" })
    : block("Corrected", made ? number(count.corrected_count) : "–", "", made ? changes(count.corrections) : "no corrections", { "data-corrected": made, "data-quiet": !made, id: "corrected-count" });
  byId("numbers").replaceChildren(left, right);
  byId("flags").replaceChildren(...(automatic.flags ?? []).map((flag) => flagItem(flag, count.origin)));
}

export function showName(count) {
  byId("readout-title").replaceChildren(count.sample || count.image || "Count", element("small", {}, `${count.image ?? ""}, ${moment(count.created)}`));
  document.title = `${count.sample || count.image || "Count"} · fluocount`;
}

/** What was said about a doubtful object, in words; empty before it is judged. */
function verdict(cell, result, corrections) {
  const said = holding(corrections).find((one) => one.cell_id === cell.id);
  if (!said) return "";
  const isCell = said.action === "add" || (said.action === "confirm" && cell.id <= result.count);
  return `${isCell ? "a cell" : "no cell"}, ${person(said.who)}`;
}

/** onChoose(cell) shows one, onJudge(cell, isCell) says what it is. */
export function showDoubts(result, corrections, { onChoose, onJudge }) {
  const doubtful = result.doubtful ?? [];
  byId("doubts").hidden = !doubtful.length;
  const uncounted = doubtful.filter((cell) => cell.id > result.count).length;
  const open = doubtful.filter((cell) => !verdict(cell, result, corrections)).length;
  byId("doubts-note").textContent = `${plural(doubtful.length, "object")} could be a cell or not: ${number(doubtful.length - uncounted)} counted, ${number(uncounted)} not counted; ${number(open)} to look at.`;
  byId("doubt-list").replaceChildren(...doubtful.map((cell) => {
    const name = cell.id > result.count ? "not counted" : `cell ${number(cell.id)}`;
    return element("li", {},
      element("button", { type: "button", class: "doubt", onclick: () => onChoose(cell) },
        element("span", {}, verdict(cell, result, corrections) || name),
        element("span", {}, `${percent(cell.probability)}, ${number(cell.area_px)} px²`)),
      element("button", { type: "button", class: "judge", "aria-label": `A cell: ${name}`, title: "This is a cell (Y)", onclick: () => onJudge(cell, true) }, "✓"),
      element("button", { type: "button", class: "judge", "aria-label": `No cell: ${name}`, title: "This is no cell (N)", onclick: () => onJudge(cell, false) }, "✗"));
  }));
}

/** How large a cell was taken to be, and who said so. */
function diameterText(count) {
  const size = `${significant(count.cell_diameter_px)} px`;
  if (count.cell_diameter_from === "usual") return `${size}, the usual one of the model`;
  if (count.cell_diameter_from !== "estimated") return size;
  const [low, high] = count.cell_diameter_range_px ?? [];
  return low ? `${size}, estimated from the image (${significant(low)} to ${significant(high)} px)` : `${size}, estimated from the image`;
}

const FROM = { objective: "of the objective", assay: "of the assay", "": "" };

/** How large a pixel is, and who says so. */
function pixelText(count) {
  const from = count.taken?.pixel_size_from ?? "";
  return count.pixel_size_um && [`${significant(count.pixel_size_um)} µm`, FROM[from] ?? "of the file"].filter(Boolean).join(", ");
}

export function showProvenance(count) {
  const capture = count.capture ?? {};
  const taken = count.taken ?? {};
  byId("provenance").hidden = false;
  byId("provenance-list").replaceChildren(...pairs([
    ["Assay", count.assay && `${count.assay.name}, version ${number(count.assay.version)}`],
    ["Model", count.model && `${count.model.name} ${count.model.version}`],
    ["Why this model", count.model_reason],
    ["Threshold", number(count.threshold, 3)],
    ["Smallest cell", `${number(count.min_area_px)} px²`],
    ["Cell diameter", diameterText(count)],
    ["Cells at the edge", count.exclude_border ? "not counted" : "counted"],
    ["Image", `${number(count.width)} × ${number(count.height)} px, ${count.bits} bit, ${count.channels === 1 ? "grey" : "colour"}`],
    ["Channel", taken.channel],
    ["Plane", taken.plane],
    ["Full scale", taken.range_from && taken.range_from !== "samples" && `${number(taken.full_scale)}${taken.offset ? ` above ${number(taken.offset)}` : ""}`],
    ["Taken from the file", taken.notes?.join(" ")],
    ["Objective", count.objective?.name ?? count.assay?.objective],
    ["Pixel size", pixelText(count)],
    ["Exposure", capture.exposure_s && exposure(capture.exposure_s)],
    ["Gain", capture.gain && significant(capture.gain)],
    ["Instrument", count.instrument],
    ["Source", count.origin],
    ["Time taken", count.seconds && `${number(count.seconds.total, 1)} s (network ${number(count.seconds.network, 1)} s)`],
    ["Software", count.software],
    ["SHA-256 of the image", count.image_sha256 && `${count.image_sha256.slice(0, 16)}…`],
    ["Number", count.sequence],
  ]));
}

/** The measures of one cell beside the pointer. */
export function tipContent(cell, result, note) {
  const edge = result.pixel_size_um;
  const area = `${number(cell.area_px)} px²${edge ? `, ${significant(cell.area_px * edge * edge)} µm²` : ""}`;
  const diameter = `${significant(cell.equivalent_diameter_px)} px${edge ? `, ${significant(cell.equivalent_diameter_px * edge)} µm` : ""}`;
  const intensity = (values) => values.map((value) => significant(value)).join(" / ");
  return [
    element("b", {}, note ?? `Cell ${cell.id}`),
    element("dl", {}, ...pairs([
      ["Area", area], ["Diameter", diameter],
      ["Mean intensity", intensity(cell.mean_intensity)], ["Maximum", intensity(cell.max_intensity)],
      ["Score", number(cell.score, 2)], ["Cell probability", percent(cell.probability)],
      ["Centre", `${number(cell.x, 1)}, ${number(cell.y, 1)}`],
    ])),
  ];
}
