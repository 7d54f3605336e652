/** Firefox ESR, which Playwright can't drive: over WebDriver BiDi. */

import { launch, type Browser } from "puppeteer-core";

/** Starts it with WebGPU on. Its driver is the system's: lavapipe, where there is no GPU. */
export function firefox(): Promise<Browser> {
  return launch({
    browser: "firefox",
    executablePath: process.env.FIREFOX ?? "/usr/bin/firefox-esr",
    headless: true,
    protocolTimeout: 600_000,
    extraPrefsFirefox: {
      "dom.webgpu.enabled": true,
      "dom.webgpu.workers.enabled": true,
      "gfx.webgpu.ignore-blocklist": true,
      // Nothing is to be asked of anybody.
      "app.update.enabled": false,
      "browser.safebrowsing.update.enabled": false,
      "network.captive-portal-service.enabled": false,
      "network.connectivity-service.enabled": false,
      "services.settings.server": "data:,",
    },
  });
}
