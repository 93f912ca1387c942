// Number fields: a value that is not possible is said in words, and the field keeps the value that it had.

const nameOf = (input) => input.closest("label").querySelector("span").firstChild.textContent.trim();

function range({ min, max, step }) {
  const kind = step === "1" ? "a whole number" : "a number";
  if (min && max) return `${kind} from ${min} to ${max}`;
  return min ? `${kind} from ${min}` : kind;
}

/** say(sentence) shows it beside the form; an empty one takes it away. */
export function keepPossible(form, say) {
  for (const input of form.querySelectorAll("input[type=number]")) {
    let kept = input.value;
    input.addEventListener("focus", () => { if (input.checkValidity()) kept = input.value; });
    input.addEventListener("change", () => {
      if (input.checkValidity()) {
        kept = input.value;
        say("");
        return;
      }
      const typed = input.value;
      input.value = kept;
      const stays = kept ? `It stays at ${kept}.` : "It stays empty.";
      say(`${nameOf(input)}${typed ? ` ${typed}` : ""} is not possible: ${range(input)} is expected. ${stays}`);
    });
  }
}
