// The filter of the history: in the form, in the address (so that a way back or a sent link shows the same), as a question.
import { byId } from "./dom.js";

const TEXTS = { search: "filter-search", from: "filter-since", to: "filter-until", status: "filter-status", state: "filter-state", order: "filter-order" };
const STATES = {
  unreviewed: { reviewed: "false" },
  reviewed: { reviewed: "true" },
  flagged: { flagged: "true" },
  doubtful: { doubtful: "true" },
  corrected: { corrected: "true" },
  kept: { kept: "true" },
  mine: { mine: "true" },
};

const values = () => Object.fromEntries(Object.entries(TEXTS).map(([name, id]) => [name, byId(id).value.trim()]).filter(([, value]) => value));

/** The form as the address says. */
export function readAddress() {
  const query = new URLSearchParams(location.search);
  for (const [name, id] of Object.entries(TEXTS)) byId(id).value = query.get(name) ?? "";
}

/** The address as the form says, without a new step in the browser's history for each letter. */
export function writeAddress() {
  const query = new URLSearchParams(values()).toString();
  history.replaceState(history.state, "", location.pathname + (query ? `?${query}` : ""));
}

export const isFiltered = () => Object.keys(values()).length > 0;

export const order = () => byId("filter-order").value;

/** For the instrument, without the order: days of this browser's time zone become moments; the last day counts too. */
export function questionOf({ search, from, to, status, state }) {
  const day = (value, plus) => {
    if (!value) return "";
    const date = new Date(`${value}T00:00:00`);
    date.setDate(date.getDate() + plus);
    return date.toISOString();
  };
  return { search, since: day(from, 0), until: day(to, 1), status, ...STATES[state] };
}

export const question = () => questionOf(values());
