/** Questions before what cannot be taken back, and short messages of what was done. */
export interface Question {
  title: string;
  text: string;
  /** What the button that goes on says. */
  act: string;
  answer: (yes: boolean) => void;
}

class Talk {
  question = $state.raw<Question | null>(null);
  message = $state<{ text: string; bad: boolean } | null>(null);
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** Whether the viewer says yes. */
  ask(title: string, text: string, act: string): Promise<boolean> {
    return new Promise((resolve) => {
      this.question = {
        title, text, act,
        answer: (yes) => {
          this.question = null;
          resolve(yes);
        },
      };
    });
  }

  say(text: string, bad = false): void {
    this.message = { text, bad };
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => (this.message = null), bad ? 9_000 : 5_000);
  }

  silent(): void {
    this.message = null;
  }
}

export const talk = new Talk();

/** Puts a text into the clipboard and says so. */
export async function copy(text: string, what: string): Promise<void> {
  try {
    await navigator.clipboard.writeText(text);
    talk.say(`${what} copied`);
  } catch {
    talk.say("The browser does not let the page copy; mark the text and copy it by hand.", true);
  }
}
