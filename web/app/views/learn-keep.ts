/** Going on from what it has read: write on, keep it in a file, take it up again. */

import { button, el, show } from "../dom";
import { saveFile } from "../download";
import { bytes, plural } from "../format";
import type { Learning } from "../learning";
import { current, modelName, ready } from "../model";
import { ProblemPlace } from "../problems";
import { Sampling } from "../sampling";
import { Writer } from "../writer";
import type { Model } from "../../lib/index";

function stem(model: Model): string {
  const state = current();
  const name = state.kind === "ready" ? modelName(state.source, model.info) : model.info.name;
  return name.replace(/^.*\//, "").replace(/[^\w.-]+/g, "-");
}

export function keepSection(learning: Learning): HTMLElement {
  const state = el("p", { class: "lead", role: "status", "data-testid": "state-line" });
  const write = button("Write on", { class: "primary", "data-testid": "learn-write-on" });
  const stop = button("Stop", { class: "primary", "data-testid": "learn-write-stop", hidden: true });
  const save = button("Save the state", { "data-testid": "save-state" });
  const open = button("Load a saved state", { "data-testid": "load-state" });
  const file = el("input", { type: "file", class: "sr", tabindex: -1, "aria-label": "A saved state", accept: ".fwstate", "data-testid": "state-file" });
  const command = el("code", { "data-testid": "state-command" }, "fastweight generate --load-state FILE");
  const commandRow = el("p", { class: "command hint", hidden: true }, "On the command line: ", command);
  const problem = new ProblemPlace();
  const writer = new Writer("What it writes on", "learn-output");
  const sampling = new Sampling("keep-option");
  sampling.onShade = (on) => writer.shade(on);
  show(false, writer.element);

  const arrange = (): void => {
    const { session, busy } = learning;
    const length = session?.length ?? 0;
    const writing = busy === "write";
    show(!writing, write, stop);
    show(writing, stop, write);
    write.disabled = length === 0 || busy !== null;
    save.disabled = length === 0 || busy !== null;
    open.disabled = busy !== null;
    if (busy === "read") state.textContent = "It is reading.";
    else if (busy === null) {
      state.textContent = length === 0 ? "It has read nothing yet. Let it read a text above, or load a state." : `It has read ${plural(length, "token")}. All that it kept of them is in its state, which is the same size however much it reads.`;
      if (length > 0 && learning.model !== null && !learning.model.info.learns) state.textContent = `It has read ${plural(length, "token")}.`;
    }
  };

  async function use(who: string, act: () => Promise<void>): Promise<void> {
    problem.clear();
    learning.busy = who;
    try {
      await act();
    } catch (error) {
      problem.show(error);
    } finally {
      learning.busy = null;
    }
  }

  write.addEventListener("click", () => {
    const { session } = learning;
    if (session === null) return;
    show(true, writer.element);
    void use("write", async () => {
      await writer.write(session, "", sampling.options());
    });
    stop.focus();
  });
  stop.addEventListener("click", () => writer.stop());
  save.addEventListener("click", () => {
    const { session, model } = learning;
    if (session === null || model === null) return;
    void use("save", async () => {
      const saved = await session.save();
      const name = `${stem(model)}-${session.length}.fwstate`;
      saveFile(name, saved as Uint8Array<ArrayBuffer>, "application/octet-stream");
      command.textContent = `fastweight generate --load-state ${name}`;
      commandRow.hidden = false;
      commandRow.firstChild?.replaceWith(`Saved ${bytes(saved.length)}. To go on from it on the command line: `);
    });
  });
  open.addEventListener("click", () => file.click());
  file.addEventListener("change", () => {
    const [chosen] = file.files ?? [];
    file.value = "";
    if (chosen === undefined) return;
    void use("load", async () => {
      const model = await ready();
      const session = await model.restore(new Uint8Array(await chosen.arrayBuffer()));
      writer.clear();
      show(false, writer.element);
      await learning.take(model, session);
    });
  });
  let last = learning.session;
  learning.addEventListener("change", () => {
    if (learning.session !== last) {
      last = learning.session;
      problem.clear();
      writer.stop();
      writer.clear();
      show(false, writer.element);
    }
    arrange();
  });
  arrange();

  return el(
    "section",
    { class: "band", "aria-labelledby": "keep-title" },
    el("h2", { id: "keep-title" }, "Go on from here"),
    state,
    el("div", { class: "row" }, write, stop, save, open, file),
    el("details", { class: "keep-how" }, el("summary", { "data-testid": "keep-option-how" }, "How it writes"), sampling.element),
    commandRow,
    problem.element,
    writer.element,
  );
}
