/** What a model is, from its header, before it is downloaded. */

import { el } from "./dom";
import { bytes, count, parameters } from "./format";
import { familyName } from "./model";
import type { Inspection } from "../lib/index";

export function inspectionCard(inspection: Inspection, remote: boolean): HTMLElement {
  const { weightBytes, stateBytes, bufferBytes } = inspection;
  const facts: [string, string][] = [
    ["Family", `${familyName(inspection.family)}, ${inspection.learns ? "learns while it reads" : "does not learn while it reads"}`],
    ["Parameters", `${parameters(inspection.parameters)} in ${count(inspection.tensors)} tensors`],
    [remote ? "Download" : "Files", bytes(inspection.downloadBytes)],
    ["Memory", `${bytes(weightBytes + stateBytes + bufferBytes)}: weights ${bytes(weightBytes)}, state ${bytes(stateBytes)}, buffers ${bytes(bufferBytes)}`],
    ["Sizes", Object.entries(inspection.sizes).map(([name, value]) => `${name} ${value}`).join(", ")],
  ];
  const list = el("dl", { class: "facts" });
  for (const [term, value] of facts) list.append(el("dt", {}, term), el("dd", {}, value));
  return el(
    "div",
    {},
    el("h3", {}, inspection.name),
    list,
    el(
      "p",
      { class: inspection.fits ? "verdict" : "verdict bad", "data-testid": "fits" },
      inspection.fits ? "It fits on this device." : `It does not fit. ${inspection.reason ?? ""}`,
    ),
  );
}
