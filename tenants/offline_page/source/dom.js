// Building and finding elements. Text is only ever set as text.
export const byId = (id) => document.getElementById(id);

/** A new element; `attributes` of the value undefined or false are left out, true is an empty one. */
export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === false) continue;
    made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children);
  return made;
}

/** A text as nodes in which the names of values (@Word@) are not broken into two lines. */
export function withNames(text) {
  return text.split(/(@[A-Za-z0-9-]+@)/).map((part, at) => (at % 2 ? element("span", { class: "name" }, part) : part));
}

/** A button that removes something by name; `removed` is called when it is pressed. */
export function removeButton(name, removed) {
  const attributes = { type: "button", class: "button button-small", "aria-label": `Remove ${name}` };
  const button = element("button", attributes, "Remove");
  button.addEventListener("click", removed);
  return button;
}

/** The value of the chosen one among radio buttons. */
export function chosen(name) {
  return document.querySelector(`input[name="${name}"]:checked`).value;
}

/** Show, of the fields that depend on radio buttons, those for what is chosen now. */
export function showDependents() {
  for (const dependent of document.querySelectorAll("[data-shown-for]")) {
    const [name, value] = dependent.dataset.shownFor.split("=");
    dependent.hidden = chosen(name) !== value;
  }
}

/** Empty fields that held secrets or the names of secret files. */
export function clear(...ids) {
  for (const id of ids) byId(id).value = "";
}

/** Say that what the page holds has changed in another way than by a field. */
export function tellChange() {
  document.dispatchEvent(new Event("change"));
}
