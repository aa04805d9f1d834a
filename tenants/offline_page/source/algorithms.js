// The algorithms of key protection under their W3C URIs. A URI that is not here is refused.
import { base64, concat, random, utf8, wipe } from "./octets.js";
import { Refusal } from "./refusal.js";

export const RSA_PSS_SHA256 = "http://www.w3.org/2007/05/xmldsig-more#sha256-rsa-MGF1";
const RSA_OAEP = "http://www.w3.org/2009/xmlenc11#rsa-oaep";
const AES_256_GCM = "http://www.w3.org/2009/xmlenc11#aes256-gcm";
const HKDF = "http://www.w3.org/2021/04/xmldsig-more#hkdf";
const HMAC_SHA256 = "http://www.w3.org/2001/04/xmldsig-more#hmac-sha256";

export const KEY_SIZE = 32;
const NONCE_SIZE = 12;
const TRANSPORT_KEY_LABEL = utf8("guarded-fabric transport-key");
const PSS = { name: "RSA-PSS", hash: "SHA-256" };
const PSS_SIGNING = { name: "RSA-PSS", saltLength: 32 };
const OAEP = { name: "RSA-OAEP", hash: "SHA-256" };
const PKCS1 = { name: "RSASSA-PKCS1-v1_5", hash: "SHA-256" };

async function publicKey(spki, algorithm, use) {
  try {
    return await crypto.subtle.importKey("spki", spki, algorithm, false, [use]);
  } catch {
    throw new Refusal("bad-key", "A certificate holds a key that cannot be read.");
  }
}

async function privateKey(pkcs8, algorithm, use) {
  try {
    return await crypto.subtle.importKey("pkcs8", pkcs8, algorithm, false, [use]);
  } catch {
    throw new Refusal("bad-key", "A private key cannot be read.");
  }
}

/** Private keys for use, which can no longer be read out of the browser. */
export async function signingKeyFrom(pkcs8) {
  return privateKey(pkcs8, PSS, "sign");
}

export async function decryptionKeyFrom(pkcs8) {
  return privateKey(pkcs8, OAEP, "decrypt");
}

/** A key that signs certificates: RSASSA-PKCS1-v1_5, as every X.509 reader knows it. */
export async function certificateSigner(pkcs8) {
  const key = await privateKey(pkcs8, PKCS1, "sign");
  return async (octets) => new Uint8Array(await crypto.subtle.sign(PKCS1.name, key, octets));
}

/** A new RSA key as `{ pkcs8, spki }`. The caller wipes `pkcs8`. */
export async function newRsaKey(bits) {
  const parameters = { ...PSS, modulusLength: bits, publicExponent: Uint8Array.of(1, 0, 1) };
  const pair = await crypto.subtle.generateKey(parameters, true, ["sign", "verify"]);
  const [pkcs8, spki] = await Promise.all([
    crypto.subtle.exportKey("pkcs8", pair.privateKey),
    crypto.subtle.exportKey("spki", pair.publicKey),
  ]);
  return { pkcs8: new Uint8Array(pkcs8), spki: new Uint8Array(spki) };
}

export async function sign(key, octets) {
  return { algorithm: RSA_PSS_SHA256, value: new Uint8Array(await crypto.subtle.sign(PSS_SIGNING, key, octets)) };
}

/** Whether a signature by the key `spki` over `octets` is right. Throws a Refusal for an unknown algorithm. */
export async function isSigned(spki, signature, octets) {
  if (signature.algorithm !== RSA_PSS_SHA256) {
    throw new Refusal("unknown-algorithm", `The signature algorithm ${signature.algorithm} is not known.`);
  }
  const key = await publicKey(spki, PSS, "verify");
  return crypto.subtle.verify(PSS_SIGNING, key, signature.value, octets);
}

/** Whether an RSASSA-PKCS1-v1_5 SHA-256 signature is right. */
export async function isSignedPkcs1(spki, value, octets) {
  return crypto.subtle.verify(PKCS1.name, await publicKey(spki, PKCS1, "verify"), value, octets);
}

/** A transport key encrypted to the RSA key `spki`, as a wrapping holds it. */
export async function wrapTransportKey(spki, transportKey) {
  const key = await publicKey(spki, OAEP, "encrypt");
  const value = await crypto.subtle.encrypt({ name: OAEP.name, label: TRANSPORT_KEY_LABEL }, key, transportKey);
  return { algorithm: RSA_OAEP, parameters: oaepParameters(TRANSPORT_KEY_LABEL), value: new Uint8Array(value) };
}

/** The transport key in what `wrapTransportKey` made; the caller wipes it. */
export async function unwrapTransportKey(key, value) {
  return new Uint8Array(await crypto.subtle.decrypt({ name: OAEP.name, label: TRANSPORT_KEY_LABEL }, key, value));
}

function oaepParameters(label) {
  return (
    `<OAEPparams xmlns="http://www.w3.org/2001/04/xmlenc#">${base64(label)}</OAEPparams>` +
    '<DigestMethod xmlns="http://www.w3.org/2000/09/xmldsig#" ' +
    'Algorithm="http://www.w3.org/2001/04/xmlenc#sha256"></DigestMethod>' +
    '<MGF xmlns="http://www.w3.org/2009/xmlenc11#" ' +
    'Algorithm="http://www.w3.org/2009/xmlenc11#mgf1sha256"></MGF>'
  );
}

/** The element that names HKDF-SHA256 with this info (RFC 9231). */
export function hkdfMethod(info) {
  const parameters =
    '<HKDFParams xmlns="http://www.w3.org/2021/04/xmldsig-more#">' +
    `<PRF Algorithm="${HMAC_SHA256}"></PRF><Info>${base64(info)}</Info></HKDFParams>`;
  return { algorithm: HKDF, parameters };
}

/** HKDF-SHA256 (RFC 5869) without salt, 32 octets. */
export async function hkdfSha256(secret, info) {
  const key = await crypto.subtle.importKey("raw", secret, "HKDF", false, ["deriveBits"]);
  const parameters = { name: "HKDF", hash: "SHA-256", salt: new Uint8Array(), info };
  return new Uint8Array(await crypto.subtle.deriveBits(parameters, key, KEY_SIZE * 8));
}

/** HMAC-SHA256 over `octets`; the key is wiped. */
export async function authenticate(secret, octets) {
  const key = await crypto.subtle.importKey("raw", secret, { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
  wipe(secret);
  return { algorithm: HMAC_SHA256, value: new Uint8Array(await crypto.subtle.sign("HMAC", key, octets)) };
}

/** AES-256-GCM: value = nonce (12) ‖ ciphertext ‖ tag (16); `additional` is authenticated too. The key is wiped. */
export async function encryptContent(secret, plaintext, additional) {
  const key = await crypto.subtle.importKey("raw", secret, "AES-GCM", false, ["encrypt"]);
  wipe(secret);
  const nonce = random(NONCE_SIZE);
  const parameters = { name: "AES-GCM", iv: nonce, additionalData: additional };
  const sealed = new Uint8Array(await crypto.subtle.encrypt(parameters, key, plaintext));
  return { algorithm: AES_256_GCM, parameters: "", value: concat(nonce, sealed) };
}
