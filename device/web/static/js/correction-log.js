// The log of corrections with the clicks that are still on their way.

/** What a click will be in the log; null for an undo. */
function entry({ key, body }, count) {
  const base = { key, pending: true, undone: false, who: body.who, cell_id: body.cell_id ?? null };
  const object = [...count.cells, ...(count.doubtful ?? [])].find((cell) => cell.id === body.cell_id);
  const place = { x: body.x ?? object?.x, y: body.y ?? object?.y };
  const counted = body.cell_id <= count.count;
  const actions = { add: "add", remove: "remove", accept: counted ? "confirm" : "add", reject: counted ? "remove" : "confirm" };
  return { ...base, ...place, action: actions[body.action] };
}

/** The log after these clicks, as far as the page can tell before the instrument answers. */
export function withPending(log, pending, count) {
  const shown = log.map((one) => ({ ...one }));
  for (const item of pending) {
    const { action, cell_id: cell } = item.body;
    const held = shown.filter((one) => !one.undone);
    if (action === "undo") {
      const target = item.body.correction_id ? shown.find((one) => one.id === item.body.correction_id) : held.at(-1);
      if (target) Object.assign(target, { undone: true, pending: true });
      continue;
    }
    const before = held.filter((one) => cell && one.cell_id === cell);
    for (const one of before) Object.assign(one, { undone: true, pending: true });
    const tookBack = action === "remove" && before.some((one) => one.action === "add");
    if (!tookBack) shown.push(entry(item, count));
  }
  return shown;
}

/** What to send to make an undone correction again. */
export function again(one, count) {
  const counted = one.cell_id !== null && one.cell_id <= count.count;
  const doubtful = (count.doubtful ?? []).some((cell) => cell.id === one.cell_id);
  if (one.action === "add") return doubtful ? { action: "accept", cell_id: one.cell_id } : { action: "add", x: one.x, y: one.y };
  if (one.action === "remove") return { action: "remove", cell_id: one.cell_id };
  return { action: counted ? "accept" : "reject", cell_id: one.cell_id };
}
