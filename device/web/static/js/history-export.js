// Tables, regions and archive of a list: of all that match its filter, or of a selection.
import * as api from "./api.js";
import { byId, memory, saveBlob, saveFrom, toast } from "./dom.js";
import { number, plural } from "./format.js";
import { question } from "./history-filter.js";

/** Of so many counts the ids still fit into one request; more are exported by filter. */
const MOST_CHOSEN = 5000;

export const EXPORTS = {
  csv: { label: "CSV", file: "counts.csv" }, regions: { label: "Regions", file: "regions.csv" }, zip: { label: "ZIP", file: "counts.zip" },
};

/** By filter the browser saves the file while it arrives; a selection is small and goes by its ids. */
async function exportAs(format, ids) {
  const { file } = EXPORTS[format];
  const table = file.endsWith(".csv") ? { separator: byId("separator").value, bom: "true" } : {};
  if (!ids) {
    saveFrom(api.url(`/${file}`, { ...question(), ...table }), file);
    return;
  }
  if (ids.length > MOST_CHOSEN) { toast(`At most ${number(MOST_CHOSEN)} counts can be selected one by one; select all of a filter instead.`, "warn"); return; }
  const button = byId(`export-${format}`);
  button.disabled = true;
  try {
    const { blob } = await api.blob("/exports", { method: "POST", json: { ids, format, ...table, ...(table.bom && { bom: true }) } });
    saveBlob(blob, file);
    toast(`${plural(ids.length, "count")} exported.`);
  } catch (error) {
    toast(error.message, "fault");
  } finally {
    button.disabled = false;
  }
}

/** chosenIds() gives the finished counts of a selection, null for all that match. */
export function offerExports(chosenIds) {
  for (const format of Object.keys(EXPORTS)) byId(`export-${format}`).addEventListener("click", () => exportAs(format, chosenIds()));
  byId("separator").value = memory.read("separator") || "comma";
  byId("separator").addEventListener("change", (event) => memory.write("separator", event.target.value));
}
