// All counts: filter, select, plot, download, keep, delete.
import * as api from "./api.js";
import { offerAssays } from "./assay-choice.js";
import { byId, confirmed, debounce, element, toast } from "./dom.js";
import { number, plural } from "./format.js";
import "./header.js";
import { EXPORTS, offerExports } from "./history-export.js";
import { isFiltered, order, question, readAddress, writeAddress } from "./history-filter.js";
import { goTo, keepPlace, keptPlace } from "./history-place.js";
import { historyRow } from "./history-row.js";
import { drawPlots } from "./history-plots.js";
import { onChanges } from "./live.js";

const PAGE = 100;
const NEXT_PAGE = 300;
const MOST = 1000;
let counts = [];
let before = null;
let total = 0;
let loading = null;
/** Answers to an earlier filter or order come too late. */
let turn = 0;
/** Ids; `everything` means all that match the filter, loaded or not. */
const chosen = new Set();
let everything = false;
let lastChosen = null;
/** Of a list to which somebody comes back. */
let kept = keptPlace();
const drawn = new Map();

const fetchPage = (limit, from) => api.get("/counts", { ...question(), order: order(), limit, before: from });

function place(answer) {
  before = answer.next_before;
  total = answer.total;
}

/** The first counts of the list; as many as are shown already, so that the place in the list stays. */
async function load({ stay = false } = {}) {
  turn += 1;
  const mine = turn;
  const back = stay ? null : kept;
  kept = null;
  byId("rows").setAttribute("aria-busy", "true");
  try {
    const wanted = stay ? counts.length : back?.rows ?? 0;
    const answer = await fetchPage(Math.min(MOST, Math.max(PAGE, wanted)), "");
    if (mine !== turn) return;
    counts = answer.counts;
    place(answer);
    if (!stay) { chosen.clear(); everything = false; }
    if (back) await comeBack(back);
    show();
    if (back) goTo(back);
  } catch (error) {
    toast(error.message, "fault");
  }
  if (mine === turn) byId("rows").removeAttribute("aria-busy");
}

async function comeBack({ chosen: ids, everything: all, rows }) {
  for (let last = null; before && before !== last && counts.length < rows;) {
    last = before;
    await append(MOST);
  }
  everything = all;
  const wanted = new Set(ids);
  for (const count of counts) if (all || wanted.has(count.id)) chosen.add(count.id);
}

async function loadMore(limit = NEXT_PAGE) {
  if (!before) return;
  loading ??= append(limit).catch((error) => toast(error.message, "fault")).finally(() => { loading = null; });
  await loading;
  watchEnd();
}

async function append(limit) {
  const mine = turn;
  const answer = await fetchPage(limit, before);
  if (mine !== turn) return;
  counts = [...counts, ...answer.counts];
  place(answer);
  if (everything) for (const count of answer.counts) chosen.add(count.id);
  show();
}

const end = new IntersectionObserver((seen) => { if (seen.some((one) => one.isIntersecting)) loadMore(); }, { rootMargin: "1200px" });

/** Anew after each load: an end that stays in sight is not told a second time. */
function watchEnd() {
  end.unobserve(byId("more"));
  end.observe(byId("more"));
}

/** Keeping and deleting need every count by name; false when the instrument did not give them all. */
async function loadAll() {
  for (let last = null; before && before !== last;) {
    last = before;
    await loadMore(MOST);
  }
  return !before;
}

/** A row is made anew only when it changed, so that thousands cost nothing while one is counted. */
function rowOf(count) {
  const state = JSON.stringify(count) + chosen.has(count.id) + location.search;
  const known = drawn.get(count.id);
  if (known?.state === state) return known.item;
  const item = historyRow(count, { chosen: chosen.has(count.id), onChoose: choose, onKeep: keep });
  drawn.set(count.id, { state, item });
  return item;
}

function show() {
  const focused = document.activeElement?.closest?.(".history-row")?.dataset.id;
  const items = counts.map(rowOf);
  const list = byId("rows");
  const same = items.length === list.children.length && items.every((item, at) => list.children[at] === item);
  if (!same) list.replaceChildren(...items);
  if (focused && !document.activeElement.closest(".history-row")) list.querySelector(`[data-id="${focused}"] input`)?.focus();
  list.dataset.order = order();
  byId("empty").hidden = counts.length > 0;
  byId("more").hidden = !before;
  showSelection();
}

/** The counts that plots apply to: the selected ones, or all shown when none is selected. */
const selection = () => (chosen.size ? counts.filter((count) => chosen.has(count.id)) : counts);

const plotSoon = debounce(150, () => drawPlots(selection()));

function showSelection() {
  const all = byId("select-all");
  const picked = everything ? total : chosen.size;
  all.checked = counts.length > 0 && (everything || chosen.size === counts.length);
  all.indeterminate = chosen.size > 0 && !all.checked;
  byId("selection-summary").textContent = picked ? `${number(picked)} of ${number(total)} selected` : plural(total, "count");
  for (const id of ["again-selected", "keep-selected", "delete-selected"]) byId(id).disabled = !picked;
  for (const [format, { label }] of Object.entries(EXPORTS)) {
    const button = byId(`export-${format}`);
    button.disabled = !selection().some((count) => count.status === "done");
    button.textContent = `${label} (${picked && !everything ? number(picked) : `all ${number(total)}`})`;
  }
  plotSoon();
}

function choose(count, checked, range) {
  everything = false;
  const at = counts.findIndex((one) => one.id === count.id);
  const from = range && lastChosen !== null ? lastChosen : at;
  for (const one of counts.slice(Math.min(at, from), Math.max(at, from) + 1)) {
    if (checked) chosen.add(one.id);
    else chosen.delete(one.id);
  }
  lastChosen = at;
  show();
}

async function keep(count, value) {
  try {
    take(await api.patch(api.countPath(count.id), { keep: value }));
  } catch (error) {
    toast(error.message, "fault");
  }
}

function take(changed) {
  counts = counts.map((one) => (one.id === changed.id ? changed : one));
  show();
}

async function picked() {
  if (everything && !await loadAll()) return [];
  return counts.filter((count) => chosen.has(count.id));
}

async function keepChosen() {
  const wanted = await picked();
  const value = !wanted.every((count) => count.keep);
  for (const count of wanted) await keep(count, value);
}

async function removeChosen() {
  const wanted = await picked();
  if (!wanted.length) return;
  const kept = wanted.filter((count) => count.keep).length;
  const warning = kept ? ` ${plural(kept, "of them is marked Keep", "of them are marked Keep")}.` : "";
  if (!await confirmed(`Delete ${plural(wanted.length, "count")}?`, `This deletes images, counts and corrections permanently.${warning}`)) return;
  let gone = 0;
  for (const count of wanted) {
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
  const ids = (await picked()).map((count) => count.id);
  let accepted = 0;
  const problems = [];
  try {
    for (let at = 0; at < ids.length; at += MOST) {
      const answer = await api.post("/recounts", { ids: ids.slice(at, at + MOST), assay: byId("again-assay").value });
      accepted += answer.accepted.length;
      problems.push(...answer.problems);
    }
  } catch (error) {
    problems.push(error.message);
  }
  toast([`${plural(accepted, "image")} in the queue.`, ...problems].join(" "), problems.length ? "fault" : undefined);
  await load();
}

const reloadSoon = debounce(300, () => load({ stay: true }));

function showChanges({ counts: changed, deleted, reset }) {
  if (reset) { load({ stay: counts.length > 0 }); return; }
  const known = new Set(counts.map((count) => count.id));
  // A count made again takes the place of the old one when it is done.
  const ended = changed.some((count) => count.status === "done" && known.has(count.id));
  for (const count of changed) if (known.has(count.id)) take(count);
  const gone = deleted.filter((id) => known.has(id));
  for (const id of gone) chosen.delete(id);
  // What is new, or may no longer match the filter, is for the instrument to say.
  if (gone.length || ended || isFiltered() || changed.some((count) => !known.has(count.id))) reloadSoon();
}

function filtered() {
  writeAddress();
  load();
}

async function suggestSamples() {
  try {
    const { samples } = await api.get("/samples");
    byId("samples").replaceChildren(...samples.map((sample) => element("option", { value: sample })));
  } catch { /* without suggestions the field still works */ }
}

byId("filters").addEventListener("input", debounce(250, filtered));
byId("filters").addEventListener("reset", () => setTimeout(filtered));
byId("filters").addEventListener("submit", (event) => { event.preventDefault(); filtered(); });
byId("more").addEventListener("click", () => loadMore());
// More rows before the end comes into sight, so that no button is needed.
watchEnd();
byId("select-all").addEventListener("change", (event) => {
  chosen.clear();
  everything = event.target.checked;
  if (everything) for (const count of counts) chosen.add(count.id);
  show();
});
offerExports(() => (everything || !chosen.size ? null : counts.filter((count) => chosen.has(count.id) && count.status === "done").map((count) => count.id)));
byId("again-selected").addEventListener("click", countAgain);
byId("keep-selected").addEventListener("click", keepChosen);
byId("delete-selected").addEventListener("click", removeChosen);
// On a phone the list comes first; the plots open on request.
byId("plots").open = !matchMedia("(max-width: 860px)").matches;
readAddress();
keepPlace(() => ({ chosen: [...chosen], everything, rows: counts.length }));
suggestSamples();
offerAssays("again-assay", null);
onChanges(showChanges);
