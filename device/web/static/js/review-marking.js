// A blinded review, for one observer: the next image, clicks, pause, done. Marks are kept on the instrument at once.
import * as api from "./api.js";
import { announce, byId, element } from "./dom.js";
import { MarkCanvas } from "./mark-canvas.js";
import { linkTo } from "./root.js";

const SAVE_MS = 600;
const review = byId("main").dataset.review;
const path = (rest = "") => `/reviews/${encodeURIComponent(review)}${rest}`;
const canvas = new MarkCanvas(byId("canvas"), { colour: () => "#6fdc9f", onChange: keepSoon });
let observer = null;
let current = null;
let timer = null;
let saving = Promise.resolve();

function trouble(id, text) {
  byId(id).hidden = !text;
  byId(id).textContent = text ?? "";
}

function keepSoon() {
  clearTimeout(timer);
  timer = setTimeout(() => keep(false), SAVE_MS);
}

const marked = (done) => ({ observer, image: current.key, points: canvas.marks.map((mark) => [mark.x, mark.y]), done });

/** Saves in order: a later save never arrives before an earlier one. */
function keep(done) {
  clearTimeout(timer);
  timer = null;
  if (!current) return saving;
  const body = marked(done);
  saving = saving.catch(() => {}).then(() => api.post(path("/marks"), body));
  saving.then(() => trouble("marking-note", null), (error) => trouble("marking-note", `Not saved: ${error.message}`));
  return saving;
}

/** Whoever leaves at once has not lost the last mark. */
function leave() {
  if (!timer || !current) return;
  clearTimeout(timer);
  timer = null;
  api.post(path("/marks"), marked(false), undefined, { keepalive: true })
    .catch((error) => trouble("marking-note", `Not saved: ${error.message}`));
}

function observerButton(one) {
  const state = one.done === one.total ? "finished" : `${one.done} of ${one.total} images done`;
  return element("button", { class: "button", type: "button", disabled: one.done === one.total, onclick: () => start(one.name) }, `${one.name}: ${state}`);
}

async function choose() {
  byId("marking").hidden = true;
  byId("choose").hidden = false;
  try {
    const state = await api.get(path());
    if (state.finished) { location.href = linkTo(`/reviews/${encodeURIComponent(review)}/results`); return; }
    byId("observers").replaceChildren(...state.observers.map(observerButton));
    byId("finish-part").hidden = state.observers.some((one) => one.done < one.total);
  } catch (error) {
    trouble("choose-note", error.message);
  }
}

async function next() {
  const found = await api.get(path("/next"), { observer });
  if (!found.key) { await pause("You have finished all images."); return; }
  current = found;
  byId("which").textContent = `Image ${found.number} of ${found.total}`;
  byId("done").disabled = true;
  await canvas.show(api.url(path(`/images/${found.key}.jpg`)), found, found.points.map(([x, y]) => ({ x, y })));
  byId("done").disabled = false;
  byId("canvas").focus({ preventScroll: true });
}

async function start(name) {
  observer = name;
  trouble("choose-note", null);
  try {
    byId("done").disabled = true; // until the image is there
    byId("which").textContent = "Image";
    await api.post(path("/steps"), { observer, what: "started" });
    byId("choose").hidden = true;
    byId("marking").hidden = false;
    await next();
  } catch (error) {
    await choose();
    trouble("choose-note", error.message);
  }
}

async function pause(text) {
  canvas.frozen = true;
  try {
    if (timer) await keep(false);
    await saving;
    await api.post(path("/steps"), { observer, what: "paused" });
    current = null;
    await choose();
    announce(text);
  } catch (error) {
    canvas.frozen = false;
    trouble("marking-note", `Not saved: ${error.message}`);
  }
}

async function done() {
  if (!current) return;
  byId("done").disabled = true;
  canvas.frozen = true; // a mark that is set now would be drawn but never stored
  try {
    await keep(true);
    await next();
  } catch (error) {
    trouble("marking-note", error.message);
    byId("done").disabled = false;
    canvas.frozen = false;
  }
}

window.addEventListener("pagehide", leave);
document.addEventListener("visibilitychange", () => { if (document.hidden) leave(); });
byId("done").addEventListener("click", done);
byId("pause").addEventListener("click", () => pause("Paused."));
byId("undo").addEventListener("click", () => canvas.undo());
byId("fit").addEventListener("click", () => canvas.viewer.fit());
byId("brightness").addEventListener("input", (event) => canvas.setBrightness(Number(event.target.value)));
byId("finish").addEventListener("click", async () => {
  try {
    await api.post(path("/finish"), {});
    await choose();
  } catch (error) {
    trouble("choose-note", error.message);
  }
});
choose();
