// Light or dark: the system's choice until somebody makes another.

const root = document.documentElement;

export function applyTheme() {
  const chosen = localStorage.getItem("theme");
  if (chosen) root.dataset.theme = chosen;
}

export function switchTheme() {
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  localStorage.setItem("theme", root.dataset.theme);
}
