// Before the first paint: the theme chosen last, else dark.
(() => {
  const key = "fluocount-theme";
  const root = document.documentElement;
  try { root.dataset.theme = localStorage.getItem(key) || "dark"; } catch { root.dataset.theme = "dark"; }
  document.addEventListener("DOMContentLoaded", () => {
    document.getElementById("theme-switch")?.addEventListener("click", () => {
      root.dataset.theme = root.dataset.theme === "dark" ? "light" : "dark";
      try { localStorage.setItem(key, root.dataset.theme); } catch { /* private window: the choice is not kept */ }
      document.dispatchEvent(new Event("themechange"));
    });
  });
})();
