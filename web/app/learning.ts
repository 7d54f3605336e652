/** The session of the page Learn: read into by one part, written on and saved by another. */

import type { Model, Session } from "../lib/index";

export class Learning extends EventTarget {
  session: Session | null = null;
  model: Model | null = null;
  /** How strongly it learns: 1 as trained, 0 not at all. */
  scale = 1;
  private holder: string | null = null;

  /** Takes a session in place of the one there is. */
  async take(model: Model, session: Session): Promise<void> {
    const old = this.session;
    this.model = model;
    this.session = session;
    this.changed();
    await old?.dispose();
  }

  /** Forgets the session: its model is gone. */
  drop(): void {
    this.session = null;
    this.model = null;
    this.changed();
  }

  /** Who is using the session, so that the others wait. */
  get busy(): string | null {
    return this.holder;
  }

  set busy(who: string | null) {
    this.holder = who;
    this.changed();
  }

  changed(): void {
    this.dispatchEvent(new Event("change"));
  }
}
