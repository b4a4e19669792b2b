/** Charts that belong together: the time under the pointer and the part of time that is shown are the same in all of them. */
export class Together {
  /** The part that is shown, in seconds since 1970 or as so many seconds before now; everything without one. */
  part = $state.raw<{ from: number; to: number } | { last: number } | undefined>(undefined);
  /** The name under which the charts tell one another where the pointer is. */
  readonly key = `together-${(made += 1)}`;

  /** Shows a part; one that is hardly a part shows everything. */
  show(from: number, to: number): void {
    this.part = to - from > 2 ? { from, to } : undefined;
  }

  /** What is shown of what there is. */
  of(from: number, to: number): [number, number] {
    const { part } = this;
    if (part === undefined) return [from, to];
    return "last" in part ? [to - part.last, to] : [part.from, part.to];
  }
}

let made = 0;
