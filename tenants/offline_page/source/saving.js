// What the page hands out: files to save, texts to copy. Files are made in the browser; nothing is fetched.
import { element } from "./dom.js";
import { grouped } from "./octets.js";
import { Refusal } from "./refusal.js";

/** A link that saves `octets` as `name`; `saved` is called when it is used. */
export function saveLink(label, name, octets, saved = () => {}) {
  const href = URL.createObjectURL(new Blob([octets], { type: "application/octet-stream" }));
  const link = element("a", { class: "button button-primary", href, download: name }, label);
  link.addEventListener("click", saved);
  return link;
}

/** The bytes of a chosen file, at most `limit`. Throws a Refusal. */
export async function readFile(file, limit) {
  if (file.size > limit) {
    const sentence = `${file.name} has more than ${limit / 1024} KiB.`;
    throw new Refusal("file-too-large", sentence, "Check that it is the right file.");
  }
  try {
    return new Uint8Array(await file.arrayBuffer());
  } catch {
    throw new Refusal("file-unreadable", `${file.name} cannot be read.`, "Choose it again.");
  }
}

/** A text in monospace with a button that copies it. */
export function copied(text, shown = text) {
  const code = element("code", { class: shown === text ? undefined : "fingerprint" }, shown);
  const button = element("button", { type: "button", class: "button button-small" }, "Copy");
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = "Copied";
    } catch {
      // Not every browser lets a page from disk write there: what is selected can be copied by hand.
      getSelection().selectAllChildren(code);
      button.textContent = "Selected";
    }
  });
  return element("span", { class: "copied" }, code, button);
}

/** A list of facts: pairs of a title and a text or an element. */
export function facts(...pairs) {
  const items = pairs.flatMap(([title, value]) => [element("dt", {}, title), element("dd", {}, value)]);
  return element("dl", { class: "facts" }, ...items);
}

export function fingerprintFact(title, digits) {
  return [title, copied(digits, grouped(digits))];
}
