// The page of one count: picture, readings, corrections.
import * as api from "./api.js";
import { offerAgain } from "./again.js";
import { announce, byId, confirmed } from "./dom.js";
import { plural } from "./format.js";
import "./header.js";
import { ended, follow, progressText } from "./job.js";
import { onChanges } from "./live.js";
import { Corrections } from "./corrections.js";
import { Notes } from "./notes.js";
import { offerPrinting } from "./print.js";
import { showDoubts, showName, showNumbers, showProvenance } from "./readout.js";
import { Picture } from "./result-picture.js";
import { Review } from "./review.js";
import { Tuning } from "./tuning.js";
import { linkTo } from "./root.js";

const id = byId("result").dataset.countId;
let count = null;
let trial = null;

const picture = new Picture(id, {
  onAdd: (point) => whenKept(() => corrections.add(point)),
  onRemove: (cell) => whenKept(() => corrections.remove(cell)),
  onRegions: (answer) => { count = { ...count, ...answer }; show(); },
});
const corrections = new Corrections(id, (answer) => {
  count = { ...count, ...answer };
  show();
  announce(`corrected count ${count.corrected_count}`);
});
const showAgain = offerAgain(id, (answer) => { count = { ...count, ...answer }; show(); });
const notes = new Notes(id, (values) => { count = { ...count, ...values }; showName(count); });
const review = new Review(id, { picture, judge: (cell, isCell) => whenKept(() => corrections.judge(cell, isCell)) });
const tuning = new Tuning(id, { onTrial: showTrial, onKept: load });

/** Corrections belong to the saved result; other slider settings give other cells. */
function whenKept(action) {
  if (trial) picture.say("Keep or discard these settings before you correct cells.");
  else action();
}

async function showTrial(result, parameters, signal) {
  const wasTrial = trial !== null;
  trial = result;
  if (result || wasTrial) await picture.outline(parameters, signal);
  show();
  if (result) announce(`${plural(result.count, "cell")} with these settings`);
}

function show() {
  showName(count);
  showNumbers(count, trial);
  showDoubts(trial ?? count, count.corrections, { onChoose: (cell) => picture.choose(cell), onJudge: (cell, isCell) => whenKept(() => corrections.judge(cell, isCell)) });
  review.show(count);
  corrections.show();
  notes.show(count);
  picture.show(trial ?? count, trial ? [] : count.corrections, count.regions);
}

function showJob(found) {
  showName(found);
  notes.show(found);
  const waiting = !ended(found);
  byId("job").hidden = found.status === "done";
  byId("job-cancel").hidden = !waiting;
  byId("job-retry").hidden = waiting;
  byId("job-bar").style.width = `${100 * (found.progress ?? 0)}%`;
  byId("job-text").textContent = progressText(found);
  picture.cover(found.status === "done" ? "" : progressText(found));
}

async function load() {
  try {
    count = await follow(id, showJob);
    if (count.status !== "done") return;
    byId("print").disabled = false;
    document.body.classList.toggle("from-elsewhere", Boolean(count.instrument));
    for (const panel of ["downloads", "tuning", "corrections"]) byId(panel).hidden = false;
    corrections.take(count);
    count.corrections = corrections.shown;
    showProvenance(count);
    showAgain(count);
    await picture.open(count);
    tuning.reset(count);
  } catch (error) {
    picture.cover(error.message);
    byId("readout-title").textContent = "Cannot be shown";
  }
}

/** Somebody else corrected, named, labelled or deleted this count. */
async function showChanges({ counts, deleted, reset }) {
  if (deleted.includes(id)) { picture.cover("This count was deleted."); return; }
  const found = counts.find((one) => one.id === id);
  if (!count || count.status !== "done" || !(found || reset)) return;
  if (corrections.queue.pending.length) return; // its own answers come, and show what others did
  try {
    const now = await api.get(api.countPath(id));
    if (now.status !== "done" || now.revision !== count.revision) { await load(); return; }
    corrections.take(now);
    count = { ...now, corrections: corrections.shown };
    show();
  } catch { /* the header shows that the instrument does not answer */ }
}

async function order(what) {
  try {
    await api.post(api.countPath(id, what));
    return true;
  } catch (error) {
    byId("job-text").textContent = error.message;
    return false;
  }
}

byId("job-cancel").addEventListener("click", () => order("/cancel"));
byId("job-retry").addEventListener("click", async () => { if (await order("/retry")) load(); });

byId("delete").addEventListener("click", async () => {
  const name = count.sample || count.image;
  if (!await confirmed("Delete this count?", `This deletes the image of ${name}, its count and its corrections permanently.`)) return;
  try {
    await api.remove(api.countPath(id));
    location.assign(linkTo("/history"));
  } catch (error) {
    picture.say(error.message);
  }
});

offerPrinting(() => count, (text) => picture.say(text));
load();
onChanges(showChanges);
