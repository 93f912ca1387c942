// How a study's pattern splits the names of counts: shown first, corrected by hand, stored when a person says so.
import * as api from "./api.js";
import { byId, element } from "./dom.js";
import { plural } from "./format.js";
import { PLACE } from "./study-place.js";

const MOST = 1000;
const AT_ONCE = 200;
const say = (text) => { byId("add-note").textContent = text; };

/** One count: its fields hold what the pattern found, and can be filled in where it found nothing. */
function row(count, split) {
  const fields = PLACE.map((name) => element("input", { value: split.place[name], maxlength: 60, autocomplete: "off", "aria-label": `${name} of ${count.image}`, ...(name === "group" && { list: "known-groups" }) }));
  const shown = element("tr", { "data-problem": Boolean(split.problem), title: split.problem },
    element("td", {}, count.image, split.problem && element("small", {}, split.problem)), ...fields.map((field) => element("td", {}, field)));
  shown.place = () => ({ id: count.id, ...Object.fromEntries(PLACE.map((name, at) => [name, fields[at].value.trim()])) });
  return shown;
}

async function store(rows, path, done) {
  const places = rows.map((one) => one.place()).filter((place) => place.group && place.subject);
  if (!places.length) { say("No image has both a group and a subject."); return; }
  try {
    for (let at = 0; at < places.length; at += AT_ONCE) await api.post(path("/images"), { places: places.slice(at, at + AT_ONCE) });
    const left = rows.length - places.length;
    say(`${plural(places.length, "image")} stored.${left ? ` ${plural(left, "image")} without group or subject ${left === 1 ? "is" : "are"} not in the study.` : ""}`);
    byId("study-split").hidden = true;
    done();
  } catch (error) {
    say(error.message);
  }
}

async function splitsOf(study, counts) {
  if (!study.pattern || !counts.length) return counts.map((one) => ({ name: one.image, place: Object.fromEntries(PLACE.map((name) => [name, ""])), problem: "" }));
  return (await api.post("/split", { pattern: study.pattern, names: counts.map((one) => one.image) })).splits;
}

/** found is the study with its images; path(rest) is its address; done() is called when the images are stored. */
export async function showSplit(found, path, done) {
  if (!found) { say("Set up a study first."); return; }
  try {
    const { counts: all, total } = await api.get("/counts", { search: byId("add-search").value.trim(), limit: MOST });
    if (!all.length) { say("No count has this in its name."); return; }
    const inside = new Set(found.images.map((one) => one.id));
    const counts = all.filter((one) => !inside.has(one.id));
    const splits = await splitsOf(found.study, counts);
    const rows = counts.map((one, at) => row(one, splits[at]));
    byId("split-rows").replaceChildren(...rows);
    byId("study-split").hidden = !rows.length;
    const open = found.study.pattern ? splits.filter((one) => one.problem).length : rows.length;
    const told = [
      `${plural(rows.length - open, "name")} understood.`,
      open && `${plural(open, "name")} not: fill in group and subject, or leave them out.`,
      all.length > counts.length && `${plural(all.length - counts.length, "count")} in the study already.`,
      total > all.length && `Only the newest ${MOST} are shown; narrow the search.`,
    ];
    say(told.filter(Boolean).join(" "));
    byId("add-store").onclick = () => store(rows, path, done);
    if (rows.length) byId("study-split").scrollIntoView({ block: "nearest" });
  } catch (error) {
    say(error.message);
  }
}

byId("split-leave").addEventListener("click", () => { byId("study-split").hidden = true; });
