// The page of the assays: look, save under a name, teach, go back to an earlier version.
import * as api from "./api.js";
import { offerAssays } from "./assay-choice.js";
import { author, byId, element, memory, pairs } from "./dom.js";
import { moment, number, person, significant } from "./format.js";
import "./header.js";
import { offerObjectives } from "./objective-choice.js";
import { keepPossible } from "./possible.js";
import { countPage } from "./root.js";

const field = byId("assay");
const path = (rest = "") => `/assays/${encodeURIComponent(field.value)}${rest}`;
const say = (text) => { byId("assay-note").textContent = text; };
let assay = null;
let proposed = null;

function showValues() {
  const reading = assay.reading ?? {};
  byId("assay-about").textContent = assay.about;
  byId("assay-export").href = api.url(path());
  byId("assay-export").setAttribute("download", `${assay.name}.json`);
  byId("assay-values").replaceChildren(...pairs([
    ["Version", number(assay.version)],
    ["Model", assay.model],
    ["Channel", reading.channel],
    ["Projection", reading.project],
    ["Objective", assay.objective],
    ["Pixel size", assay.pixel_size_um && `${significant(assay.pixel_size_um)} µm`],
    ["Cell diameter", (assay.cell_diameter_px && `${significant(assay.cell_diameter_px)} px`) || (assay.cell_diameter_um && `${significant(assay.cell_diameter_um)} µm`)],
    ["Threshold", assay.threshold && number(assay.threshold, 2)],
    ["Cells at the edge", assay.exclude_border ? "not counted" : "counted"],
    ["Taught by", assay.taught && `${number(assay.taught.frames)} images with ${number(assay.taught.cells)} cells`],
  ]));
}

async function showVersions() {
  const { versions } = await api.get(path("/versions"));
  byId("assay-versions").replaceChildren(...versions.map((one, place) => element("li", { value: one.version },
    `${moment(one.when)}, ${person(one.who)}${one.taught_frames ? `, taught by ${one.taught_frames} images` : ""} `,
    place > 0 && element("button", { class: "button small", type: "button", onclick: () => change(() => api.post(path("/restore"), { version: one.version, who: author() })) }, "Use again"))));
}

function showLesson(lesson) {
  proposed = lesson?.proposed ?? null;
  byId("teach-text").textContent = lesson?.text ?? "";
  byId("teach-table").hidden = !lesson;
  byId("teach-actions").hidden = !proposed;
  byId("teach-rows").replaceChildren(...(lesson?.frames ?? []).map((frame) => element("tr", {},
    element("td", {}, element("a", { href: countPage(frame.count_id) }, frame.image)),
    element("td", {}, number(frame.cells)), element("td", {}, number(frame.before)),
    element("td", {}, frame.after === frame.before ? number(frame.after) : element("strong", {}, number(frame.after))))));
}

async function show() {
  showLesson(null);
  try {
    assay = await api.get(path());
    showValues();
    await showVersions();
  } catch (error) {
    say(error.message);
  }
}

/** Saves something and shows what it came to. */
async function change(order) {
  try {
    const saved = await order();
    memory.write("assay", saved.name);
    await offerAssays("assay");
    await show();
    say(`${saved.name}, version ${saved.version}, is saved.`);
  } catch (error) {
    say(error.message);
  }
}

const save = (content) => change(() => api.post("/assays", { assay: content, who: author() }));

/** The first choice keeps what the assay has, the second is none; an objective of the list brings its pixel size. */
function objectiveWish() {
  const choice = byId("new-objective");
  return choice.selectedIndex < 1 ? {} : { objective: choice.value, pixel_size_um: null };
}

const offerObjectivesAgain = () => offerObjectives("new-objective", "as the chosen assay", "none");

function fromForm() {
  const value = (id) => byId(id).value.trim();
  const amount = (id) => (value(id) ? Number(value(id)) : null);
  const diameters = amount("new-diameter-px") || amount("new-diameter-um")
    ? { cell_diameter_px: amount("new-diameter-px"), cell_diameter_um: amount("new-diameter-um") } : {};
  const given = { pixel_size_um: amount("new-pixel"), threshold: amount("new-threshold") };
  const wanted = Object.fromEntries(Object.entries(given).filter(([, one]) => one !== null));
  const channel = value("new-channel");
  return {
    ...assay, ...objectiveWish(), ...diameters, ...wanted, name: value("new-name"), exclude_border: byId("new-border").checked,
    reading: { ...assay.reading, ...(channel ? { channel } : {}) },
  };
}

async function teach() {
  const button = byId("teach");
  button.disabled = true;
  showLesson(null);
  byId("teach-text").textContent = "Learning from your corrections";
  try {
    showLesson(await api.post(path("/teach")));
  } catch (error) {
    byId("teach-text").textContent = error.message;
  } finally {
    button.disabled = false;
  }
}

keepPossible(byId("assay-form"), say);
byId("objective-list").addEventListener("changed", async () => { await offerObjectivesAgain(); show(); });
offerObjectivesAgain();
field.addEventListener("change", show);
byId("assay-form").addEventListener("submit", (event) => { event.preventDefault(); save(fromForm()); });
byId("teach").addEventListener("click", teach);
byId("teach-accept").addEventListener("click", () => save(proposed));
byId("teach-refuse").addEventListener("click", () => showLesson(null));
byId("assay-import").addEventListener("change", async (event) => {
  const text = await event.target.files[0].text();
  event.target.value = "";
  try {
    save(JSON.parse(text));
  } catch {
    say("This file is no assay; choose one that was exported.");
  }
});
await offerAssays("assay");
show();
