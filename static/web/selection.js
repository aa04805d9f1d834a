// The selection of a table drives the command bar. Each row says what its commands are, or why not.

const NOTHING = "Select a row first.";
const ONE = "Works on one row at a time.";
const bar = document.getElementById("commands");
let chosen = new Set();

const list = () => document.getElementById("object-list");
const boxes = () => [...(list()?.querySelectorAll(".row-select") ?? [])];
const said = (key) => JSON.parse(list().querySelector(`tr[data-key="${CSS.escape(key)}"]`).dataset.commands);

function decide(command, bulk) {
  const rows = [...chosen].map(said).map((commands) => commands[command]);
  if (rows.length === 0) return { reason: NOTHING };
  const refused = rows.find((row) => row?.reason);
  if (refused) return { reason: refused.reason };
  if (rows.length === 1) return { url: rows[0].url };
  if (!bulk[command]) return { reason: ONE };
  return { url: `${bulk[command]}?${new URLSearchParams([...chosen].map((key) => ["id", key]))}` };
}

function draw(button, { url = "", reason = "" }) {
  let why = button.querySelector(".command-reason");
  if (url) {
    button.setAttribute("href", url);
    for (const name of ["role", "tabindex", "aria-disabled", "aria-describedby"]) button.removeAttribute(name);
    why?.remove();
    return;
  }
  if (!why) {
    why = document.createElement("span");
    why.className = "command-reason";
    why.id = `why-${button.dataset.command}`;
    why.setAttribute("role", "tooltip");
    button.append(why);
  }
  why.textContent = reason;
  button.removeAttribute("href");
  button.setAttribute("role", "link");
  button.setAttribute("tabindex", "0");
  button.setAttribute("aria-disabled", "true");
  button.setAttribute("aria-describedby", why.id);
}

function update() {
  const commands = Object.keys(boxes()[0] ? said(boxes()[0].value) : {});
  const bulk = JSON.parse(list()?.dataset.bulk || "{}");
  for (const command of commands) {
    const button = bar.querySelector(`[data-command="${command}"]`);
    if (button) draw(button, decide(command, bulk));
  }
}

function remember() {
  chosen = new Set(boxes().filter((box) => box.checked).map((box) => box.value));
  update();
}

if (bar && list()) {
  document.addEventListener("change", (event) => {
    if (event.target.matches(".row-select")) remember();
  });
  // A click anywhere on a row chooses that row alone; with Ctrl it is added.
  document.addEventListener("click", (event) => {
    const row = event.target.closest("#object-list tr[data-key]");
    if (!row || event.target.closest("a, button, input, label") || getSelection().toString()) return;
    const box = row.querySelector(".row-select");
    const checked = !box.checked;
    if (!event.ctrlKey && !event.metaKey) for (const other of boxes()) other.checked = false;
    box.checked = checked;
    remember();
  });
  document.addEventListener("htmx:afterSettle", () => {
    for (const box of boxes()) box.checked = chosen.has(box.value);
    if (boxes().length) remember();
  });
  remember();
}
