// How a study's pattern splits the names of counts: shown first, stored when a person says so.
import * as api from "./api.js";
import { byId, element } from "./dom.js";
import { plural } from "./format.js";

const MOST = 1000;
const AT_ONCE = 200;
const say = (text) => { byId("add-note").textContent = text; };

function row(split) {
  const place = split.place;
  const parts = split.problem ? [element("td", { colspan: 4 }, split.problem)]
    : ["group", "subject", "slice", "region"].map((name) => element("td", {}, place[name]));
  return element("tr", { "data-problem": Boolean(split.problem) }, element("td", {}, split.name), ...parts);
}

async function store(places, path, done) {
  try {
    for (let at = 0; at < places.length; at += AT_ONCE) await api.post(path("/images"), { places: places.slice(at, at + AT_ONCE) });
    say(`${plural(places.length, "image")} stored.`);
    byId("split-table").hidden = true;
    byId("add-store").hidden = true;
    done();
  } catch (error) {
    say(error.message);
  }
}

/** path(rest) is the address of the study; done() is called when the images are stored. */
export async function showSplit(study, path, done) {
  if (!study?.pattern) { say("Give the study a pattern of the file names first."); return; }
  try {
    const { counts, total } = await api.get("/counts", { search: byId("add-search").value.trim(), limit: MOST });
    if (!counts.length) { say("No count has this in its name."); return; }
    const { splits } = await api.post("/split", { pattern: study.pattern, names: counts.map((one) => one.image) });
    byId("split-rows").replaceChildren(...splits.map(row));
    byId("split-table").hidden = false;
    const places = counts.map((one, at) => ({ id: one.id, ...splits[at].place })).filter((_, at) => !splits[at].problem);
    const left = splits.length - places.length;
    const more = total > counts.length ? ` Only the newest ${MOST} are shown; narrow the search.` : "";
    say(`${plural(places.length, "name")} understood${left ? `, ${left} not: these will not be stored` : ""}.${more}`);
    const button = byId("add-store");
    button.hidden = !places.length;
    button.onclick = () => store(places, path, done);
  } catch (error) {
    say(error.message);
  }
}
