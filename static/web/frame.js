// The frame's small comforts: theme without a reload, menus that close, copy buttons, shortcuts, stale marks.

const root = document.documentElement;

// Theme: the form works without this; with it nothing on the page is lost.
document.addEventListener("submit", (event) => {
  const form = event.target.closest("[data-theme-form]");
  if (!form || !event.submitter) return;
  event.preventDefault();
  const theme = event.submitter.value;
  const body = new URLSearchParams(new FormData(form));
  body.set("theme", theme);
  fetch(form.action, { method: "POST", body, redirect: "manual" });
  root.dataset.theme = theme;
  for (const button of form.querySelectorAll("button")) {
    button.setAttribute("aria-pressed", String(button === event.submitter));
  }
});

// Menus: one open at a time; Escape and a click elsewhere close it.
const openMenus = () => document.querySelectorAll("details.menu[open], details.tray[open]");

document.addEventListener("click", (event) => {
  for (const menu of openMenus()) {
    if (!menu.contains(event.target)) menu.open = false;
  }
});

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") {
    for (const menu of openMenus()) {
      menu.open = false;
      menu.querySelector("summary").focus();
    }
  }
  const typing = event.target.closest("input, textarea, select, [contenteditable]");
  const search = document.getElementById("global-search");
  if (event.key === "/" && search && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
    event.preventDefault();
    search.focus();
    search.select();
  }
  const help = document.querySelector(".bar-help");
  if (event.key === "?" && help && !typing && !document.querySelector("dialog[open]")) help.click();
});

// Copy buttons say that they did.
document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  const before = button.getAttribute("aria-label");
  try {
    await navigator.clipboard.writeText(button.dataset.copy);
    button.setAttribute("aria-label", "Copied");
  } catch {
    button.setAttribute("aria-label", "Could not copy; select the text instead");
  }
  button.title = button.getAttribute("aria-label");
  setTimeout(() => {
    button.setAttribute("aria-label", before);
    button.removeAttribute("title");
  }, 2000);
});

// A silent portal: say since when, until it answers again.
const stale = document.getElementById("stale");

function markStale() {
  if (!stale || !stale.hidden) return;
  const now = new Date();
  const time = stale.querySelector("time");
  time.dateTime = now.toISOString();
  time.textContent = now.toLocaleTimeString();
  stale.hidden = false;
}

document.addEventListener("htmx:sendError", markStale);
document.addEventListener("htmx:timeout", markStale);
document.addEventListener("htmx:responseError", (event) => {
  const signedOut = document.getElementById("signed-out");
  if (event.detail.xhr.status === 401 && signedOut) signedOut.hidden = false;
  if (event.detail.xhr.status >= 500) markStale();
});
document.addEventListener("htmx:afterOnLoad", (event) => {
  if (stale && event.detail.successful) stale.hidden = true;
});

// Parts that refresh themselves keep what the reader has open, and how far a table is scrolled.
const kept = new Map();

document.addEventListener("htmx:beforeSwap", (event) => {
  const open = [...document.querySelectorAll("details[id][open], .more-notices[open]")];
  kept.set("open", open.map((part) => (part.id ? `#${part.id}` : ".more-notices")));
  kept.set("scroll", event.target.querySelector?.(".table-scroll")?.scrollLeft ?? 0);
});

document.addEventListener("htmx:afterSettle", (event) => {
  for (const selector of kept.get("open") ?? []) {
    const part = document.querySelector(selector);
    if (part) part.open = true;
  }
  const table = event.target.querySelector?.(".table-scroll");
  if (table) table.scrollLeft = kept.get("scroll") ?? 0;
});

// The script that sends files in parts comes with the first form that has such a file.
function loadUpload() {
  if (document.querySelector("input[type=file][data-resumable]")) import("./upload.js");
}

document.addEventListener("htmx:afterSettle", loadUpload);
loadUpload();
