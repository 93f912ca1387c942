// All counts: filter, select, plot, download, keep, delete.
import * as api from "./api.js";
import { offerAssays } from "./assay-choice.js";
import { byId, confirmed, debounce, element, saveBlob, toast } from "./dom.js";
import { number, plural } from "./format.js";
import "./header.js";
import { historyRow } from "./history-row.js";
import { drawPlots } from "./history-plots.js";

const PAGE = 60;
let counts = [];
let before = null;
const chosen = new Set();
let lastChosen = null;

function filters() {
  const day = (id, plus) => {
    const value = byId(id).value;
    if (!value) return "";
    const date = new Date(`${value}T00:00:00`);
    date.setDate(date.getDate() + plus);
    return date.toISOString();
  };
  return {
    sample: byId("filter-sample").value.trim(),
    since: day("filter-since", 0),
    // The last day counts too: until is exclusive.
    until: day("filter-until", 1),
    status: byId("filter-status").value,
    kept: byId("filter-kept").checked ? "true" : "",
  };
}

async function load(more = false) {
  try {
    const answer = await api.get("/counts", { ...filters(), limit: PAGE, before: more ? before : "" });
    counts = more ? [...counts, ...answer.counts] : answer.counts;
    before = answer.next_before;
    if (!more) chosen.clear();
    show();
  } catch (error) {
    toast(error.message, "fault");
  }
}

function show() {
  byId("rows").replaceChildren(...counts.map((count) => historyRow(count, { chosen: chosen.has(count.id), onChoose: choose, onKeep: keep })));
  byId("empty").hidden = counts.length > 0;
  byId("more").hidden = !before;
  showSelection();
}

/** The counts that buttons and plots apply to: the selected ones, or all shown when none is selected. */
const selection = () => (chosen.size ? counts.filter((count) => chosen.has(count.id)) : counts);

const plotSoon = debounce(150, () => drawPlots(selection()));

function showSelection() {
  const all = byId("select-all");
  all.checked = counts.length > 0 && chosen.size === counts.length;
  all.indeterminate = chosen.size > 0 && !all.checked;
  const words = chosen.size ? `${number(chosen.size)} of ${number(counts.length)} selected` : plural(counts.length, "count");
  byId("selection-summary").textContent = before && !chosen.size ? `${words} shown, more below` : words;
  for (const id of ["again-selected", "keep-selected", "delete-selected"]) byId(id).disabled = !chosen.size;
  for (const id of ["export-csv", "export-zip"]) byId(id).disabled = !selection().some((count) => count.status === "done");
  plotSoon();
}

function choose(count, checked, range) {
  const at = counts.indexOf(count);
  const from = range && lastChosen !== null ? lastChosen : at;
  for (const one of counts.slice(Math.min(at, from), Math.max(at, from) + 1)) {
    if (checked) chosen.add(one.id);
    else chosen.delete(one.id);
  }
  lastChosen = at;
  if (from !== at) show();
  else showSelection();
}

async function keep(count, value) {
  try {
    await api.patch(api.countPath(count.id), { keep: value });
    count.keep = value;
    show();
  } catch (error) {
    toast(error.message, "fault");
  }
}

async function keepChosen() {
  const picked = selection();
  const value = !picked.every((count) => count.keep);
  for (const count of picked) await keep(count, value);
}

async function removeChosen() {
  const picked = selection();
  const kept = picked.filter((count) => count.keep).length;
  const warning = kept ? ` ${plural(kept, "of them is marked Keep", "of them are marked Keep")}.` : "";
  if (!await confirmed(`Delete ${plural(picked.length, "count")}?`, `This deletes images, counts and corrections permanently.${warning}`)) return;
  let gone = 0;
  for (const count of picked) {
    try {
      await api.remove(api.countPath(count.id));
      gone += 1;
    } catch (error) {
      toast(error.message, "fault");
    }
  }
  toast(`${plural(gone, "count")} deleted.`);
  await load();
}

/** The new counts stand beside the old ones, which the list shows no longer once they are done. */
async function countAgain() {
  try {
    const answer = await api.post("/recounts", { ids: selection().map((count) => count.id), assay: byId("again-assay").value });
    toast([`${plural(answer.accepted.length, "image")} in the queue.`, ...answer.problems].join(" "), answer.problems.length ? "fault" : undefined);
    await load();
  } catch (error) {
    toast(error.message, "fault");
  }
}

async function take(format) {
  const ids = selection().filter((count) => count.status === "done").map((count) => count.id);
  const button = byId(`export-${format}`);
  button.disabled = true;
  try {
    const { blob, headers } = await api.blob("/exports", { method: "POST", json: { ids, format } });
    const named = /filename="?([^";]+)/.exec(headers.get("Content-Disposition") ?? "")?.[1];
    saveBlob(blob, named ?? `fluocount.${format}`);
    toast(`${plural(ids.length, "count")} exported.`);
  } catch (error) {
    toast(error.message, "fault");
  } finally {
    button.disabled = false;
  }
}

byId("filters").addEventListener("input", debounce(250, () => load()));
byId("filters").addEventListener("reset", () => setTimeout(load));
byId("filters").addEventListener("submit", (event) => { event.preventDefault(); load(); });
byId("more").addEventListener("click", () => load(true));
byId("select-all").addEventListener("change", (event) => {
  chosen.clear();
  if (event.target.checked) for (const count of counts) chosen.add(count.id);
  show();
});
byId("export-csv").addEventListener("click", () => take("csv"));
byId("export-zip").addEventListener("click", () => take("zip"));
byId("again-selected").addEventListener("click", countAgain);
byId("keep-selected").addEventListener("click", keepChosen);
byId("delete-selected").addEventListener("click", removeChosen);
async function suggestSamples() {
  try {
    const { samples } = await api.get("/samples");
    byId("samples").replaceChildren(...samples.map((sample) => element("option", { value: sample })));
  } catch { /* without suggestions the field still works */ }
}

document.addEventListener("visibilitychange", () => { if (!document.hidden && !chosen.size) load(); });
// On a phone the list comes first; the plots open on request.
byId("plots").open = !matchMedia("(max-width: 860px)").matches;
suggestSamples();
offerAssays("again-assay", null);
load();
