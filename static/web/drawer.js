// The NEW drawer. Without scripts the same link opens NEW as a page.

const drawer = document.getElementById("drawer");
const opener = document.querySelector("[data-open-drawer]");

let opening = false;

function open() {
  opening = true;
  window.htmx.trigger(opener, "opendrawer");
  drawer.showModal();
}

if (drawer && opener && window.htmx) {
  opener.addEventListener("click", (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    open();
  });

  drawer.addEventListener("click", (event) => {
    const outside = event.target === drawer && event.offsetY < 0;
    if (outside || event.target.closest("[data-close-drawer]")) drawer.close();
    const item = event.target.closest(".new-items a");
    if (item) {
      for (const other of drawer.querySelectorAll(".new-items a")) other.removeAttribute("aria-current");
      item.setAttribute("aria-current", "page");
    }
  });

  // A form that arrives takes the focus: first what is wrong, else the first thing to fill in.
  document.addEventListener("htmx:afterSettle", (event) => {
    if (event.target.id === "drawer-form") {
      event.target.querySelector("[aria-invalid=true], input:not([type=hidden]), select, textarea")?.focus();
    } else if (event.target.id === "drawer-body" && opening) {
      opening = false;
      drawer.querySelector(".new-services a")?.focus();
    }
  });
}

// Arrow keys: up and down within a column, left and right between columns.
function columnsOf(link) {
  return [...link.closest(".new-columns").querySelectorAll(".new-column")];
}

document.addEventListener("keydown", (event) => {
  const link = event.target.closest?.(".new-column a");
  if (!link) return;
  const columns = columnsOf(link);
  const column = link.closest(".new-column");
  const links = [...column.querySelectorAll("a")];
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (step) {
    event.preventDefault();
    links[(links.indexOf(link) + step + links.length) % links.length].focus();
  }
  const side = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  if (!side) return;
  event.preventDefault();
  const beside = columns[columns.indexOf(column) + side];
  const target = beside?.querySelector("[aria-current]") ?? beside?.querySelector("a");
  if (target) target.focus();
  else if (side === 1) link.click();
});
