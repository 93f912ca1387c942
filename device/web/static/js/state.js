// From the instrument's status to the text of the indicators. Levels: ok, busy, warn, fault, unknown.

const CAMERA = {
  ready: ["ok", "ready"],
  exposing: ["busy", "exposing"],
  busy: ["busy", "busy"],
  opening: ["busy", "starting"],
  none: ["unknown", "none"],
  missing: ["fault", "missing"],
  lost: ["fault", "lost"],
  error: ["fault", "fault"],
};

export function cameraIndicator(camera) {
  if (!camera) return { level: "unknown", text: "unknown" };
  const [level, text] = CAMERA[camera.state] ?? ["fault", camera.state ?? "unknown"];
  return { level, text: camera.kind === "simulated" && level === "ok" ? "simulated" : text };
}

export function queueIndicator(queue) {
  if (!queue) return { level: "unknown", text: "unknown" };
  const { waiting = 0, running = 0, max = Infinity } = queue;
  if (waiting >= max) return { level: "warn", text: `full, ${waiting}` };
  if (running && waiting) return { level: "busy", text: `counting, ${waiting} waiting` };
  if (running) return { level: "busy", text: "counting" };
  if (waiting) return { level: "busy", text: `${waiting} waiting` };
  return { level: "ok", text: "empty" };
}

export function modelIndicator(model, set) {
  if (!model) return { level: "fault", text: "missing" };
  if (set === "auto") return { level: "ok", text: "automatic" };
  return { level: "ok", text: `${model.name} ${model.version}` };
}

/** One word for the whole instrument. */
export function readiness(status, indicators) {
  if (indicators.model.level === "fault") return { level: "fault", text: "No model" };
  if (status.disk?.level === "refuse") return { level: "fault", text: "Disk full" };
  if (indicators.queue.level === "warn") return { level: "warn", text: "Queue full" };
  if (indicators.camera.level === "fault") return { level: "warn", text: "Upload only" };
  if (indicators.queue.level === "busy" || indicators.camera.level === "busy") return { level: "busy", text: "Counting" };
  if (indicators.camera.level === "unknown") return { level: "ok", text: "Ready to upload" };
  return { level: "ok", text: "Ready" };
}

export function indicatorsOf(status) {
  return { camera: cameraIndicator(status.camera), queue: queueIndicator(status.queue), model: modelIndicator(status.model, status.counts_with) };
}
