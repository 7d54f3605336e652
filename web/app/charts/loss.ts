/** The loss per token. */

import { csv, saveFile } from "../download";
import { visible } from "../format";
import { WINDOW, type ReadingRecord } from "../record";
import { figure, type FigureElement } from "./figure";
import { Plot } from "./plot";

export class LossChart {
  readonly element: FigureElement;
  private record: ReadingRecord | null = null;
  private readonly plot = new Plot({
    label: "loss of each token and its running mean",
    x: "token",
    y: "nats",
    height: 240,
    lines: [
      { label: "one token", colour: "surprise-faint", dots: true, mark: "dot" },
      { label: `mean of the last ${WINDOW}`, colour: "surprise", width: 2.25, mark: "surprise" },
    ],
    note: (index) => {
      const token = this.record?.tokens[index];
      return token === undefined ? "" : ` “${visible(token.text)}”`;
    },
  });

  constructor() {
    this.element = figure(
      {
        title: "How surprised it is",
        explanation: "Each dot is one token: the higher it lies, the less the model expected it. If the line sinks, it has come to expect this text.",
        testId: "loss-chart",
        series: () => ({ token: this.record?.loss[0] ?? [], loss: this.record?.loss[1] ?? [], mean: this.record?.loss[2] ?? [] }),
        download: () => {
          if (this.record === null) return;
          saveFile("loss.csv", csv(["position", "id", "text", "loss", `mean_${WINDOW}`], this.record.lossRows()), "text/csv");
        },
      },
      this.plot.element,
    );
  }

  show(record: ReadingRecord): void {
    this.record = record;
    this.plot.set(record.loss);
  }
}
