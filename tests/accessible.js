// Rules of access that a browser can check; see accessible.py. Every function returns what is wrong, in words.
({
// Text of less contrast than 4.5 (3 where it is large): WCAG 2.2, 1.4.3.
faint: () => {
  const parsed = (text) => {
    const found = text.match(/[\d.]+/g).map(Number);
    const unit = text.startsWith("color(") ? 255 : 1;
    return [...found.slice(0, 3).map((one) => one * unit), found[3] ?? 1];
  };
  const over = (top, below) => [0, 1, 2].map((at) => top[at] * top[3] + below[at] * (1 - top[3])).concat(1);
  const light = (colour) => {
    const [r, g, b] = colour.slice(0, 3).map((one) => one / 255).map((one) => (one <= 0.04045 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (element) => {
    const layers = [];
    for (let one = element; one; one = one.parentElement) {
      const colour = parsed(getComputedStyle(one).backgroundColor);
      layers.push(colour);
      if (colour[3] === 1) break;
    }
    return layers.reverse().reduce((below, top) => over(top, below), [255, 255, 255, 1]);
  };
  const opacity = (element) => { let all = 1; for (let one = element; one; one = one.parentElement) all *= getComputedStyle(one).opacity; return all; };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const faint = [];
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !element.checkVisibility({ visibilityProperty: true, contentVisibilityAuto: true })) continue;
    // Disabled controls, what only screen readers get, and writing over a picture are judged otherwise.
    if (element.closest(":disabled, [aria-disabled], .visually-hidden, .skip, .preview, .viewer-stage, noscript, svg, option, script, style")) continue;
    const style = getComputedStyle(element);
    const below = ground(element);
    const ink = parsed(style.color);
    const [a, b] = [light(over([...ink.slice(0, 3), ink[3] * opacity(element)], below)), light(below)];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && style.fontWeight >= 700);
    if (ratio < (large ? 3 : 4.5)) faint.push(`${walker.currentNode.data.trim().slice(0, 40)}: ${ratio.toFixed(2)}`);
  }
  return [...new Set(faint)];
},

// What is wrong with the structure, in words.
unsound: () => {
  const said = [];
  const shown = (one) => one.checkVisibility({ visibilityProperty: true });
  const ids = [...document.querySelectorAll("[id]")].map((one) => one.id);
  said.push(...ids.filter((id, at) => ids.indexOf(id) !== at).map((id) => `two elements have the id ${id}`));
  for (const name of ["aria-labelledby", "aria-describedby", "aria-controls", "for", "popovertarget"]) {
    for (const one of document.querySelectorAll(`[${name}]`)) {
      const lost = one.getAttribute(name).split(/\s+/).filter((id) => id && !ids.includes(id));
      if (lost.length) said.push(`${name} of ${one.tagName} leads to nothing: ${lost}`);
    }
  }
  for (const one of document.querySelectorAll("[role=img], img, canvas[role=img]")) if (one.querySelector("a, button, input, [tabindex]")) said.push(`a control within an image: ${one.id}`);
  for (const one of document.querySelectorAll("ul, ol")) for (const child of one.children) if (child.tagName !== "LI") said.push(`${child.tagName} in a list`);
  for (const one of document.querySelectorAll("dl")) for (const child of one.children) if (!["DT", "DD", "DIV"].includes(child.tagName)) said.push(`${child.tagName} in a list of terms`);
  for (const one of document.querySelectorAll("img")) if (!one.hasAttribute("alt")) said.push(`a picture without a text: ${one.src}`);
  for (const one of document.querySelectorAll("[tabindex]")) if (one.tabIndex > 0) said.push(`a tab order of its own: ${one.id}`);
  for (const one of document.querySelectorAll("button button, button a, a button, a a, label button, label a")) said.push(`a control within a control: ${one.textContent}`);
  for (const one of document.querySelectorAll("[aria-hidden=true]")) if (shown(one) && one.querySelector("a[href], button, input, [tabindex='0']")) said.push(`hidden from readers, but reached by the tab key: ${one.id}`);
  const levels = [...document.querySelectorAll("h1, h2, h3, h4")].filter((one) => shown(one) && !one.closest("dialog")).map((one) => Number(one.tagName[1]));
  if (levels.filter((one) => one === 1).length !== 1) said.push(`${levels.filter((one) => one === 1).length} main headings`);
  levels.forEach((level, at) => { if (at && level > levels[at - 1] + 1) said.push(`a heading of level ${level} after one of ${levels[at - 1]}`); });
  if (document.querySelectorAll("main").length !== 1) said.push("not one main part");
  if (!document.documentElement.lang || !document.title.trim()) said.push("no language or no title");
  for (const one of document.querySelectorAll("main *")) {
    const style = getComputedStyle(one);
    const scrolls = ["auto", "scroll"].some((word) => (style.overflowY === word && one.scrollHeight > one.clientHeight + 1) || (style.overflowX === word && one.scrollWidth > one.clientWidth + 1));
    if (scrolls && shown(one) && one.tabIndex < 0 && !one.querySelector("a[href], button, input, select, textarea, [tabindex='0']")) said.push(`scrolls, but not by key: ${one.tagName} ${one.id}`);
  }
  return [...new Set(said)];
},

// Controls that a finger misses: less than 44 px wide or high.
small: () => {
  const small = [];
  const targets = "a[href], button, input:not([type=hidden]), select, textarea, summary";
  for (const one of document.querySelectorAll(targets)) {
    // A link within a sentence is as high as its line: WCAG 2.2, 2.5.5.
    const within = one.matches("p a, dd a, li a, td a, small a, .hint a, .refs a") && getComputedStyle(one).display === "inline";
    if (within || one.matches(".visually-hidden, .skip") || !one.checkVisibility({ visibilityProperty: true })) continue;
    one.scrollIntoView({ block: "center", inline: "center" });
    // A box to be checked is hit by its whole label.
    const target = one.type === "checkbox" ? one.closest("label") ?? one : one;
    const box = target.getBoundingClientRect();
    const [x, y] = [box.left + box.width / 2, box.top + box.height / 2];
    const mine = (dx, dy) => {
      const [px, py] = [Math.min(innerWidth - 1, Math.max(1, x + dx)), Math.min(innerHeight - 1, Math.max(1, y + dy))];
      const there = document.elementFromPoint(px, py);
      return there && (target.contains(there) || [...(one.labels ?? [])].some((label) => label.contains(there)) || there.closest("label")?.control === one);
    };
    // Half of 44 px on each side, less the pixel that rounding takes.
    if (![[21, 0], [-21, 0], [0, 21], [0, -21]].every(([dx, dy]) => mine(dx, dy))) {
      small.push(`${one.tagName} ${(one.textContent || one.ariaLabel || one.id).trim().slice(0, 30)} ${Math.round(box.width)}x${Math.round(box.height)}`);
    }
  }
  return [...new Set(small)];
},

// What has the focus, null where nothing has.
focused: () => {
  const one = document.activeElement;
  if (!one || one === document.body) return null;
  const style = getComputedStyle(one);
  const framed = (style.outlineStyle !== "none" && parseFloat(style.outlineWidth) > 0);
  // A hidden file field shows its focus at the label around it.
  const label = one.closest("label");
  const around = label && getComputedStyle(label).outlineStyle !== "none";
  return { seen: framed || Boolean(around), at: [...document.querySelectorAll("*")].indexOf(one), name: `${one.tagName} ${one.id} ${one.textContent.trim().slice(0, 30)}` };
},
})
