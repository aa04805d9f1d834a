// The elements that key protection documents share: Signature, EncryptedData, KeyDerivationMethod ([MS-KPS] 6.5).
import { Refusal } from "./refusal.js";
import { Fields, elementBytes } from "./xmlform.js";
import { build, buildBytes, buildCanonical } from "./xmlwriting.js";

export const KPS_NAMESPACE = "http://schemas.microsoft.com/kps/2014/07";
const SIGNATURE_MAX = 1024;

/** `{ algorithm, value }` of an element of type Signature. None of the algorithms known here has parameters. */
export function readSignature(element) {
  const fields = new Fields(element, ["Algorithm"]);
  const algorithm = fields.attribute("Algorithm");
  if (fields.takeOptional("Parameters")) {
    throw new Refusal("unknown-parameters", `The signature ${algorithm} has parameters that are not known.`);
  }
  const value = elementBytes(fields.take("SignatureValue"), { most: SIGNATURE_MAX });
  fields.end();
  return { algorithm, value };
}

export function writeSignature(namespace, signature, name = "Signature") {
  const value = buildBytes(namespace, "SignatureValue", signature.value);
  return build(namespace, name, [value], { Algorithm: signature.algorithm });
}

/** `{ algorithm, parameters, value }`; `parameters` is canonical XML, empty where there are none. */
export function writeEncryptedData(namespace, data, name = "EncryptedData") {
  const value = buildBytes(namespace, "CipherValue", data.value);
  return build(namespace, name, [...writtenParameters(namespace, data), value], { Algorithm: data.algorithm });
}

export function writeKeyDerivation(namespace, method) {
  return build(namespace, "KeyDerivationMethod", writtenParameters(namespace, method), { Algorithm: method.algorithm });
}

function writtenParameters(namespace, { parameters }) {
  return parameters ? [buildCanonical(namespace, "Parameters", parameters)] : [];
}
