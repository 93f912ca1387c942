// The status page: every reading of the instrument.
import * as api from "./api.js";
import { byId, element, pairs } from "./dom.js";
import { duration, exposure, fromMegabytes, moment, number, percent, plural, significant } from "./format.js";
import { problemText, status } from "./header.js";
import { linkTo } from "./root.js";
import { cameraIndicator } from "./state.js";

const CLOCK_WARN_S = 60;
/** Instruments speak every minute; five minutes leave room for a restart. */
const SILENT_S = 300;

function card(name, ...children) {
  const body = byId(`card-${name}`).querySelector(".card-body");
  body.replaceChildren(...children.filter(Boolean));
}

const reading = (text, level) => element("p", { class: "reading", "data-level": level }, text);
const list = (...rows) => element("dl", { class: "pairs" }, ...pairs(rows));
const hint = (text) => element("p", { class: "hint" }, text);

function showProblems(problems) {
  const texts = problems.map(problemText);
  if (!texts.length) card("problems", reading("None", "ok"));
  else card("problems", ...texts.map((text) => element("p", { class: "notice", "data-level": "warn" }, text)));
}

function showCamera(found) {
  const indicator = cameraIndicator(found.camera);
  card("camera", reading(indicator.text, indicator.level), found.camera?.text && hint(found.camera.text), list(
    ["Kind", found.camera?.kind],
    ["Model", camera?.model],
    ["Picture", camera?.width_px && `${number(camera.width_px)} × ${number(camera.height_px)} px`],
    ["Exposure", camera?.exposure_s && exposure(camera.exposure_s)],
    ["Gain", camera?.gain && significant(camera.gain)],
    ["Averaging", camera?.average_frames && plural(camera.average_frames, "frame")],
    ["Captures", camera && number(camera.captures)],
    ["Last refused capture", found.last_refusal && `${moment(found.last_refusal.when)}: ${found.last_refusal.text}`],
  ));
}

function showQueue(queue) {
  const waiting = queue?.waiting ?? 0;
  card("queue", reading(waiting ? `${number(waiting)} waiting` : "empty", waiting ? "busy" : "ok"), list(
    ["Counting now", queue?.running ? "one image" : "nothing"],
    ["Limit", queue?.max && plural(queue.max, "image")],
    ["Worker", queue?.worker],
  ));
}

function flagsText(flags) {
  if (flags === null || flags === undefined) return "unknown";
  return flags.length ? flags.join(", ") : "none";
}

function showBoard(found) {
  const warm = found.temperature_c;
  const known = warm !== null && warm !== undefined;
  const level = known && warm >= 80 ? "fault" : "ok";
  const throttling = found.throttling ?? {};
  card("board", reading(known ? `${number(warm, 1)} °C` : "no sensor", known ? level : "unknown"), list(
    ["Throttling now", flagsText(throttling.now)],
    ["Since start", flagsText(throttling.since_boot)],
    ["Memory", found.memory && `${fromMegabytes(found.memory.available_mb)} of ${fromMegabytes(found.memory.total_mb)} free`],
  ));
}

function showDisk(disk) {
  if (!disk) return;
  const used = 1 - disk.free_mb / disk.total_mb;
  const level = { ok: "ok", warn: "warn", refuse: "fault" }[disk.level] ?? "ok";
  const fill = element("i", { "data-level": level });
  fill.style.width = `${100 * used}%`;
  card("disk", reading(`${fromMegabytes(disk.free_mb)} free`, level), element("div", { class: "bar" }, fill), list(
    ["Used", `${percent(used)} of ${fromMegabytes(disk.total_mb)}`],
    ["Warns below", fromMegabytes(disk.warn_free_mb)],
    ["Stops counting below", fromMegabytes(disk.refuse_free_mb)],
  ));
}

const synchronised = (known) => ({ true: "the network", false: "not set since the last start" })[known] ?? "";

function showClock(found) {
  const device = Date.parse(found.device_time);
  const middle = (found.roundTrip.asked + found.roundTrip.answered) / 2;
  const offset = (device - middle) / 1000;
  const far = Math.abs(offset) > CLOCK_WARN_S;
  const side = offset > 0 ? "ahead of" : "behind";
  const words = Math.abs(offset) < 2 ? "agrees with this browser" : `${duration(Math.abs(offset))} ${side} this browser`;
  card("clock", reading(words, far ? "warn" : "ok"), list(
    ["Device", new Date(device).toLocaleString("en-GB")],
    ["Browser", new Date(middle).toLocaleString("en-GB")],
    ["Set by", synchronised(found.clock_synchronised)],
  ), far && hint("Dates of new counts will be wrong; their order stays right. Connect the instrument to the network or set its clock."));
}

function metricsTable(metrics) {
  const head = ["Measured on", "Images", "Cells", "F1", "Precision", "Recall", "Mean error"];
  const row = (one) => element("tr", {}, ...[
    one.on, number(one.frames), number(one.cells), number(one.f1, 3), number(one.precision, 3), number(one.recall, 3), number(one.mae, 2),
  ].map((text) => element("td", {}, text)));
  const table = element("table", { class: "metrics" },
    element("thead", {}, element("tr", {}, ...head.map((text) => element("th", { scope: "col" }, text)))),
    element("tbody", {}, ...metrics.map(row)));
  return element("div", { class: "table-scroll", tabindex: "0", role: "group", "aria-label": "What the model reached" }, table);
}

const intervalText = ({ fitted_on: fittedOn, coverage }) => (coverage === null ? fittedOn : `${fittedOn.replace(/\.$/, "")}. It contained the true count in ${percent(coverage)} of unseen images.`);

function showModel(found) {
  const { model, models = [] } = found;
  if (!model) { card("model", reading("missing", "fault"), hint("Install a model; run fluocount doctor for help.")); return; }
  card("model", reading(`${model.name} ${model.version}`, "ok"), hint(`${model.trained_for} Counted with fluocount ${found.version}.`), metricsTable(model.metrics ?? []), list(
    ["Architecture", model.architecture],
    ["Interval", model.confidence && intervalText(model.confidence)],
    ["Threshold", number(model.threshold, 3)],
    ["Cell diameter", model.frame_cell_diameter_px && `${significant(model.frame_cell_diameter_px)} px in a full frame`],
    ["Trained on", (model.training_data ?? []).map((data) => `${data.name} (${plural(data.frames, "image")}, ${data.licence})`).join("; ")],
    ["Trained", model.trained_on],
    ["Commit", model.git_commit],
    ["SHA-256", model.sha256],
    ["Shipped models", models.join(", ")],
  ));
}

function showInstruments(instruments) {
  byId("card-instruments").hidden = !instruments.length;
  const silent = instruments.filter((one) => one.silent_s > SILENT_S);
  const head = silent.length ? `${number(silent.length)} of ${number(instruments.length)} silent` : plural(instruments.length, "instrument");
  const about = (one) => [
    one.silent_s > SILENT_S ? `silent for ${duration(one.silent_s)}` : "speaks",
    plural(one.counts, "count"), one.waiting ? `${number(one.waiting)} on the way` : "", ...one.problems,
  ].filter(Boolean).join("; ");
  card("instruments", reading(head, silent.length ? "warn" : "ok"), list(...instruments.map((one) => [one.name, about(one)])));
}

function showForwarding(found) {
  byId("card-forwarding").hidden = !found;
  if (!found) return;
  const level = found.lasting ? "warn" : found.waiting ? "busy" : "ok";
  card("forwarding", reading(found.waiting ? `${number(found.waiting)} to be sent` : "all results are there", level), list(
    ["Address", found.central],
    ["Last sent", found.sent_s && moment(new Date(found.sent_s * 1000).toISOString())],
    ["Not taken", found.refused ? plural(found.refused, "result") : ""],
    ["Now", found.trouble],
  ));
}

let shown = "";
let camera = null;

function show(found) {
  // Redraw only on change, so that a person can select text and a screen reader keeps its place.
  showClock(found);
  const { roundTrip, device_time: deviceTime, ...rest } = found;
  const now = JSON.stringify([rest, camera]);
  if (now === shown) return;
  shown = now;
  showProblems(found.problems ?? []);
  showCamera(found);
  showQueue(found.queue);
  showBoard(found);
  showDisk(found.disk);
  showModel(found);
  showInstruments(found.instruments ?? []);
  showForwarding(found.forwarding);
}

/** The cards are shown when both answers are there, or known to be missing: else each would push the others away. */
const arrived = new Set();
function arrive(what) {
  arrived.add(what);
  if (arrived.size === 2) byId("status-cards").removeAttribute("aria-busy");
}

document.addEventListener("status", ({ detail: found }) => {
  if (found) show(found);
  arrive("status");
});

async function readCamera() {
  if (!document.hidden) {
    try {
      camera = await api.get("/camera");
      if (status()) show(status());
    } catch { /* the header shows that the instrument does not answer */ }
    arrive("camera");
  }
  setTimeout(readCamera, 5000);
}

readCamera();

byId("api-origin").textContent = location.origin + linkTo("");
