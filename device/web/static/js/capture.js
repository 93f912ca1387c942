// The capture page: live view, camera settings, capture button, latest count.
import * as api from "./api.js";
import { offerAssays } from "./assay-choice.js";
import { CameraForm } from "./camera-form.js";
import { showStudyPlace } from "./capture-study.js";
import { announce, byId, element, icon } from "./dom.js";
import { interval, moment, number, plural } from "./format.js";
import { onStatus, refresh } from "./header.js";
import { ended, follow, progressText } from "./job.js";
import { drawSmall } from "./layers.js";
import { onChanges } from "./live.js";
import { offerGuide } from "./guide.js";
import { Meters } from "./meters.js";
import { offerObjectives } from "./objective-choice.js";
import { Preview } from "./preview.js";
import { SampleName } from "./sample-name.js";
import { cameraIndicator } from "./state.js";
import { countPage } from "./root.js";

const ORIGINS = { upload: "uploaded, ", watch: "from a watched folder, ", batch: "from a batch, " };
const preview = new Preview();
const meters = new Meters();
const form = new CameraForm();
const button = byId("capture");
let current = null;
let lastRefusal = null;
let latest = null;

function setButton(level, detail, fraction = 0, label = "Capture and count") {
  button.dataset.level = level;
  button.disabled = level !== "ok";
  button.querySelector(".go-label").textContent = label;
  byId("capture-detail").textContent = detail;
  byId("capture-progress").style.width = `${100 * fraction}%`;
}

function refuse(text) {
  const region = byId("refusal");
  region.hidden = !text;
  region.textContent = text ?? "";
}

function showCamera(found) {
  const camera = found?.camera;
  const indicator = cameraIndicator(camera);
  const usable = Boolean(camera) && indicator.level !== "fault" && indicator.level !== "unknown";
  const reason = camera?.text || "No camera. You can still upload images.";
  preview.setAvailable(usable, found ? reason : "The instrument does not answer.");
  byId("preview").dataset.kind = camera?.kind ?? "";
  const kind = byId("preview-kind");
  kind.hidden = camera?.kind !== "simulated";
  kind.textContent = "simulated camera";
  if (current) return;
  if (!found) setButton("fault", "the instrument does not answer");
  else if (!usable) setButton("fault", reason);
  else if (found.disk?.level === "refuse") setButton("fault", "the disk is full");
  else if (indicator.level === "busy") setButton("ok", `camera ${indicator.text}; capture may be refused`);
  else setButton("ok", found.queue?.waiting ? `ready, ${plural(found.queue.waiting, "image is", "images are")} ahead in the queue` : "ready");
}

function showRefusal(found) {
  const refusal = found?.last_refusal;
  if (!refusal || refusal.when === lastRefusal) return;
  const first = lastRefusal === null;
  lastRefusal = refusal.when;
  const age = Date.parse(found.device_time) - Date.parse(refusal.when);
  if (!first || age < 60000) refuse(`Capture refused ${moment(refusal.when)}: ${refusal.text}`);
}

function showLatest(count) {
  const region = byId("latest");
  const target = countPage(count.id);
  const shown = count.corrected_count ?? count.count;
  const range = count.interval ? element("small", {}, ` (${interval(count.interval)})`) : null;
  const picture = element("canvas", { role: "img", "aria-label": "The counted image with outlines" });
  region.replaceChildren(
    element("p", { class: "value" }, `${number(shown)}`, range),
    element("p", { class: "about" }, count.sample || "no sample name", element("small", {}, `${ORIGINS[count.origin] ?? ""}${moment(count.created)}`)),
    element("ul", { class: "flags" }, ...(count.flags ?? []).map((flag) => element("li", {}, icon("warning"), element("span", {}, flag.text)))),
    element("a", { href: target, class: "picture", tabindex: "-1", "aria-hidden": "true" }, picture),
    element("a", { href: target, class: "button small" }, "Open and correct"),
  );
  region.hidden = false;
  byId("guide").hidden = true;
  latest = count;
  drawSmall(picture, count).catch((error) => refuse(error.message));
}

/** Whoever made it: the newest finished count is shown, and shown again when somebody corrects it. */
function showChanges({ counts, deleted, reset }) {
  if (counts.some((count) => count.origin === "capture")) showStudyPlace();
  if (reset || deleted.includes(latest?.id)) { showLast(); return; }
  const done = counts.filter((count) => count.status === "done" && count.sequence >= (latest?.sequence ?? 0));
  const newest = done.toSorted((a, b) => b.sequence - a.sequence)[0];
  if (newest) showLatest(newest);
}

async function press(event) {
  event.preventDefault();
  if (button.disabled) return;
  refuse(null);
  setButton("busy", "exposing", 0, "Exposing");
  current = { id: null };
  const sample = byId("sample").value.trim();
  const named = Object.entries({ sample, assay: byId("assay").value, objective: byId("objective").value });
  const options = Object.fromEntries(named.filter(([, value]) => value));
  try {
    const { id } = await api.post("/captures", options);
    current = { id };
    names.used(sample);
    byId("cancel").hidden = false;
    const count = await follow(id, (found) => {
      if (!ended(found)) setButton("busy", progressText(found), found.progress ?? 0, "Counting");
    });
    if (count.status === "done") {
      showLatest(count);
      announce(`${plural(count.count, "cell")} counted`);
    } else if (count.status === "failed") refuse(count.error ?? "This count failed.");
  } catch (error) {
    refuse(`Not captured: ${error.message}`);
  } finally {
    current = null;
    byId("cancel").hidden = true;
    showStudyPlace();
    refresh();
  }
}

async function cancel() {
  if (!current?.id) return;
  try {
    await api.post(api.countPath(current.id, "/cancel"));
  } catch (error) {
    refuse(error.message);
  }
}

async function readCamera() {
  if (!document.hidden && preview.available) {
    try {
      const camera = await api.get("/camera");
      form.show(camera);
      if (preview.live) meters.show(camera);
    } catch { /* the header already shows that the instrument does not answer */ }
  }
  setTimeout(readCamera, 1000);
}

async function showLast() {
  try {
    const { counts } = await api.get("/counts", { status: "done", limit: 1 });
    if (counts.length) showLatest(counts[0]);
    else byId("latest").hidden = true;
    byId("guide").hidden = counts.length > 0;
  } catch { /* nothing to show yet */ }
}

const names = new SampleName();
byId("capture-form").addEventListener("submit", press);
byId("cancel").addEventListener("click", cancel);
onStatus((found) => { showCamera(found); showRefusal(found); });
offerAssays("assay");
offerObjectives("objective", "as the assay says");
offerGuide();
showStudyPlace();
readCamera();
onChanges(showChanges);
