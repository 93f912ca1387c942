// The page of the studies: set up, put counts into one, look at figure and report.
import * as api from "./api.js";
import { offerAssays } from "./assay-choice.js";
import { byId, element, lastOnly, memory } from "./dom.js";
import { interval, number, plural, significant } from "./format.js";
import "./header.js";
import { showBundles } from "./study-bundles.js";
import { offerReviews, showReviews } from "./study-reviews.js";
import { changePlace, offerGroups } from "./study-place.js";
import { showSplit } from "./study-split.js";
import { countPage } from "./root.js";

const field = byId("study");
const path = (rest = "") => `/studies/${encodeURIComponent(field.value)}${rest}`;
const say = (text) => { byId("study-note").textContent = text; };
const ask = lastOnly();
let study = null;
let present = null;

async function offerStudies(wanted) {
  const { studies } = await api.get("/studies");
  field.replaceChildren(...studies.map((one) => element("option", { value: one.name }, `${one.name} (${plural(one.images, "image")})`)));
  const named = wanted || new URLSearchParams(location.search).get("study") || memory.read("study");
  if (studies.some((one) => one.name === named)) field.value = named;
  byId("study-setup").open = !studies.length;
}

function fillForm() {
  byId("new-name").value = study.name;
  byId("new-question").value = study.question;
  byId("new-groups").value = study.groups.join(", ");
  byId("new-pattern").value = study.pattern;
  byId("new-assay").value = study.assay || "default";
  byId("new-per-subject").value = study.per_subject;
  byId("new-tests").value = study.tests;
  byId("new-pairing").value = study.pairing;
}

function imageRow(one) {
  const place = one.place;
  const cells = one.problem ? [element("td", { colspan: 3 }, one.problem)]
    : [element("td", {}, number(one.count)), element("td", {}, one.reviewed_by ? "" : interval(one.interval)), element("td", {}, one.reviewed_by || "")];
  return element("tr", { "data-problem": Boolean(one.problem) || !(place.group && place.subject) },
    element("td", {}, element("a", { href: countPage(one.id) }, one.image)),
    ...["group", "subject", "slice", "region"].map((name) => element("td", {}, place[name])), ...cells,
    element("td", {}, element("button", { class: "link", type: "button", onclick: () => changePlace(one, path, show) }, "change"), " ",
      element("button", { class: "link", type: "button", onclick: () => change(() => api.post(path("/take-out"), { ids: [one.id] }), "taken out") }, "take out")));
}

function regionPart(region, place) {
  const query = { density: byId("density").checked || undefined, region: place + 1 };
  const words = [...region.sentences, region.overall];
  return element("section", {}, region.region && element("h3", {}, region.region),
    ...words.map((text) => element("p", { class: "finding" }, text)),
    element("img", { class: "study-figure", src: api.url(path("/figure.svg"), query), alt: `Subjects by group, ${region.unit}` }),
    element("p", { class: "hint" }, region.groups.map((one) => `${one.group}: n = ${one.subjects}, mean ${significant(one.mean)}`).join("; ")),
    element("p", { class: "actions" }, ...[["figure.svg", "Figure (SVG)"], ["figure.png", "Figure (PNG)"], ["prism.csv", "Table for Prism"]].map(([name, text]) => element("a", { class: "button small", href: api.url(path(`/${name}`), query), download: name }, text))));
}

function showNotes(notes) {
  byId("study-notes").hidden = !Object.keys(notes).length;
  byId("notes").replaceChildren(...Object.entries(notes).map(([heading, told]) => element("details", { open: told.length < 12 },
    element("summary", {}, `${heading} (${told.length})`), element("ul", {}, ...told.map((text) => element("li", {}, text))))));
}

async function showResults(images, isLast) {
  byId("study-results").hidden = !images.some((one) => one.count !== null);
  if (byId("study-results").hidden) { showNotes({}); return; }
  const density = byId("density").checked || undefined;
  const trouble = byId("results-note");
  if (!byId("regions").childElementCount) byId("regions").replaceChildren(element("p", { class: "hint" }, "Being calculated…"));
  try {
    const regions = await api.get(path("/results"), { density });
    if (!isLast()) return;
    byId("regions").replaceChildren(...regions.map(regionPart));
    showNotes(regions[0]?.notes ?? {});
    trouble.hidden = true;
  } catch (error) {
    if (!isLast()) return;
    byId("regions").replaceChildren();
    trouble.textContent = error.message;
    trouble.hidden = false;
  }
  byId("downloads").replaceChildren(
    element("a", { class: "button primary", href: api.url(path("/report.html"), { density }), target: "_blank" }, "Report"),
    element("a", { class: "button small", href: api.url(path("/report.zip"), { density }), download: true }, "Report, figures and tables (ZIP)"),
    element("a", { class: "button small", href: api.url(path("/images.csv")), download: true }, "Images (CSV)"),
    element("a", { class: "button small", href: api.url(path("/subjects.csv"), { density }), download: true }, "Subjects (CSV)"));
}

async function show() {
  if (!field.value) return;
  memory.write("study", field.value);
  const isLast = ask();
  try {
    const found = await api.get(path());
    if (!isLast()) return;
    present = found;
    study = found.study;
    offerGroups(study);
    byId("study-question").textContent = study.question;
    fillForm();
    byId("images").replaceChildren(...found.images.map(imageRow));
    byId("images-empty").hidden = found.images.length > 0;
    showBundles(path, found);
    await Promise.all([showResults(found.images, isLast), showCapturing(), showReviews(path, isLast)]);
  } catch (error) {
    if (isLast()) say(error.message);
  }
}

async function change(order, done) {
  try {
    await order();
    await offerStudies(field.value);
    await show();
    say(done);
  } catch (error) {
    say(error.message);
  }
}

async function save(event) {
  event.preventDefault();
  const value = (id) => byId(id).value.trim();
  const made = {
    name: value("new-name"), question: value("new-question"), pattern: value("new-pattern"), assay: value("new-assay"),
    groups: value("new-groups").split(",").map((one) => one.trim()).filter(Boolean),
    per_subject: value("new-per-subject"), tests: value("new-tests"), pairing: value("new-pairing"),
  };
  await change(async () => {
    await api.post("/studies", made);
    await offerStudies(made.name);
  }, `The study ${made.name} is saved.`);
}

async function showCapturing(answer) {
  const found = answer ?? await api.get("/capturing");
  const place = found.place;
  byId("capturing-state").textContent = found.study
    ? `The next capture is ${[place.group, place.subject, place.region, place.slice && `slice ${place.slice}`].filter(Boolean).join(", ")} of ${found.study}.`
    : "Captures belong to no study.";
  if (found.study === field.value) for (const name of ["group", "subject", "region", "slice"]) byId(`capturing-${name}`).value = place[name];
}

async function setCapturing(study_name) {
  const names = ["group", "subject", "region", "slice"];
  const place = Object.fromEntries(names.map((name) => [name, byId(`capturing-${name}`).value.trim()]));
  try {
    await showCapturing(await api.post("/capturing", study_name ? { study: study_name, ...place } : {}));
  } catch (error) {
    byId("capturing-state").textContent = error.message;
  }
}

field.addEventListener("change", () => {
  byId("study-split").hidden = true;
  byId("regions").replaceChildren();
  show();
});
byId("density").addEventListener("change", show);
byId("study-form").addEventListener("submit", save);
byId("add-show").addEventListener("click", () => showSplit(present, path, show));
byId("capturing-form").addEventListener("submit", (event) => { event.preventDefault(); setCapturing(field.value); });
byId("capturing-end").addEventListener("click", () => setCapturing(null));
byId("add-table").addEventListener("change", async (event) => {
  const table = await event.target.files[0].text();
  event.target.value = "";
  change(() => api.post(path("/images"), { table }), "The counts of the table are in the study.");
});
offerReviews(path);
await offerAssays("new-assay");
await offerStudies();
show();
