// Which colours are shown: the system's, or those the reader chose. A classic script, so that it runs before anything is
// painted. Invariant: `data-theme` on the root is "light" or "dark" once this has run.
(() => {
  const KEY = "millpond-theme";
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const chosen = () => {
    try {
      return localStorage.getItem(KEY);
    } catch {
      return null;
    }
  };
  const show = () => {
    document.documentElement.dataset.theme = chosen() ?? (dark.matches ? "dark" : "light");
  };
  dark.addEventListener("change", show);
  show();
  globalThis.millpondTheme = {
    current: () => document.documentElement.dataset.theme,
    toggle() {
      const next = this.current() === "dark" ? "light" : "dark";
      try {
        // The system's own is no choice: it may change by itself.
        if ((next === "dark") === dark.matches) localStorage.removeItem(KEY);
        else localStorage.setItem(KEY, next);
      } catch {
        // Without a store the choice lasts as long as the page.
      }
      document.documentElement.dataset.theme = next;
      return next;
    },
  };
})();
