// Reads the fabric's XML strictly: one document has one encoding, its exclusive canonical form, and no other is taken.
import { fromBase64, same, textOf, utf8 } from "./octets.js";
import { Refusal } from "./refusal.js";
import { escapedText, escapedValue } from "./xmlwriting.js";

const DEPTH_MAX = 32;
const CARRIED_DEPTH_MAX = 256;
const URI = /^[\w\-.~:/?#[\]@!$&'()*+,;=%]*$/;
const XMLNS = "http://www.w3.org/2000/xmlns/";
const FOREIGN_REFERENCE = /&(?!(?:amp|lt|gt|quot|#xD|#x9|#xA);)/;
// The page allows no text to become markup but here, where it becomes a document that is never shown.
const policy = globalThis.trustedTypes?.createPolicy("xml", { createHTML: (text) => text });

/** The root element of a canonical document of at most `limit` octets. Throws a Refusal. */
export function parseDocument(octets, { namespace, name, limit }) {
  if (octets.length > limit) {
    throw new Refusal("document-too-large", `The file has ${octets.length} bytes; at most ${limit} are allowed.`);
  }
  const text = textOf(octets, `This is not a ${name} document; it is not text.`);
  if (!/^[ \t\r\n]*</.test(text)) {
    throw new Refusal("wrong-root", `This is not a ${name} document; it is not XML at all.`);
  }
  refuseMarkup(text);
  const root = parsed(text);
  if (root.localName !== name || root.namespaceURI !== namespace) {
    throw new Refusal("wrong-root", `This is not a ${name} document of the namespace ${namespace}.`);
  }
  if (!same(canonicalOf(root), octets)) {
    throw new Refusal("not-canonical", "The document is not in canonical form (exclusive C14N).");
  }
  return root;
}

/**
 * Refuse what is not well-formed XML or carries a document type, for files of others that are only carried. A browser
 * takes some things that a host does not: they are refused here, before a machine is made of them.
 */
export function checkWellFormed(text) {
  if (text.includes("<!DOCTYPE") || text.includes("<!ENTITY")) {
    throw new Refusal("document-type", "The document contains a document type declaration.");
  }
  const bare = text.replace(/^\ufeff/, "");
  if (bare.startsWith("\ufeff") || !isReadByHosts(parsed(bare), 1)) throw notWellFormed();
}

function isReadByHosts(element, depth) {
  const areUris = Array.from(element.attributes).every((one) => one.namespaceURI !== XMLNS || URI.test(one.value));
  const children = Array.from(element.children);
  return areUris && depth <= CARRIED_DEPTH_MAX && children.every((child) => isReadByHosts(child, depth + 1));
}

function notWellFormed() {
  return new Refusal("not-well-formed", "The document is not well-formed XML.");
}

function refuseMarkup(text) {
  if (text.includes("<!DOCTYPE")) {
    throw new Refusal("document-type", "The document contains a document type declaration.");
  }
  if (text.includes("<!")) throw new Refusal("markup-declaration", "The document contains a comment or a declaration.");
  if (text.includes("<?")) {
    throw new Refusal("processing-instruction", "The document contains a processing instruction or declaration.");
  }
  if (FOREIGN_REFERENCE.test(text)) throw new Refusal("entity", "The document contains an entity reference.");
}

function parsed(text) {
  const source = policy ? policy.createHTML(text) : text;
  const found = new DOMParser().parseFromString(source, "application/xml");
  if (found.getElementsByTagName("parsererror").length) {
    throw notWellFormed();
  }
  return found.documentElement;
}

/** The exclusive canonical form of a parsed element, as UTF-8. Throws a Refusal for prefixes. */
export function canonicalOf(element) {
  return utf8(written(element, "", 0));
}

function written(element, outer, depth) {
  if (element.prefix || depth > DEPTH_MAX) {
    throw new Refusal("prefixed-name", `The element ${element.tagName} uses a prefix or is nested too deeply.`);
  }
  const namespace = element.namespaceURI ?? "";
  const declared = namespace === outer ? "" : ` xmlns="${escapedValue(namespace)}"`;
  const values = attributesOf(element);
  const attributes = [...values.keys()].sort().map((key) => ` ${key}="${escapedValue(values.get(key))}"`);
  const inner = Array.from(element.childNodes, (node) =>
    node.nodeType === Node.ELEMENT_NODE ? written(node, namespace, depth + 1) : escapedText(node.data),
  );
  return `<${element.localName}${declared}${attributes.join("")}>${inner.join("")}</${element.localName}>`;
}

function attributesOf(element) {
  const found = new Map();
  for (const attribute of element.attributes) {
    if (attribute.namespaceURI === XMLNS && !attribute.prefix) continue;
    if (attribute.namespaceURI) {
      throw new Refusal("prefixed-name", `${element.localName} has an attribute with a prefix.`);
    }
    found.set(attribute.name, attribute.value);
  }
  return found;
}

/** Reads an element's children strictly in order; `end()` refuses what was not taken. */
export class Fields {
  constructor(element, attributes = []) {
    this.namespace = element.namespaceURI;
    this.name = element.localName;
    this.values = exactAttributes(element, attributes);
    this.children = Array.from(element.childNodes);
    if (this.children.some((node) => node.nodeType !== Node.ELEMENT_NODE)) {
      throw new Refusal("stray-text", `${this.name} contains text where only elements are allowed.`);
    }
  }

  attribute(name) {
    return this.values.get(name);
  }

  /** The next child, which must be `name`. */
  take(name, namespace = this.namespace) {
    const child = this.takeOptional(name, namespace);
    if (child) return child;
    const found = this.children.length ? this.children[0].localName : "the end";
    throw new Refusal("unexpected-element", `${this.name} should go on with ${name}, but ${found} follows.`);
  }

  takeOptional(name, namespace = this.namespace) {
    const next = this.children[0];
    return next?.localName === name && next.namespaceURI === namespace ? this.children.shift() : undefined;
  }

  /** All following children named `name`, at most `most`. */
  takeAll(name, most) {
    const found = [];
    for (let child = this.takeOptional(name); child; child = this.takeOptional(name)) {
      if (found.length === most) {
        throw new Refusal("too-many-elements", `${this.name} has more than ${most} ${name} elements.`);
      }
      found.push(child);
    }
    return found;
  }

  end() {
    if (this.children.length) {
      const child = this.children[0].localName;
      throw new Refusal("unexpected-element", `${this.name} contains ${child} where nothing is allowed.`);
    }
  }
}

function exactAttributes(element, names) {
  const found = attributesOf(element);
  if (found.size !== names.length || !names.every((name) => found.has(name))) {
    throw new Refusal("unknown-attribute", `${element.localName} does not have exactly the attributes it should have.`);
  }
  return found;
}

/** The text of an element that has neither children nor attributes. */
export function elementText(element) {
  exactAttributes(element, []);
  if (element.childElementCount) {
    throw new Refusal("unexpected-element", `${element.localName} contains an element where only text is allowed.`);
  }
  return element.textContent;
}

/** The base64 content of an element: canonical base64, `least` to `most` octets. */
export function elementBytes(element, { most, least = 1 }) {
  const name = element.localName;
  const text = elementText(element);
  if (text.length > Math.ceil(most / 3) * 4) {
    throw new Refusal("value-too-long", `${name} holds more than ${most} bytes.`);
  }
  const value = fromBase64(text);
  if (!value) throw new Refusal("not-base64", `${name} is not base64 in its canonical form.`);
  if (value.length < least || value.length > most) {
    throw new Refusal("value-length", `${name} holds ${value.length} bytes; ${least} to ${most} are allowed.`);
  }
  return value;
}
