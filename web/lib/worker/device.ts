/** Devices, with what a page can say about them. */

import { preflight } from "../preflight";
import type { DeviceChoice, DeviceInfo } from "../types";
import { Device } from "../wasm/fastweight.js";

/** What the browser says of its adapter: seldom more than a family. */
export async function adapterInfo(): Promise<GPUAdapterInfo | undefined> {
  return (await navigator.gpu?.requestAdapter())?.info;
}

async function adapterName(): Promise<string> {
  const info = await adapterInfo();
  return info?.description || [info?.vendor, info?.architecture].filter(Boolean).join(" ") || "WebGPU";
}

export async function openDevice(choice: DeviceChoice): Promise<{ device: Device; info: DeviceInfo }> {
  const device = await Device.open(choice);
  if (!device.isCpu) return { device, info: { name: await adapterName(), kind: "webgpu", why: device.why, fix: null } };
  const { webgpu, reason, fix } = choice === "cpu" ? { webgpu: true, reason: "", fix: null } : await preflight();
  return { device, info: { name: "cpu", kind: "cpu", why: webgpu ? device.why : reason, fix } };
}
