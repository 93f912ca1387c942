// The page of administration: settings, backup, release files, self-check, restart.
import * as api from "./api.js";
import { byId, confirmed, element, pause } from "./dom.js";
import { fromMegabytes } from "./format.js";
import "./header.js";

const say = (id, text) => { byId(id).textContent = text; };

function settingList(section, settings) {
  return element("section", {}, element("h3", {}, `[${section}]`), element("dl", {}, ...settings.flatMap((one) => {
    const changed = one.value !== one.default;
    return [
      element("dt", {}, `${one.key} = ${one.value}`),
      element("dd", {}, one.meaning, changed && element("small", {}, `usually ${one.default}`)),
    ];
  })));
}

function showSettings({ settings, file }) {
  say("settings-file", file
    ? `They stand in ${file} on the instrument. After a change there, restart fluocount.`
    : "There is no settings file: these are the defaults, or what was given on the command line.");
  const sections = Map.groupBy ? Map.groupBy(settings, (one) => one.section) : settings.reduce((all, one) => all.set(one.section, [...(all.get(one.section) ?? []), one]), new Map());
  byId("settings").replaceChildren(...[...sections].map(([section, found]) => settingList(section, found)));
}

const WORDS = { ok: ["works", "ok"], warning: ["look at this", "warn"], failure: ["does not work", "fault"] };

function verdictItem({ check, state, found, todo }) {
  const [word, level] = WORDS[state];
  return element("li", {}, element("strong", { "data-level": level }, `${check}: ${word}`), element("p", {}, found, todo && element("small", {}, ` ${todo}`)));
}

async function examine() {
  const button = byId("doctor");
  button.disabled = true;
  say("doctor-note", "Checking");
  try {
    const { verdicts } = await api.post("/doctor");
    byId("verdicts").replaceChildren(...verdicts.map(verdictItem));
    const bad = verdicts.filter((one) => one.state !== "ok").length;
    say("doctor-note", bad ? `${bad} of ${verdicts.length} checks need a look.` : "All checks passed.");
  } catch (error) {
    say("doctor-note", error.message);
  }
  button.disabled = false;
}

async function look(file) {
  say("release-note", "Looking into the file");
  byId("release-details").hidden = true;
  const form = new FormData();
  form.append("release", file);
  try {
    const found = await api.sendForm("/update-check", form);
    say("release-note", found.text);
    say("release-changes", found.changes);
    byId("release-details").hidden = !found.changes;
  } catch (error) {
    say("release-note", error.message);
  }
}

/** The new process answers when the old one is gone. */
async function waitForAnswer() {
  await pause(3000);
  for (;;) {
    try { await api.get("/status"); return; } catch { await pause(1000); }
  }
}

async function restart() {
  if (!await confirmed("Restart fluocount?", "The page does not answer for about half a minute. Uploads go on afterwards by themselves.")) return;
  try {
    const { text } = await api.post("/restart");
    say("restart-note", text);
    await waitForAnswer();
    say("restart-note", "fluocount answers again.");
  } catch (error) {
    say("restart-note", error.message);
  }
}

async function begin() {
  try {
    const [settings, status] = await Promise.all([api.get("/settings"), api.get("/status")]);
    showSettings(settings);
    if (status.disk) byId("backup-space").append(` ${fromMegabytes(status.disk.free_mb)} are free on the instrument, ${fromMegabytes(status.disk.total_mb - status.disk.free_mb)} are used.`);
  } catch (error) {
    say("settings-file", error.message);
  }
}

byId("backup-all").href = api.url("/backup.tar");
byId("backup-small").href = api.url("/backup.tar", { results: "false" });
byId("doctor").addEventListener("click", examine);
byId("restart").addEventListener("click", restart);
byId("release").addEventListener("change", (event) => {
  const [file] = event.target.files;
  event.target.value = "";
  if (file) look(file);
});
begin();
