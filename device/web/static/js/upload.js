// Drop images: two upload at a time, and each row shows the state of its file.
import * as api from "./api.js";
import { offerAssays } from "./assay-choice.js";
import { announce, byId, memory, pause, toast } from "./dom.js";
import { droppedFiles, imagesOf } from "./dropped.js";
import { fromMegabytes, number, plural } from "./format.js";
import { onStatus } from "./header.js";
import { ended } from "./job.js";
import { onChanges } from "./live.js";
import { Look, NO_OBJECTIVE } from "./look.js";
import { offerObjectives } from "./objective-choice.js";
import { keepPossible } from "./possible.js";
import { SampleName } from "./sample-name.js";
import { send } from "./send.js";
import { relogin } from "./session.js";
import { Row } from "./upload-row.js";

const AT_ONCE = 2;
const FIRST_WAIT_S = 2;
const LONGEST_WAIT_S = 30;
/** Endings as people name the formats. */
const FORMATS = { jpg: "JPEG", jpeg: "JPEG", jpe: "JPEG", jfif: "JPEG", tif: "TIFF", tiff: "TIFF", btf: "TIFF", tf8: "TIFF", lsm: "LSM (Zeiss)", stk: "STK (MetaMorph)" };
const OPEN = ["waiting", "held", "sending", "counting"];
const rows = [];
let limits = null;
let sending = 0;

function options() {
  const value = (id) => byId(id).value.trim();
  return {
    sample: value("sample"),
    assay: value("assay"),
    objective: value("objective"),
    threshold: value("threshold"),
    cell_diameter_px: value("cell-diameter"),
    channel: value("channel"),
    z: value("plane-z"),
    t: value("plane-t"),
    scene: value("plane-scene"),
    project: value("project"),
    full_scale: value("full-scale"),
    exclude_border: byId("exclude-border").checked ? "true" : "",
  };
}

/** Why the instrument would refuse this file, from its known limits; null when it would not. */
function objection(file) {
  if (file.size === 0) return `${file.name} is empty. Copy it again from its source.`;
  const most = limits?.max_upload_mb;
  if (most && file.size > most * 1e6) {
    return `${file.name} has ${fromMegabytes(file.size / 1e6)}; the instrument accepts up to ${fromMegabytes(most)} per file.`;
  }
  return null;
}

/** What a person chose: counted at once, or after the first image was looked at. */
function take(files) {
  if (!files.length) toast("There is no image in what you chose. Choose image files, or a folder of images.", "warn");
  const chosen = options();
  const shown = files.filter((file) => !objection(file));
  if (shown.length && byId("look-first").checked) looking.open(shown, chosen, (changed) => add(files, changed));
  else add(files, chosen);
}

function add(files, chosen) {
  for (const file of files) {
    const row = new Row(file, chosen, retry);
    rows.push(row);
    byId("upload-rows").append(row.item);
    const reason = objection(file);
    if (reason) row.fail(reason);
  }
  names.used(chosen.sample);
  next();
}

async function retry(row) {
  if (!row.id) {
    row.wait();
    next();
    return;
  }
  // The image is on the instrument already: only count it again.
  try {
    await api.post(api.countPath(row.id, "/retry"));
    row.accepted(row.id);
    look(row);
    summarise();
  } catch (error) {
    row.fail(error.message);
  }
}

function next() {
  summarise();
  while (sending < AT_ONCE) {
    const row = rows.find((candidate) => candidate.state === "waiting");
    if (!row) return;
    sending += 1;
    upload(row).finally(() => { sending -= 1; next(); });
  }
}

async function upload(row) {
  row.sending(0);
  const request = send(row.file, row.options, row.key, (fraction) => row.sending(fraction));
  row.abort = request.abort;
  let accepted;
  try {
    accepted = await request.done;
  } catch (error) {
    await refused(row, error);
    return;
  }
  row.tries = 0;
  row.accepted(accepted.id);
  row.mention(accepted.earlier);
  // The instrument counts while the next file uploads.
  look(row);
  if (row.cancelAsked) await cancelCount(row);
}

/** Once after accepting: a quick count is done before its number is known here. */
async function look(row) {
  try {
    show(row, await api.get(api.countPath(row.id)));
  } catch (error) {
    if (!api.isPassing(error)) row.fail(error.message);
  }
  summarise();
}

function show(row, count) {
  if (row.state !== "counting") return;
  if (ended(count)) row.finish(count);
  else row.counting(count);
}

function showChanges({ counts, deleted, reset }) {
  for (const row of rows.filter((one) => one.id && one.state === "counting")) {
    const found = counts.find((count) => count.id === row.id);
    if (found) show(row, found);
    else if (deleted.includes(row.id)) row.fail("This count was deleted.");
    else if (reset) look(row);
  }
  summarise();
}

/** What passes (a broken line, a restart, a full queue, a login) is waited for; the same key counts nothing twice. */
async function refused(row, error) {
  if (row.state === "cancelled") return;
  if (api.needsLogin(error.status, "POST")) {
    row.hold("Waiting for you to log in; it will be sent again automatically.");
    await relogin();
  } else if (api.isPassing(error)) {
    const wait = error.retryAfter ?? Math.min(LONGEST_WAIT_S, FIRST_WAIT_S * 2 ** row.tries);
    row.tries += 1;
    row.hold(`${error.message} It will be sent again automatically, in ${number(wait)} s.`);
    await Promise.race([pause(1000 * wait), hurried()]);
  } else {
    row.fail(error.message);
    return;
  }
  if (row.state === "held") row.wait();
}

const hurried = () => new Promise((resolve) => {
  for (const [target, name] of [[window, "online"], [byId("upload-again"), "click"]]) target.addEventListener(name, resolve, { once: true });
});

function tryAllAgain() {
  for (const row of rows.filter((one) => one.state === "failed")) {
    if (!objection(row.file)) retry(row);
  }
}

function summarise() {
  const of = (...states) => rows.filter((row) => states.includes(row.state)).length;
  const [done, failed, held] = [of("done"), of("failed"), of("held")];
  const open = of(...OPEN);
  const parts = [`${number(done)} of ${number(rows.length)} counted`];
  if (open) parts.push(`${number(open)} in progress`);
  if (failed) parts.push(`${number(failed)} failed`);
  byId("upload-summary").textContent = rows.length ? parts.join(", ") : "No files yet.";
  byId("upload-cancel").hidden = !open;
  byId("upload-again").hidden = !(failed || held);
  byId("upload-clear").hidden = open > 0 || rows.length === 0;
  const whole = byId("upload-whole");
  whole.hidden = !open;
  whole.querySelector("i").style.width = `${(100 * rows.reduce((sum, row) => sum + row.done, 0)) / Math.max(1, rows.length)}%`;
  if (rows.length && !open) announce(`${plural(done, "image")} counted, ${number(failed)} failed`);
}

async function cancelWaiting() {
  for (const row of rows) {
    // Once the last byte is sent the instrument may accept it at any moment; then cancel the count instead.
    if (row.state === "sending" && row.sent) row.cancelAsked = true;
    else if (["waiting", "held", "sending"].includes(row.state)) row.cancel();
    else if (row.state === "counting") await cancelCount(row);
  }
  summarise();
}

const cancelCount = (row) => api.post(api.countPath(row.id, "/cancel")).catch((error) => row.note(error.message));

function showLimits(status) {
  limits = status?.limits ?? limits;
  if (!limits) return;
  const kinds = [...new Set(limits.formats.map((suffix) => FORMATS[suffix] ?? suffix.toUpperCase()))].join(", ");
  const pixels = limits.max_side_px ? `, sides of ${number(limits.min_side_px)} to ${number(limits.max_side_px)} px` : "";
  byId("limits").textContent = `${kinds}; 8 or 16 bit; up to ${fromMegabytes(limits.max_upload_mb)} per file${pixels}`;
}

function dropTarget(zone) {
  const over = (event) => { event.preventDefault(); zone.dataset.over = ""; };
  const off = () => { delete zone.dataset.over; };
  document.addEventListener("dragover", over);
  document.addEventListener("dragleave", (event) => { if (!event.relatedTarget) off(); });
  document.addEventListener("drop", async (event) => {
    event.preventDefault();
    off();
    take(await droppedFiles(event.dataTransfer));
  });
}

const names = new SampleName();
const looking = new Look();
const first = byId("look-first");
first.checked = Boolean(memory.read("look-first"));
first.addEventListener("change", () => memory.write("look-first", first.checked ? "yes" : ""));
for (const id of ["files", "folder"]) {
  byId(id).addEventListener("change", (event) => {
    take(id === "folder" ? imagesOf([...event.target.files]) : [...event.target.files]);
    event.target.value = "";
  });
}
byId("choose-folder").addEventListener("click", () => byId("folder").click());
byId("upload-options").addEventListener("submit", (event) => event.preventDefault());
byId("upload-cancel").addEventListener("click", cancelWaiting);
byId("upload-again").addEventListener("click", tryAllAgain);
byId("upload-clear").addEventListener("click", () => {
  rows.length = 0;
  byId("upload-rows").replaceChildren();
  summarise();
});
window.addEventListener("beforeunload", (event) => {
  if (rows.some((row) => ["waiting", "held", "sending"].includes(row.state))) event.preventDefault();
});
keepPossible(byId("upload-options"), (text) => { byId("options-note").textContent = text; byId("options-note").hidden = !text; });
// A warning about the range of a file leads here.
const asked = byId("upload-options").querySelector(`details [id="${CSS.escape(location.hash.slice(1))}"]`);
if (asked) { asked.closest("details").open = true; asked.focus(); }
dropTarget(byId("drop"));
offerAssays("assay");
offerObjectives("objective", NO_OBJECTIVE);
onStatus(showLimits);
onChanges(showChanges);
