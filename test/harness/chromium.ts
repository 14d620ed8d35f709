import { existsSync } from "node:fs";

/** Where distributions put the browser. Nothing is downloaded. */
const PLACES = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];

/** The path of this machine's Chromium, or undefined if there is none. */
export const findChromium = (): string | undefined => PLACES.find((path) => existsSync(path));
