// The first run: the sample image is counted as any upload is, and its result opens.
import { byId } from "./dom.js";
import { newKey } from "./keys.js";
import { send } from "./send.js";
import { countPage, linkTo } from "./root.js";

export function offerGuide() {
  const key = newKey();
  byId("guide-sample").addEventListener("click", async () => {
    byId("guide-sample").disabled = true;
    byId("guide-note").textContent = "Sending the sample image";
    try {
      const picture = await (await fetch(linkTo("/help/sample.jpg"))).blob();
      const file = new File([picture], "sample.jpg", { type: "image/jpeg" });
      const { id } = await send(file, { sample: "sample image" }, key, () => {}).done;
      location.assign(countPage(id));
    } catch (error) {
      byId("guide-note").textContent = error.message;
      byId("guide-sample").disabled = false;
    }
  });
}
