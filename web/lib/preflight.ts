/** Whether this browser has WebGPU, and if not, why and what to do about it. */

import type { Preflight } from "./types";

/** What a browser shows of itself. */
export interface Surroundings {
  isSecureContext: boolean;
  userAgent: string;
  gpu: Pick<GPU, "requestAdapter"> | undefined;
}

/** Asks this browser, in a window or a worker. */
export function preflight(): Promise<Preflight> {
  return diagnose({ isSecureContext: self.isSecureContext, userAgent: navigator.userAgent, gpu: navigator.gpu });
}

export async function diagnose({ isSecureContext, userAgent, gpu }: Surroundings): Promise<Preflight> {
  if (!gpu) {
    return isSecureContext ? unavailable(userAgent) : INSECURE;
  }
  let adapter: GPUAdapter | null;
  try {
    adapter = await gpu.requestAdapter({ powerPreference: "high-performance" });
  } catch (error) {
    const reason = `This browser failed to look for a GPU: ${error instanceof Error ? error.message : String(error)}.`;
    return { webgpu: false, reason, fix: withoutAdapter(userAgent) };
  }
  if (!adapter) {
    const reason =
      "This browser has WebGPU but offers no GPU: graphics acceleration is off, the driver is on its block list, or the system has none.";
    return { webgpu: false, reason, fix: withoutAdapter(userAgent) };
  }
  const name = adapterName(adapter.info);
  const low = lowLimits(adapter.limits);
  if (low.length > 0) {
    const reason = `The GPU (${name}) offers less than WebGPU requires: ${low.join("; ")}.`;
    return { webgpu: false, reason, fix: `Update the graphics driver and the browser. ${CPU}` };
  }
  if (isSoftware(adapter.info)) {
    const reason = `The only adapter (${name}) is software: it computes on the CPU, more slowly than the device "cpu" does.`;
    return { webgpu: true, reason, fix: withoutAdapter(userAgent) };
  }
  return { webgpu: true, reason: `GPU: ${name}.`, fix: null };
}

const CPU = "Without it, models run on the CPU.";

const INSECURE: Preflight = {
  webgpu: false,
  reason: "WebGPU is for secure pages only, and this one came by plain HTTP or from a file.",
  fix: "Serve the page by https://, or from http://localhost while developing.",
};

/** A browser and its system, as far as the text that it sends tells. */
interface Browser {
  name: "chrome" | "firefox" | "safari" | "other";
  version: number;
  system: "windows" | "mac" | "ios" | "linux" | "android" | "other";
}

export function readUserAgent(text: string): Browser {
  const number = (pattern: RegExp) => Number(pattern.exec(text)?.[1] ?? 0);
  const system = /Android/.test(text)
    ? "android"
    : /iPhone|iPad|iPod/.test(text)
      ? "ios"
      : /Windows/.test(text)
        ? "windows"
        : /Mac OS X/.test(text)
          ? "mac"
          : /Linux|X11/.test(text)
            ? "linux"
            : "other";
  if (/Firefox\/\d/.test(text)) {
    return { name: "firefox", version: number(/Firefox\/(\d+)/), system };
  }
  // On iOS, all browsers are Safari inside.
  if (/Chrome\/\d/.test(text) && system !== "ios") {
    return { name: "chrome", version: number(/Chrome\/(\d+)/), system };
  }
  if (/Safari\/\d/.test(text)) {
    return { name: "safari", version: number(/Version\/(\d+)/), system };
  }
  return { name: "other", version: 0, system };
}

/** A secure page, and no `navigator.gpu`. */
function unavailable(userAgent: string): Preflight {
  const { name, version, system } = readUserAgent(userAgent);
  const none = (reason: string, fix: string): Preflight => ({ webgpu: false, reason, fix: `${fix} ${CPU}` });
  switch (name) {
    case "chrome":
      if (version < (system === "android" ? 121 : 113)) {
        const since = system === "android" ? 121 : 113;
        return none(`This browser (Chromium ${version}) has no WebGPU yet.`, `Update it: WebGPU came with version ${since}.`);
      }
      return none("This browser has WebGPU switched off.", chromiumFlags(system));
    case "firefox": {
      const since = { windows: 141, mac: 147 }[system as "windows" | "mac"] ?? Infinity;
      if (version < since && since < Infinity) {
        const which = system === "mac" ? " (on Apple silicon)" : "";
        return none(`Firefox ${version} has no WebGPU on this system by default.`, `Update it to ${since} or newer${which}. ${FIREFOX_SWITCH}`);
      }
      const where = { mac: "on Macs with Intel processors", linux: "on all Linux systems", android: "on Android" }[system as "mac"];
      return none(`Firefox has WebGPU switched off here; it is not on by default ${where ?? "everywhere"}.`, FIREFOX_SWITCH);
    }
    case "safari":
      if (system === "ios") {
        const fix = "Update to iOS or iPadOS 26 or newer; on 18, switch on Settings, Apps, Safari, Advanced, Feature Flags, WebGPU.";
        return none(`This version of Safari (${version}) has no WebGPU, or it is switched off.`, fix);
      }
      return none(
        `This version of Safari (${version}) has no WebGPU, or it is switched off.`,
        "Use Safari 26 on macOS 26 or newer; otherwise, switch on “Show features for web developers” in Settings, Advanced, and then WebGPU in " +
          "Settings, Feature Flags.",
      );
    case "other":
      return none("This browser has no WebGPU.", "Use a current Chrome, Edge, Firefox or Safari.");
  }
}

const FIREFOX_SWITCH = "In about:config, set dom.webgpu.enabled to true and restart the browser.";

/** `navigator.gpu`, and no adapter that is a GPU. */
function withoutAdapter(userAgent: string): string {
  const { name, system } = readUserAgent(userAgent);
  switch (name) {
    case "chrome": {
      const acceleration = "Switch on “Use graphics acceleration when available” in chrome://settings/system, and update the graphics driver";
      return `${acceleration}; chrome://gpu tells what is blocked. ${system === "linux" ? `${chromiumFlags(system)} ` : ""}${CPU}`;
    }
    case "firefox": {
      const acceleration = "Switch on “Use hardware acceleration when available” in Settings, General, Performance, and update the graphics driver";
      return `${acceleration}; about:support, under Graphics, tells what is blocked. ${system === "windows" ? "" : `${FIREFOX_SWITCH} `}${CPU}`;
    }
    case "safari":
      return `Update the system: Safari's WebGPU comes with it, and lockdown mode switches it off. ${CPU}`;
    case "other":
      return `Switch on graphics acceleration in the browser's settings, and update the graphics driver. ${CPU}`;
  }
}

function chromiumFlags(system: Browser["system"]): string {
  const unsafe = "Enable chrome://flags/#enable-unsafe-webgpu";
  // On by default for recent GPUs of Intel (since 144) and NVIDIA (since 147).
  const vulkan = system === "linux" ? " and chrome://flags/#enable-vulkan" : "";
  return `${unsafe}${vulkan}, and restart the browser.`;
}

/** What every WebGPU device has, of what the engine's kernels count on. */
const DEFAULTS = {
  maxStorageBuffersPerShaderStage: 8,
  maxUniformBuffersPerShaderStage: 12,
  maxStorageBufferBindingSize: 128 << 20,
  maxBufferSize: 256 << 20,
  maxComputeWorkgroupStorageSize: 16 << 10,
  maxComputeInvocationsPerWorkgroup: 256,
  maxComputeWorkgroupSizeX: 256,
  maxComputeWorkgroupsPerDimension: 65_535,
} as const satisfies Partial<Record<keyof GPUSupportedLimits, number>>;

function lowLimits(limits: GPUSupportedLimits): string[] {
  return Object.entries(DEFAULTS).flatMap(([name, wanted]) => {
    const found = limits[name as keyof typeof DEFAULTS];
    return found < wanted ? [`${name} is ${found}, wanted ${wanted}`] : [];
  });
}

function isSoftware(info: GPUAdapterInfo): boolean {
  const text = `${info.vendor} ${info.architecture} ${info.device} ${info.description}`;
  // WARP calls itself so.
  return info.isFallbackAdapter === true || /swiftshader|llvmpipe|lavapipe|microsoft basic render/i.test(text);
}

function adapterName(info: GPUAdapterInfo): string {
  return info.description || [info.vendor, info.architecture, info.device].filter((part) => part !== "").join(" ") || "the browser hides its name";
}
