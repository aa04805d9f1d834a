// Guardian metadata: a guardian's public half in one signed document ([MS-KPS] 2.2.2, 6.4), as HGS publishes it.
// Three values are taken from the XML signature and the only document that could hold them is written and compared,
// so no reference is resolved.
import { isSignedPkcs1 } from "./algorithms.js";
import { CERTIFICATE_MAX, certificateFor, fingerprintOf } from "./certificate.js";
import { KPS_NAMESPACE, readSignature, writeSignature } from "./elements.js";
import { OTHER_SIGNING_MAX, guardianFrom } from "./guardian.js";
import { same, sha256 } from "./octets.js";
import { Refusal } from "./refusal.js";
import { Fields, elementBytes, elementText, parseDocument } from "./xmlform.js";
import { build, buildBytes, buildText, canonical } from "./xmlwriting.js";

export const METADATA_MAX = 256 * 1024;
const DS = "http://www.w3.org/2000/09/xmldsig#";
const EXCLUSIVE = "http://www.w3.org/2001/10/xml-exc-c14n#";
const ENVELOPED = "http://www.w3.org/2000/09/xmldsig#enveloped-signature";
const RSA_SHA256 = "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256";
const SHA256 = "http://www.w3.org/2001/04/xmlenc#sha256";
const CLOCK_SKEW = 600_000;
const ADVICE = "Fetch the guardian metadata again from the Host Guardian Service and keep it unchanged.";

/** `{ guardian, fingerprint }` of metadata whose signatures hold: compare the fingerprint. Throws a Refusal. */
export async function openMetadata(octets, name) {
  const metadata = parse(octets);
  const signer = certificateFor(metadata.communicationsCertificate, "signing");
  if (!same(await sha256(canonical(bodyOf(metadata))), metadata.digest)) {
    throw new Refusal("metadata-digest", "The guardian metadata was changed after it was signed.", ADVICE);
  }
  const signed = canonical(signedInfo(metadata.digest));
  if (!(await isSignedPkcs1(signer.spki, metadata.signature, signed))) {
    throw new Refusal("metadata-signature", "The guardian metadata's signature is wrong.", ADVICE);
  }
  return {
    guardian: await guardianFrom(name, metadata.parts),
    fingerprint: await fingerprintOf(signer.octets),
  };
}

/** Sentences about certificates of the guardian that are not valid at `now` (Date). */
export function datesOutside(guardian, now) {
  const day = (moment) => moment.toISOString().slice(0, 10);
  return ["signing", "encryption"].flatMap((use) => {
    const { notBefore, notAfter } = guardian[use];
    if (notBefore.getTime() - CLOCK_SKEW <= now.getTime() && now <= notAfter) return [];
    return [`The guardian's ${use} certificate is valid from ${day(notBefore)} to ${day(notAfter)}, not today.`];
  });
}

function parse(octets) {
  const root = parseDocument(octets, { namespace: KPS_NAMESPACE, name: "Metadata", limit: METADATA_MAX });
  const fields = new Fields(root, ["Version"]);
  checkVersion(fields.attribute("Version"));
  const information = new Fields(fields.take("GuardianInformation"));
  checkVersion(elementText(information.take("Version")));
  const parts = {
    encryptionCertificate: elementBytes(information.take("EncryptionCertificate"), { most: CERTIFICATE_MAX }),
    signingCertificate: elementBytes(information.take("SigningCertificate"), { most: CERTIFICATE_MAX }),
    encryptionCertificateSignature: readSignature(information.take("EncryptionCertificateSignature")),
    signingCertificateSignature: readSignature(information.take("SigningCertificateSelfSignature")),
    otherSigningCertificates: readOthers(information.takeOptional("OtherSigningCertificates")),
  };
  information.end();
  const metadata = { parts, ...readXmlSignature(fields.take("Signature", DS)) };
  fields.end();
  if (!same(documentOf(metadata), octets)) throw notTheForm();
  return metadata;
}

function checkVersion(version) {
  if (version !== "1") {
    throw new Refusal("metadata-version", `The guardian metadata has version ${version}; only 1 is known.`, ADVICE);
  }
}

function readOthers(element) {
  if (!element) return [];
  const fields = new Fields(element);
  const found = fields.takeAll("Certificate", OTHER_SIGNING_MAX);
  fields.end();
  return found.map((child) => elementBytes(child, { most: CERTIFICATE_MAX }));
}

function readXmlSignature(element) {
  const fields = new Fields(element);
  const digests = fields.take("SignedInfo").getElementsByTagNameNS(DS, "DigestValue");
  const signature = elementBytes(fields.take("SignatureValue"), { most: 1024 });
  const held = fields.take("KeyInfo").getElementsByTagNameNS(DS, "X509Certificate");
  fields.end();
  if (digests.length !== 1 || held.length !== 1) throw notTheForm();
  return {
    digest: elementBytes(digests[0], { most: 32, least: 32 }),
    signature,
    communicationsCertificate: elementBytes(held[0], { most: CERTIFICATE_MAX }),
  };
}

function notTheForm() {
  return new Refusal("metadata-form", "The guardian metadata is not signed in the one accepted way.", ADVICE);
}

function informationOf(parts) {
  const ns = KPS_NAMESPACE;
  const others = parts.otherSigningCertificates.map((octets) => buildBytes(ns, "Certificate", octets));
  return build(ns, "GuardianInformation", [
    buildText(ns, "Version", "1"),
    buildBytes(ns, "EncryptionCertificate", parts.encryptionCertificate),
    buildBytes(ns, "SigningCertificate", parts.signingCertificate),
    writeSignature(ns, parts.encryptionCertificateSignature, "EncryptionCertificateSignature"),
    writeSignature(ns, parts.signingCertificateSignature, "SigningCertificateSelfSignature"),
    ...(others.length ? [build(ns, "OtherSigningCertificates", others)] : []),
  ]);
}

function bodyOf({ parts }, ...more) {
  return build(KPS_NAMESPACE, "Metadata", [informationOf(parts), ...more], { Version: "1" });
}

function documentOf(metadata) {
  const certificate = buildBytes(DS, "X509Certificate", metadata.communicationsCertificate);
  const signature = build(DS, "Signature", [
    signedInfo(metadata.digest),
    buildBytes(DS, "SignatureValue", metadata.signature),
    build(DS, "KeyInfo", [build(DS, "X509Data", [certificate])]),
  ]);
  return canonical(bodyOf(metadata, signature));
}

function signedInfo(digest) {
  const method = (name, uri) => build(DS, name, [], { Algorithm: uri });
  const reference = build(
    DS,
    "Reference",
    [
      build(DS, "Transforms", [method("Transform", ENVELOPED), method("Transform", EXCLUSIVE)]),
      method("DigestMethod", SHA256),
      buildBytes(DS, "DigestValue", digest),
    ],
    { URI: "" },
  );
  const methods = [method("CanonicalizationMethod", EXCLUSIVE), method("SignatureMethod", RSA_SHA256)];
  return build(DS, "SignedInfo", [...methods, reference]);
}
