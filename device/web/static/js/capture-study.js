// Where the next capture goes, if captures belong to a study: shown before each one.
import * as api from "./api.js";
import { byId } from "./dom.js";

export async function showStudyPlace() {
  const region = byId("capture-study");
  try {
    const { study, place } = await api.get("/capturing");
    region.hidden = !study;
    const parts = [place.group, place.subject, place.region, place.slice && `slice ${place.slice}`];
    region.textContent = study ? `Next in the study ${study}: ${parts.filter(Boolean).join(", ")}` : "";
  } catch {
    region.hidden = true; // the header shows that the instrument does not answer
  }
}
