// A finished review: agreement, the images that differ most, the consensus round, the log.
import * as api from "./api.js";
import { byId, element, icon, memory } from "./dom.js";
import { moment, number, significant } from "./format.js";
import "./header.js";
import { MarkCanvas } from "./mark-canvas.js";
import { countPage } from "./root.js";

const review = byId("review").dataset.review;
const path = (rest = "") => `/reviews/${encodeURIComponent(review)}${rest}`;
const STEPS = { created: "began the review", started: "started", paused: "paused", marked: "marked", done: "finished an image", finished: "ended the review", agreed: "stored a consensus", opened: "opened a count or a list of counts" };
let observers = [];
let chosen = null;

class Consensus extends MarkCanvas {
  /** A mark of the observers is left out or taken in again; one of this round goes. */
  toggled(mark) {
    if (!mark.observers) return super.toggled(mark);
    return this.marks.map((one) => (one === mark ? { ...one, out: !one.out } : one));
  }
}

const byAll = (mark) => mark.observers?.length === observers.length;
const canvas = new Consensus(byId("canvas"), {
  colour: (mark) => (mark.out ? "#9aa5a8" : byAll(mark) || !mark.observers ? "#6fdc9f" : "#efbb52"),
  label: (mark) => (mark.out ? "left out" : mark.observers && !byAll(mark) ? mark.observers.join(", ") : ""),
  onChange() {},
});

const span = (low, high) => (low === null ? "–" : `${significant(low)} to ${significant(high)}`);

function pairCard(pair, place) {
  const found = pair.bland_altman;
  return element("article", {}, element("h3", {}, `${pair.first} and ${pair.second}`),
    element("img", { class: "study-figure", src: api.url(path("/agreement.svg"), { pair: place + 1 }), alt: "Difference against mean of both, with limits of agreement" }),
    element("p", {}, `Mean difference ${significant(found.mean)} (95 % interval ${span(found.mean_low, found.mean_high)}), limits of agreement ${span(found.lower, found.upper)} cells.`),
    element("p", {}, `Intraclass correlation ${significant(pair.icc.value)} (95 % interval ${span(pair.icc.low, pair.icc.high)}); F1 of the cells ${significant(pair.f1)}.`));
}

function imageRow(one, raters) {
  return element("tr", {}, element("td", {}, element("a", { href: countPage(one.count_id) }, one.image)),
    ...raters.map((who) => element("td", {}, number(one.counts[who]))), element("td", {}, number(one.range)),
    element("td", {}, element("button", { class: "button small", type: "button", onclick: () => open(one) }, one.agreed ? "Agreed; look again" : "Agree")));
}

async function open(one) {
  const note = byId("consensus-note");
  try {
    const found = await api.get(path(`/agreed/${one.key}`));
    chosen = one;
    byId("consensus").hidden = false;
    byId("consensus-title").textContent = `Consensus: ${found.image}`;
    note.textContent = "";
    await canvas.show(api.url(path(`/images/${one.key}.jpg`)), found, found.marks.map((mark) => ({ ...mark })));
    byId("consensus").scrollIntoView();
  } catch (error) {
    note.textContent = error.message;
  }
}

async function agree() {
  const note = byId("consensus-note");
  const points = canvas.marks.filter((mark) => !mark.out).map((mark) => [mark.x, mark.y]);
  try {
    const { corrected_count: count } = await api.post(path(`/agreed/${chosen.key}`), { points, who: memory.read("who") });
    note.textContent = `Stored: the corrected count is ${number(count)}.`;
    await show();
  } catch (error) {
    note.textContent = error.message;
  }
}

/** Who did what with which image; names are known, because the review is finished. */
async function showLog(images) {
  const names = Object.fromEntries(images.map((one) => [one.key, one.image]));
  const { lines, faults } = await api.get(path("/log"));
  byId("log-state").textContent = faults.length ? faults.join(" ") : `${lines.length} lines; nothing was changed.`;
  byId("log").replaceChildren(...lines.map((line) => element("tr", {}, element("td", {}, moment(line.when)), element("td", {}, line.who, line.detail.account && ` (account ${line.detail.account})`), element("td", {}, STEPS[line.what] ?? line.what), element("td", {}, names[line.detail.image] ?? ""))));
}

async function show() {
  try {
    const found = await api.get(path("/results"));
    byId("sentence").textContent = found.sentence;
    byId("sampling").textContent = found.sampling;
    const warnings = [...found.faults, ...found.opened];
    byId("faults").replaceChildren(...warnings.map((text) => element("li", {}, icon("warning"), element("span", {}, text))));
    const raters = Object.keys(found.images[0]?.counts ?? {});
    observers = raters.slice(0, -1);
    byId("pairs").replaceChildren(...found.pairs.map(pairCard));
    byId("image-heads").replaceChildren(...["Image", ...raters, "Difference", ""].map((text) => element("th", {}, text)));
    byId("images").replaceChildren(...found.images.map((one) => imageRow(one, raters)));
    await showLog(found.images);
  } catch (error) {
    byId("sentence").textContent = error.message;
  }
}

byId("agree").addEventListener("click", agree);
byId("fit").addEventListener("click", () => canvas.viewer.fit());
byId("brightness").addEventListener("input", (event) => canvas.setBrightness(Number(event.target.value)));
show();
