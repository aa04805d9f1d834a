// Writes XML in its exclusive canonical form at once: elements in a default namespace, attributes, text.
import { base64, utf8 } from "./octets.js";
import { Refusal } from "./refusal.js";

// The characters that XML cannot carry, halves of surrogate pairs among them.
const CONTROLS = "[\\u0000-\\u0008\\u000b\\u000c\\u000e-\\u001f\\ufffe\\uffff]";
const HALVES = "[\\ud800-\\udbff](?![\\udc00-\\udfff])|(?<![\\ud800-\\udbff])[\\udc00-\\udfff]";
const NOT_XML = new RegExp(`${CONTROLS}|${HALVES}`);
const TEXT_REFERENCES = { "&": "&amp;", "<": "&lt;", ">": "&gt;", "\r": "&#xD;" };
const VALUE_REFERENCES = { "&": "&amp;", "<": "&lt;", '"': "&quot;", "\t": "&#x9;", "\n": "&#xA;", "\r": "&#xD;" };

export function escapedText(text) {
  return text.replace(/[&<>\r]/g, (found) => TEXT_REFERENCES[found]);
}

export function escapedValue(text) {
  return text.replace(/[&<"\t\n\r]/g, (found) => VALUE_REFERENCES[found]);
}

/** An element as it will stand in its document; only its namespace declaration depends on where that is. */
class Written {
  constructor(namespace, name, attributes, body) {
    this.namespace = namespace;
    this.name = name;
    this.attributes = attributes;
    this.body = body;
  }

  /** The element below one of `namespace`; empty where it is below none. */
  within(namespace) {
    const declared = namespace === this.namespace ? "" : ` xmlns="${this.namespace}"`;
    return `<${this.name}${declared}${this.attributes}>${this.body}</${this.name}>`;
  }
}

/** An element with these children. */
export function build(namespace, name, children, attributes = {}) {
  const body = children.map((child) => child.within(namespace)).join("");
  return new Written(namespace, name, writtenAttributes(name, attributes), body);
}

/** An element that holds text. Throws a Refusal for characters that XML cannot carry. */
export function buildText(namespace, name, text, attributes = {}) {
  check(name, text);
  return new Written(namespace, name, writtenAttributes(name, attributes), escapedText(text));
}

/** An element that holds octets as base64. */
export function buildBytes(namespace, name, octets, attributes = {}) {
  return new Written(namespace, name, writtenAttributes(name, attributes), base64(octets));
}

/** An element around children that are canonical already, each on its own and none of them in `namespace`. */
export function buildCanonical(namespace, name, children) {
  return new Written(namespace, name, "", children);
}

/** The exclusive canonical form of an element: what signatures are made over, as UTF-8. */
export function canonical(written) {
  return utf8(written.within(""));
}

function writtenAttributes(name, attributes) {
  return Object.keys(attributes)
    .sort()
    .map((key) => {
      check(name, attributes[key]);
      return ` ${key}="${escapedValue(attributes[key])}"`;
    })
    .join("");
}

function check(name, text) {
  if (NOT_XML.test(text)) throw new Refusal("not-xml-text", `${name} contains characters that XML cannot carry.`);
}
