// The page of the assays: look, save under a name, teach, go back to an earlier version.
import * as api from "./api.js";
import { offerAssays } from "./assay-choice.js";
import { AssayForm } from "./assay-form.js";
import { author, byId, element, lastOnly, memory, pairs, toast } from "./dom.js";
import { moment, number, person, significant } from "./format.js";
import "./header.js";
import { keepPossible } from "./possible.js";
import { countPage } from "./root.js";

const field = byId("assay");
const path = (rest = "") => `/assays/${encodeURIComponent(field.value)}${rest}`;
const form = new AssayForm();
const say = (text) => { byId("assay-note").textContent = text; };
/** Also where a person looks who pressed a button far down on the page. */
const tell = (text, level) => { say(text); toast(text, level); };
const PROJECTIONS = { max: "brightest of all planes", mean: "mean of all planes", focus: "sharpest plane" };
let assay = null;
let proposed = null;
let refills = false;
const ask = lastOnly();

function showValues() {
  const reading = assay.reading ?? {};
  const exposure = assay.exposure ?? {};
  byId("assay-about").textContent = assay.about;
  byId("assay-export").href = api.url(path());
  byId("assay-export").setAttribute("download", `${assay.name}.json`);
  byId("assay-values").replaceChildren(...pairs([
    ["Version", number(assay.version)],
    ["Model", assay.model],
    ["Channel", reading.channel],
    ["Projection", PROJECTIONS[reading.project]],
    ["Full scale", reading.full_scale && number(reading.full_scale)],
    ["Offset", reading.offset && number(reading.offset)],
    ["Objective", assay.objective],
    ["Pixel size", assay.pixel_size_um && `${significant(assay.pixel_size_um)} µm`],
    ["Cell diameter", (assay.cell_diameter_px && `${significant(assay.cell_diameter_px)} px`) || (assay.cell_diameter_um && `${significant(assay.cell_diameter_um)} µm`)],
    ["Threshold", assay.threshold && number(assay.threshold, 2)],
    ["Least probability", assay.least_probability && number(assay.least_probability, 2)],
    ["Smallest cell", assay.min_area_px && `${significant(assay.min_area_px)} px²`],
    ["Cells at the edge", assay.exclude_border ? "not counted" : "counted"],
    ["Exposure", exposure.exposure_s && `${significant(1000 * exposure.exposure_s)} ms`],
    ["Gain", exposure.gain && significant(exposure.gain)],
    ["Red and blue gain", (exposure.red_gain || exposure.blue_gain) && [exposure.red_gain, exposure.blue_gain].map((one) => (one ? significant(one) : "as set")).join(" and ")],
    ["Taught by", assay.taught && `${number(assay.taught.frames)} images with ${number(assay.taught.cells)} cells`],
  ]));
}

function showVersions(versions) {
  byId("assay-versions").replaceChildren(...versions.map((one, place) => element("li", {},
    `Version ${one.version}: ${moment(one.when)}, ${person(one.who)}${one.taught_frames ? `, taught by ${one.taught_frames} images` : ""} `,
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

/** The chosen assay; what a person is typing in the form may stay. Until it has come, nothing can be saved. */
async function show(refill = true) {
  const isLast = ask();
  refills ||= refill;
  byId("assay-form").inert = refills;
  showLesson(null);
  try {
    const [found, { versions }] = await Promise.all([api.get(path()), api.get(path("/versions"))]);
    if (!isLast()) return;
    assay = found;
    showValues();
    showVersions(versions);
    if (refills) await form.show(assay);
    if (!isLast()) return;
    refills = false;
    byId("assay-form").inert = false;
  } catch (error) {
    if (isLast()) say(error.message);
  }
}

/** Saves something and shows what it came to. */
async function change(order, then = "") {
  try {
    const saved = await order();
    memory.write("assay", saved.name);
    await offerAssays("assay");
    await show();
    tell(`${saved.name}, version ${saved.version}, is saved.${then}`);
  } catch (error) {
    tell(error.message, "warn");
  }
}

const save = (content, then) => change(() => api.post("/assays", { assay: content, who: author() }), then);

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
byId("objective-list").addEventListener("changed", async () => { await show(false); await form.offerObjectives(); });
field.addEventListener("change", () => show());
byId("assay-form").addEventListener("submit", (event) => { event.preventDefault(); save(form.read()); });
byId("teach").addEventListener("click", teach);
byId("teach-accept").addEventListener("click", () => save(proposed, " New images are counted with it. Count earlier ones again in the history or on their pages."));
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
