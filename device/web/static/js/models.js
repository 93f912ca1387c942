// The models on the page of the assays: export for training, install, use, remove.
import * as api from "./api.js";
import { author, byId, element, lastOnly, saveBlob } from "./dom.js";

const field = byId("assay");
const ask = lastOnly();
const say = (text) => { byId("model-note").textContent = text; };
const assayPath = (rest = "") => `/assays/${encodeURIComponent(field.value)}${rest}`;

function line(model) {
  const origin = model.shipped ? "comes with fluocount" : `installed, trained on ${model.trained_on}`;
  const uses = model.used_by.length ? ` Used by ${model.used_by.join(", ")}.` : "";
  const remove = element("button", { class: "button small", type: "button", onclick: () => order(() => api.remove(`/models/${encodeURIComponent(model.name)}`), `${model.name} is removed.`) }, "Remove");
  return element("li", {}, element("strong", {}, model.name), ` (${origin}). ${model.trained_for}${uses} `, !model.shipped && !model.used_by.length && remove);
}

function show({ models }) {
  byId("model-list").replaceChildren(...models.map(line));
  byId("model-choice").replaceChildren(...["auto", ...models.map((model) => model.name)].map((name) => element("option", { value: name }, name)));
}

/** The choice stands on the model that the assay has now. */
async function showChosen() {
  const isLast = ask();
  if (!field.value) return;
  const { model } = await api.get(assayPath());
  if (isLast()) byId("model-choice").value = model;
}

/** Changes something, and says what came of it. */
async function order(change, done) {
  say("Please wait");
  try {
    show(await change());
    await showChosen();
    say(done);
  } catch (error) {
    say(error.message);
  }
}

byId("model-file").addEventListener("change", async (event) => {
  const body = new FormData();
  body.append("model", event.target.files[0]);
  event.target.value = "";
  await order(() => api.sendForm("/models", body), "The model is installed: it counts here what it counted where it was made.");
});

byId("training-export").addEventListener("click", async () => {
  say("Collecting the corrected images");
  try {
    const { blob } = await api.blob(assayPath("/training.zip"));
    saveBlob(blob, `${field.value}.training.zip`);
    say("Give this file to fluocount-train adapt on a PC.");
  } catch (error) {
    say(error.message);
  }
});

byId("model-use").addEventListener("click", async () => {
  const model = byId("model-choice").value;
  try {
    const assay = await api.get(assayPath());
    const taught = assay.model === model ? assay.taught : null;
    await api.post("/assays", { assay: { ...assay, model, taught }, who: author() });
    field.dispatchEvent(new Event("change"));
    show(await api.get("/models"));
    byId("model-choice").value = model;
    say(`${assay.name} counts with ${model} now.`);
  } catch (error) {
    say(error.message);
  }
});

field.addEventListener("change", () => showChosen().catch((error) => say(error.message)));
api.get("/models").then(show).then(showChosen).catch((error) => say(error.message));
