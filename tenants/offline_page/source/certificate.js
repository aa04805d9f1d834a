// Guardians' certificates (X.509): containers for RSA keys, checked for form and use, not for trust.
import {
  TAG,
  context,
  der,
  malformed,
  numberOf,
  oid,
  readWhole,
  sequence,
  smallInteger,
  unsignedInteger,
  unsignedOf,
} from "./der.js";
import { hex, same, sha256, utf8 } from "./octets.js";
import { Refusal } from "./refusal.js";

export const CERTIFICATE_MAX = 8192;
const RSA_KEY_MIN = 2048;
const RSA_KEY_MAX = 8192;
const RSA_EXPONENT_MAX = 2 ** 32;
const VALIDITY_DAYS = 3652;
const DAY = 86_400_000;

const RSA_ENCRYPTION = sequence(oid("1.2.840.113549.1.1.1"), der(TAG.null));
const SHA256_WITH_RSA = sequence(oid("1.2.840.113549.1.1.11"), der(TAG.null));
const COMMON_NAME = oid("2.5.4.3");
const BASIC_CONSTRAINTS = oid("2.5.29.19");
const KEY_USAGE = oid("2.5.29.15");
const CRITICAL = der(TAG.boolean, Uint8Array.of(0xff));
// KeyUsage: digitalSignature is bit 0; keyEncipherment and dataEncipherment are bits 2 and 3 (RFC 5280, 4.2.1.3).
const USAGE_BITS = { signing: 0x80, encryption: 0x30 };
const USAGE_VALUES = { signing: Uint8Array.of(7, 0x80), encryption: Uint8Array.of(4, 0x30) };

/** What is needed of a certificate: `spki` (DER), `notBefore`, `notAfter` (Date), `usage` (bits, undefined = any). */
export function readCertificate(octets, most = CERTIFICATE_MAX) {
  if (octets.length > most) throw new Refusal("certificate-too-large", `A certificate has more than ${most} bytes.`);
  try {
    return { octets, ...fieldsOf(octets) };
  } catch {
    throw new Refusal("bad-certificate", "A certificate is not a DER X.509 certificate.");
  }
}

function fieldsOf(octets) {
  const whole = readWhole(octets, TAG.sequence).inner();
  const signed = whole.take(TAG.sequence).inner();
  whole.take(TAG.sequence);
  whole.take(TAG.bitString);
  whole.end();
  checkVersion(signed.takeOptional(context(0)));
  signed.take(TAG.integer);
  signed.take(TAG.sequence);
  signed.take(TAG.sequence);
  const validity = signed.take(TAG.sequence).inner();
  const [notBefore, notAfter] = [timeOf(validity), timeOf(validity)];
  validity.end();
  signed.take(TAG.sequence);
  const spki = signed.take(TAG.sequence).octets;
  signed.takeOptional(0x81);
  signed.takeOptional(0x82);
  const extensions = signed.takeOptional(context(3));
  signed.end();
  return { spki, notBefore, notAfter, usage: extensions && usageOf(extensions) };
}

/** Version 1, which is not written, or version 3. */
function checkVersion(wrapped) {
  if (wrapped && numberOf(readWhole(wrapped.contents, TAG.integer)) !== 2) throw malformed();
}

function timeOf(reader) {
  const isShort = reader.nextTag === TAG.utcTime;
  const value = reader.take(isShort ? TAG.utcTime : TAG.generalizedTime);
  const found = /^(\d{2,4})(\d{2})(\d{2})(\d{2})(\d{2})(\d{2})Z$/.exec(String.fromCharCode(...value.contents));
  if (!found || found[1].length !== (isShort ? 2 : 4)) throw malformed();
  const [year, month, day, hour, minute, second] = found.slice(1).map(Number);
  const century = isShort ? (year < 50 ? 2000 : 1900) : 0;
  return new Date(Date.UTC(century + year, month - 1, day, hour, minute, second));
}

function usageOf(wrapped) {
  const outer = wrapped.inner();
  const list = outer.take(TAG.sequence).inner();
  outer.end();
  const seen = new Set();
  let usage;
  while (!list.isAtEnd) {
    const extension = list.take(TAG.sequence).inner();
    const name = extension.take(TAG.oid).octets;
    extension.takeOptional(TAG.boolean);
    const value = extension.take(TAG.octetString).contents;
    extension.end();
    if (seen.has(hex(name))) throw malformed();
    seen.add(hex(name));
    if (same(name, KEY_USAGE)) usage = readWhole(value, TAG.bitString).contents[1] ?? 0;
  }
  return usage;
}

/** A certificate that holds an RSA key of an accepted size and may be used for `use`. Throws a Refusal. */
export function certificateFor(octets, use) {
  const certificate = readCertificate(octets);
  checkRsaKey(certificate.spki);
  if (certificate.usage !== undefined && !(certificate.usage & USAGE_BITS[use])) {
    throw new Refusal("key-usage", `A guardian's certificate is not meant for ${use}.`);
  }
  return certificate;
}

/** Throws a Refusal for an RSA key (SubjectPublicKeyInfo) of a size or exponent that is not accepted. */
export function checkRsaKey(spki) {
  const { modulus, exponent } = rsaNumbersOf(spki);
  const bits = modulus.length * 8 - Math.clz32(modulus[0]) + 24;
  if (bits < RSA_KEY_MIN || bits > RSA_KEY_MAX) {
    throw new Refusal("key-size", `An RSA key has ${bits} bits; ${RSA_KEY_MIN} to ${RSA_KEY_MAX} are allowed.`);
  }
  if (exponent.reduce((number, octet) => number * 256 + octet, 0) > RSA_EXPONENT_MAX) {
    throw new Refusal("key-exponent", "A guardian's RSA key has a public exponent that is too long.");
  }
}

/** Modulus and exponent (big-endian) of an RSA SubjectPublicKeyInfo. Throws a Refusal. */
export function rsaNumbersOf(spki) {
  const outer = readWhole(spki, TAG.sequence).inner();
  if (!same(outer.take(TAG.sequence).octets, RSA_ENCRYPTION)) {
    throw new Refusal("not-rsa", "A certificate does not hold an RSA key.");
  }
  const bits = outer.take(TAG.bitString).contents;
  outer.end();
  const numbers = readWhole(bits.subarray(1), TAG.sequence).inner();
  const [modulus, exponent] = [unsignedOf(numbers.take(TAG.integer)), unsignedOf(numbers.take(TAG.integer))];
  numbers.end();
  return { modulus, exponent };
}

/** The RSA SubjectPublicKeyInfo of a private key in PKCS #8. Throws a Refusal. */
export function publicOfPrivate(pkcs8) {
  const outer = readWhole(pkcs8, TAG.sequence).inner();
  numberOf(outer.take(TAG.integer));
  if (!same(outer.take(TAG.sequence).octets, RSA_ENCRYPTION)) {
    throw new Refusal("not-rsa", "The file does not hold an RSA private key.");
  }
  const key = readWhole(outer.take(TAG.octetString).contents, TAG.sequence).inner();
  numberOf(key.take(TAG.integer));
  const numbers = sequence(key.take(TAG.integer).octets, key.take(TAG.integer).octets);
  return sequence(RSA_ENCRYPTION, der(TAG.bitString, Uint8Array.of(0), numbers));
}

/** SHA-256 of a certificate, 64 lower-case hexadecimal digits. */
export async function fingerprintOf(octets) {
  return hex(await sha256(octets));
}

/**
 * A self-signed certificate for a guardian's key, valid from `now` (Date) for ten years.
 * `sign` gives an RSASSA-PKCS1-v1_5 SHA-256 signature over octets with the private key of `spki`.
 */
export async function issueSelfSigned({ commonName, spki, sign, use, now }) {
  const serial = (await sha256(spki)).slice(0, 16);
  const start = new Date(Math.floor(now.getTime() / 1000) * 1000);
  const usage = der(TAG.bitString, USAGE_VALUES[use]);
  const name = sequence(der(TAG.set, sequence(COMMON_NAME, der(TAG.utf8String, utf8(commonName)))));
  const signed = sequence(
    der(context(0), smallInteger(2)),
    unsignedInteger(halved(serial)),
    SHA256_WITH_RSA,
    name,
    sequence(time(start), time(new Date(start.getTime() + VALIDITY_DAYS * DAY))),
    name,
    spki,
    der(context(3), sequence(extension(BASIC_CONSTRAINTS, sequence()), extension(KEY_USAGE, usage))),
  );
  return sequence(signed, SHA256_WITH_RSA, der(TAG.bitString, Uint8Array.of(0), await sign(signed)));
}

/** The number shifted right by one and made odd: positive and never zero, as `gf guardian new` makes serials. */
function halved(octets) {
  const shifted = octets.map((octet, at) => (octet >> 1) | ((at ? octets[at - 1] & 1 : 0) << 7));
  shifted[shifted.length - 1] |= 1;
  return shifted;
}

function extension(name, value) {
  return sequence(name, CRITICAL, der(TAG.octetString, value));
}

function time(moment) {
  const digits = moment.toISOString().replace(/[-:T]/g, "").slice(0, 14);
  // RFC 5280, 4.1.2.5: UTCTime through 2049, GeneralizedTime from 2050 on.
  const isShort = moment.getUTCFullYear() < 2050;
  return der(isShort ? TAG.utcTime : TAG.generalizedTime, utf8(`${isShort ? digits.slice(2) : digits}Z`));
}
