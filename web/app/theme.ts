/** Light, dark, or as the system has it. */

const KEY = "fastweight-theme";
const names = { auto: "automatic", light: "light", dark: "dark" } as const;
type Theme = keyof typeof names;

function stored(): Theme {
  try {
    const value = localStorage.getItem(KEY);
    return value === "light" || value === "dark" ? value : "auto";
  } catch {
    return "auto"; // storage may be forbidden
  }
}

/** Called when colours have changed: canvases draw again. */
export const themeChanged = new EventTarget();

/** Whether it is dark now. */
export function isDark(): boolean {
  const theme = document.documentElement.dataset["theme"];
  return theme === undefined ? matchMedia("(prefers-color-scheme: dark)").matches : theme === "dark";
}

export function startTheme(button: HTMLButtonElement): void {
  let theme = stored();
  const apply = (): void => {
    if (theme === "auto") delete document.documentElement.dataset["theme"];
    else document.documentElement.dataset["theme"] = theme;
    button.textContent = `Colours: ${names[theme]}`;
    button.title = "Automatic, light or dark";
    themeChanged.dispatchEvent(new Event("change"));
  };
  button.addEventListener("click", () => {
    theme = theme === "auto" ? "light" : theme === "light" ? "dark" : "auto";
    try {
      localStorage.setItem(KEY, theme);
    } catch {
      // not kept, then
    }
    apply();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", apply);
  apply();
}
