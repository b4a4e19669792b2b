/**
 * The token that is shown to a server that asks for one. It lives in this tab's session storage and goes with it; it is never
 * in a URL, never in local storage.
 */
const KEY = "regatta.token";

class Auth {
  token = $state<string | null>(read());
  /** Whether the server asks for a token, or for another than the one it was shown. */
  needed = $state(false);
  /** Whether the one it was shown does not count. */
  wrong = $state(false);

  signIn(token: string): void {
    this.token = token;
    this.needed = false;
    this.wrong = false;
    try {
      sessionStorage.setItem(KEY, token);
    } catch {
      // Without storage it lasts until the page is loaded again.
    }
  }

  signOut(): void {
    this.forget();
    this.wrong = false;
    this.needed = true;
  }

  /** A call was answered with a 401. */
  refused(): void {
    this.wrong = this.token !== null || (this.wrong && this.needed);
    this.forget();
    this.needed = true;
  }

  private forget(): void {
    this.token = null;
    try {
      sessionStorage.removeItem(KEY);
    } catch {
      // There is nothing to forget.
    }
  }
}

function read(): string | null {
  try {
    return sessionStorage.getItem(KEY);
  } catch {
    return null;
  }
}

export const auth = new Auth();
