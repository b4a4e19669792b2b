/** The time, for what says how long something has taken: one timer for the whole page. */
class Clock {
  now = $state(Date.now());

  start(): void {
    setInterval(() => {
      if (document.visibilityState === "visible") this.now = Date.now();
    }, 500);
  }
}

export const clock = new Clock();
