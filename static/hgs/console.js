// The HGS console works without scripts; this adds the theme switch, local times and copy buttons.

const THEME_KEY = "hgs-theme";
const shown = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });

function applyTheme(theme) {
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
  else delete document.documentElement.dataset.theme;
}

applyTheme(localStorage.getItem(THEME_KEY));

document.addEventListener("DOMContentLoaded", () => {
  for (const form of document.querySelectorAll("[data-theme-switch]")) {
    const select = form.querySelector("select");
    select.value = localStorage.getItem(THEME_KEY) ?? "auto";
    select.addEventListener("change", () => {
      localStorage.setItem(THEME_KEY, select.value);
      applyTheme(select.value);
    });
    form.hidden = false;
  }
  for (const label of document.querySelectorAll("[data-tick-all]")) {
    const all = label.querySelector("input");
    const boxes = () => document.querySelectorAll(`input[type="checkbox"][name="${label.dataset.tickAll}"]`);
    all.addEventListener("change", () => {
      for (const box of boxes()) box.checked = all.checked;
    });
    label.hidden = boxes().length < 2;
  }
  for (const time of document.querySelectorAll("time[datetime]")) {
    const moment = new Date(time.dateTime);
    if (Number.isNaN(moment.valueOf())) continue;
    time.title = time.textContent.trim();
    time.textContent = shown.format(moment);
  }
  for (const button of document.querySelectorAll("button[data-copy]")) {
    button.hidden = !navigator.clipboard;
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(button.dataset.copy);
      button.textContent = "Copied";
    });
  }
});
