/** An observer of an election that keeps every leader it is told of. */
import type { Sse } from "../../edge.ts";
import { SseFollower } from "./follower.ts";
import { API, type Ordeal } from "./ordeal.ts";

export interface Observed {
  revision: number;
  leader: { owner: string; token: number; value: string } | null;
}

export class Observer extends SseFollower {
  readonly observed: Observed[] = [];

  constructor(ordeal: Ordeal, election: string, since: number) {
    super(ordeal, `${API}/elections/${election}/observe`, since);
    this.start();
  }

  async until(revision: number): Promise<readonly Observed[]> {
    await this.follow(revision);
    return this.observed;
  }

  protected override begun(): void {}

  protected override told({ event, data }: Sse): boolean {
    if (event === "leader") this.observed.push(data as Observed);
    return true;
  }

  protected override refused(since: number): void {
    throw new Error(`observing was refused after revision ${since}`);
  }
}
