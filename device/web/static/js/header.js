// Every page: fetches the status, updates the indicators and sends a "status" event.
import * as api from "./api.js";
import { byId, element } from "./dom.js";
import { indicatorsOf, readiness } from "./state.js";

const EVERY_MS = 3000;
let latest = null;

export const status = () => latest;

/** Call action(status) with each new status, and now if one is known; null while the instrument is unreachable. */
export function onStatus(action) {
  document.addEventListener("status", (event) => action(event.detail));
  if (latest) action(latest);
}

function light(target, { level, text }, label = text) {
  target.dataset.level = level;
  const words = target.querySelector("em") ?? target;
  if (words.textContent !== label) words.textContent = label;
  if (words !== target) words.title = label;
}

function showProblems(problems) {
  const region = byId("problems");
  const text = problems.join("\n");
  if (region.dataset.shown === text) return;
  region.dataset.shown = text;
  region.replaceChildren(...problems.map((problem) => element("p", { class: "notice", "data-level": "warn" }, problem)));
}

export const problemText = (problem) => (typeof problem === "string" ? problem : problem.text);

function show(found) {
  const indicators = indicatorsOf(found);
  for (const indicator of document.querySelectorAll("[data-indicator]")) light(indicator, indicators[indicator.dataset.indicator]);
  const whole = readiness(found, indicators);
  light(byId("readiness"), whole);
  byId("state-line").dataset.level = whole.level;
  showProblems((found.problems ?? []).map(problemText));
}

function showUnreachable(error) {
  for (const indicator of document.querySelectorAll("[data-indicator]")) light(indicator, { level: "unknown", text: "unknown" });
  light(byId("readiness"), { level: "fault", text: "No answer" });
  byId("state-line").dataset.level = "fault";
  showProblems([error.message]);
}

export async function refresh() {
  const asked = Date.now();
  try {
    latest = await api.get("/status");
    latest.roundTrip = { asked, answered: Date.now() };
    show(latest);
  } catch (error) {
    latest = null;
    showUnreachable(error);
  }
  document.dispatchEvent(new CustomEvent("status", { detail: latest }));
}

async function loop() {
  if (!document.hidden) await refresh();
  setTimeout(loop, EVERY_MS);
}

document.addEventListener("visibilitychange", () => { if (!document.hidden) refresh(); });
loop();
