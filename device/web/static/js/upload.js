// Drop images: two upload at a time, and each row shows the state of its file.
import * as api from "./api.js";
import { offerAssays } from "./assay-choice.js";
import { announce, byId, memory, pause } from "./dom.js";
import { fromMegabytes, number, plural } from "./format.js";
import { onStatus } from "./header.js";
import { Follower } from "./follower.js";
import { ended } from "./job.js";
import { send } from "./send.js";
import { Row } from "./upload-row.js";

const AT_ONCE = 2;
const FORMATS = { jpg: "JPEG", jpeg: "JPEG", tif: "TIFF", tiff: "TIFF" };
const rows = [];
const follower = new Follower({
  onCount: (count) => {
    const row = rows.find((one) => one.id === count.id);
    if (ended(count)) row?.finish(count);
    else row?.counting(count);
    summarise();
  },
  onTrouble: (id, error) => {
    rows.find((one) => one.id === id)?.fail(error.message);
    summarise();
  },
});
let limits = null;
let sending = 0;

function options() {
  const value = (id) => byId(id).value.trim();
  return {
    sample: value("sample"),
    assay: value("assay"),
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

function add(files) {
  const chosen = options();
  if (chosen.sample) memory.write("sample", chosen.sample);
  for (const file of files) {
    const row = new Row(file, chosen, retry);
    rows.unshift(row);
    byId("upload-rows").prepend(row.item);
    const reason = objection(file);
    if (reason) row.fail(reason);
  }
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
    follower.add(row.id);
    summarise();
  } catch (error) {
    row.fail(error.message);
  }
}

function next() {
  summarise();
  while (sending < AT_ONCE) {
    const row = rows.findLast((candidate) => candidate.state === "waiting");
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
  row.accepted(accepted.id);
  // The instrument counts while the next file uploads.
  follower.add(row.id);
  if (row.cancelAsked) await cancelCount(row);
}

async function refused(row, error) {
  const full = error.status === 503 || error.status === 429;
  if (full && row.state !== "cancelled") {
    row.hold(`${error.message} It will be sent again automatically.`);
    await pause(1000 * (error.retryAfter ?? 5));
    if (row.state === "held") row.wait();
  } else if (row.state !== "cancelled") {
    row.fail(error.message);
  }
}

function summarise() {
  const of = (...states) => rows.filter((row) => states.includes(row.state)).length;
  const [done, failed] = [of("done"), of("failed")];
  const open = of("waiting", "held", "sending", "counting");
  const parts = [`${number(done)} of ${number(rows.length)} counted`];
  if (open) parts.push(`${number(open)} in progress`);
  if (failed) parts.push(`${number(failed)} failed`);
  byId("upload-summary").textContent = rows.length ? parts.join(", ") : "No files yet.";
  byId("upload-cancel").hidden = !open;
  byId("upload-clear").hidden = open > 0 || rows.length === 0;
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
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    off();
    add([...event.dataTransfer.files]);
  });
}

byId("sample").value = memory.read("sample");
byId("files").addEventListener("change", (event) => {
  add([...event.target.files]);
  event.target.value = "";
});
byId("upload-options").addEventListener("submit", (event) => event.preventDefault());
byId("upload-cancel").addEventListener("click", cancelWaiting);
byId("upload-clear").addEventListener("click", () => {
  rows.length = 0;
  byId("upload-rows").replaceChildren();
  summarise();
});
window.addEventListener("beforeunload", (event) => {
  if (rows.some((row) => ["waiting", "held", "sending"].includes(row.state))) event.preventDefault();
});
dropTarget(byId("drop"));
offerAssays("assay");
onStatus(showLimits);
