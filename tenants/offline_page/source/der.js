// The part of DER (X.690) that certificates and PKCS #12 files need: a writer, and a reader that takes no second form.
import { concat } from "./octets.js";
import { Refusal } from "./refusal.js";

export const TAG = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  null: 0x05,
  oid: 0x06,
  utf8String: 0x0c,
  utcTime: 0x17,
  generalizedTime: 0x18,
  sequence: 0x30,
  set: 0x31,
};

/** The tag of a context-specific constructed value. */
export function context(number) {
  return 0xa0 | number;
}

/** One value: tag, length, contents. */
export function der(tag, ...contents) {
  const body = concat(...contents);
  return concat(Uint8Array.of(tag, ...lengthOctets(body.length)), body);
}

function lengthOctets(length) {
  if (length < 0x80) return [length];
  const octets = [];
  for (let rest = length; rest; rest = Math.floor(rest / 256)) octets.unshift(rest % 256);
  return [0x80 | octets.length, ...octets];
}

export function sequence(...contents) {
  return der(TAG.sequence, ...contents);
}

/** An INTEGER that is not negative, from its big-endian octets. */
export function unsignedInteger(octets) {
  let start = 0;
  while (start < octets.length - 1 && octets[start] === 0) start += 1;
  const magnitude = octets.subarray(start);
  return der(TAG.integer, magnitude[0] & 0x80 ? Uint8Array.of(0) : new Uint8Array(), magnitude);
}

/** An INTEGER from a number below 2^31. */
export function smallInteger(value) {
  return unsignedInteger(Uint8Array.of((value >>> 24) & 255, (value >>> 16) & 255, (value >>> 8) & 255, value & 255));
}

/** An OBJECT IDENTIFIER from its dotted form. */
export function oid(dotted) {
  const [first, second, ...rest] = dotted.split(".").map(Number);
  return der(TAG.oid, Uint8Array.from([first * 40 + second, ...rest].flatMap(baseOf128)));
}

function baseOf128(number) {
  const digits = [number & 0x7f];
  for (let rest = Math.floor(number / 128); rest; rest = Math.floor(rest / 128)) digits.unshift(0x80 | (rest & 0x7f));
  return digits;
}

/** A value that was read: `octets` is all of it, `contents` what is inside. */
class Value {
  constructor(tag, octets, contents) {
    this.tag = tag;
    this.octets = octets;
    this.contents = contents;
  }

  /** A reader of what is inside. */
  inner() {
    return new DerReader(this.contents);
  }
}

/** Reads values one behind the other; throws a Refusal for what DER does not allow and for anything unexpected. */
export class DerReader {
  constructor(octets) {
    this.octets = octets;
    this.at = 0;
  }

  get isAtEnd() {
    return this.at === this.octets.length;
  }

  get nextTag() {
    return this.octets[this.at];
  }

  /** The next value, which must have this tag. */
  take(tag) {
    if (this.nextTag !== tag) throw malformed();
    const start = this.at;
    const { length, size } = this.length(start + 1);
    const from = start + 1 + size;
    if (from + length > this.octets.length) throw malformed();
    this.at = from + length;
    return new Value(tag, this.octets.subarray(start, this.at), this.octets.subarray(from, this.at));
  }

  takeOptional(tag) {
    return this.nextTag === tag ? this.take(tag) : undefined;
  }

  length(at) {
    const first = this.octets[at];
    if (first === undefined || first === 0x80 || first > 0x83) throw malformed();
    if (first < 0x80) return { length: first, size: 1 };
    const count = first & 0x7f;
    let length = 0;
    for (let index = 1; index <= count; index += 1) length = length * 256 + (this.octets[at + index] ?? Number.NaN);
    const shortest = length >= 0x80 && length >= 256 ** (count - 1);
    if (!shortest) throw malformed();
    return { length, size: 1 + count };
  }

  end() {
    if (!this.isAtEnd) throw malformed();
  }
}

/** The one value that `octets` holds. */
export function readWhole(octets, tag) {
  const reader = new DerReader(octets);
  const value = reader.take(tag);
  reader.end();
  return value;
}

/** The magnitude of an INTEGER that is not negative, without leading zeros. */
export function unsignedOf(value) {
  const octets = value.contents;
  if (!octets.length || octets[0] & 0x80) throw malformed();
  if (octets.length > 1 && octets[0] === 0) {
    if (!(octets[1] & 0x80)) throw malformed();
    return octets.subarray(1);
  }
  return octets;
}

/** A small INTEGER that is not negative, as a number. */
export function numberOf(value) {
  const octets = unsignedOf(value);
  if (octets.length > 4) throw malformed();
  return octets.reduce((number, octet) => number * 256 + octet, 0);
}

export function malformed() {
  return new Refusal("not-der", "Something that should be in DER form is not.");
}
