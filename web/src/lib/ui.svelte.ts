/** What is open above the page, and its title. */
class Ui {
  submit = $state(false);
  help = $state(false);
  title = $state("");
}

export const ui = new Ui();

/** The page's title while a part of it is there. */
export function titled(text: () => string): void {
  $effect(() => {
    ui.title = text();
    return () => (ui.title = "");
  });
}
