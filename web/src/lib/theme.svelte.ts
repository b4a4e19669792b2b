/** Light, dark, or as the system has it. */
export type Theme = "system" | "light" | "dark";
const KEY = "regatta.theme";
const ORDER: Theme[] = ["system", "light", "dark"];

class ThemeChoice {
  choice = $state<Theme>("system");
  /** Whether it is dark now; charts draw with it. */
  dark = $state(false);

  start(): void {
    const kept = localStorage.getItem(KEY);
    this.choice = ORDER.find((theme) => theme === kept) ?? "system";
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#apply());
    this.#apply();
  }

  next(): void {
    this.choice = ORDER[(ORDER.indexOf(this.choice) + 1) % ORDER.length] ?? "system";
    localStorage.setItem(KEY, this.choice);
    this.#apply();
  }

  #apply(): void {
    this.dark = this.choice === "dark" || (this.choice === "system" && matchMedia("(prefers-color-scheme: dark)").matches);
    document.documentElement.dataset["theme"] = this.dark ? "dark" : "light";
  }
}

export const theme = new ThemeChoice();
