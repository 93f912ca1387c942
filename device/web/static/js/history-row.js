// One line of the history.
import * as api from "./api.js";
import { element, icon } from "./dom.js";
import { interval, moment, number } from "./format.js";
import { progressText } from "./job.js";
import { countPage } from "./root.js";

const LEVELS = { done: "ok", failed: "fault", running: "busy", queued: "busy", cancelled: "unknown" };

function value(count) {
  if (count.status !== "done") return element("div", { class: "value" }, element("span", { class: "tag", "data-level": LEVELS[count.status] }, count.status === "queued" ? "waiting" : count.status));
  const changed = count.corrected_count !== null && count.corrected_count !== undefined && count.corrected_count !== count.count;
  const below = changed ? `corrected from ${number(count.count)}` : interval(count.interval);
  return element("div", { class: "value" }, element("strong", {}, number(changed ? count.corrected_count : count.count)), element("span", {}, below));
}

function about(count, target) {
  const flags = (count.flags ?? []).map((flag) => element("span", { class: "tag", "data-level": "warn", title: flag.text ?? flag }, (flag.code ?? flag).replaceAll("_", " ")));
  const trouble = count.status === "failed" || count.status === "running" ? progressText(count) : "";
  if (count.reviewed) flags.unshift(element("span", { class: "tag", "data-level": "ok", title: `by ${count.reviewed_by}, ${moment(count.reviewed)}` }, "reviewed"));
  if (count.doubtful_count) flags.push(element("span", { class: "tag" }, `${number(count.doubtful_count)} doubtful`));
  return element("div", { class: "about" },
    element("a", { href: target }, count.sample || count.image || "no name"),
    element("span", {}, `${count.sample ? `${count.image}, ` : ""}${moment(count.created)}${count.instrument ? `, ${count.instrument}` : ""}`),
    trouble && element("span", {}, trouble),
    flags.length ? element("span", { class: "tags" }, ...flags) : null);
}

export function historyRow(count, { chosen, onChoose, onKeep }) {
  // The filter goes along, so that the next image there is the next one of this list.
  const target = countPage(count.id, location.search);
  const name = count.sample || count.image || `count ${count.sequence}`;
  const box = element("input", { type: "checkbox", "aria-label": `Select ${name}`, checked: chosen });
  box.addEventListener("click", (event) => onChoose(count, box.checked, event.shiftKey));
  const picture = count.status === "done"
    ? element("img", { class: "thumb", alt: "", loading: "lazy", src: api.url(api.countPath(count.id, "/thumbnail.jpg")) })
    : element("span", { class: "thumb" });
  // The pictures of a count that came from elsewhere may have stayed there.
  if (count.instrument) picture.addEventListener("error", () => picture.replaceWith(element("span", { class: "thumb" })));
  const keep = element("button", {
    class: "keep", type: "button", "aria-pressed": String(Boolean(count.keep)), "aria-label": `Keep ${name}`,
    title: count.keep ? "Kept: never deleted automatically" : "Keep", onclick: () => onKeep(count, !count.keep),
  }, icon("keep"));
  return element("li", { class: "history-row", "data-id": count.id },
    box, element("a", { href: target, tabindex: "-1", "aria-hidden": "true" }, picture), about(count, target), value(count), keep);
}
