/** What a bench found: the schema of its files, `fastweight-bench/1`, the same on the command line and in a browser. Times are in seconds. */

/**
 * A part of the bench: what the device can do at best, each kernel against that, whole models of random weights, the two forms of their inner
 * step, and one long run.
 */
export type BenchSection = "device" | "kernels" | "models" | "forms" | "long";

export interface BenchResults {
  schema: "fastweight-bench/1";
  /** Results compare only within one version of the suite. */
  suite_version: number;
  engine: { version: string; commit: string | null; wgsl: string };
  device: {
    /** The adapter's name, or `cpu`; a browser may hide it. */
    name: string;
    vendor: string;
    /** `cpu`, `vulkan`, `metal`, `dx12` or `webgpu`. */
    backend: string;
    /** `cpu`, `discrete`, `integrated`, `virtual`, `software` or `other`. */
    kind: string;
    driver: string;
    limits: Record<string, number>;
    features: string[];
  };
  system: {
    os: string;
    arch: string;
    browser: string | null;
    flags: Record<string, string>;
    threads: number;
    power: "mains" | "battery" | "unknown";
    clock_mhz: number | null;
  };
  timer: { kind: "timestamps" | "clock"; quantum: number };
  settings: BenchSettings;
  /** Day of the run, UTC. */
  date: string;
  /** Whether the figures can be trusted; if not, why. */
  valid: boolean;
  invalid: string[];
  /** Whether every section that was asked for was finished. */
  complete: boolean;
  verified: { kernels: number; cases: number; variants: number; failures: string[] } | null;
  /** The same work before, between and after the sections: `drift` is its largest change since the first. */
  sentinels: { after: string; copy: number; multiply_add: number; drift: number }[];
  ceilings: BenchCeilings | null;
  /** The models that were measured, by the subject of their figures. */
  models?: Record<string, { parameters: number; bytes: number }>;
  measurements: BenchMeasurement[];
}

export interface BenchSettings {
  quick: boolean;
  repetitions: number;
  delay: number;
  sustain: number;
  only: string[];
  seed: number;
}

/** What the device can do at best. Bytes and operations are a second's; a multiply-add counts two. */
export interface BenchCeilings {
  /** By the size of the working set, ascending. */
  read: { bytes: number; rate: number }[];
  copy: { bytes: number; rate: number }[];
  /** The largest working set that is still read at the caches' speed. */
  knee: number | null;
  f32: number;
  f16: number | null;
  /** Seconds of a dispatch among many, of a submit, and of a submit with four bytes read back. */
  dispatch: number;
  submit: number;
  read_back: number;
}

/** One figure with every sample of it. */
export interface BenchMeasurement {
  section: BenchSection;
  /** A kernel's name, or a row of a model: `pp512`, `tg128 @ d8192`. */
  name: string;
  /** Its shape and format; or the model. */
  subject: string;
  /** Sequences side by side. */
  batch: number;
  /** The launch, for a kernel, and whether it is the one that the planner chooses. */
  variant: string | null;
  chosen: boolean;
  /** Where a kernel finds its weights. */
  cache: "cold" | "warm" | null;
  timer: "timestamps" | "clock";
  /** Of one unit of work each. */
  samples: number[];
  clock: number[];
  order: number[];
  work: { tokens: number; context: number; operations: number; least: number; moved: number; state: number; working_set: number };
  /** The share of the device's ceiling that its fastest sample reaches. */
  share: number | null;
  /** Whether the machine drifted around it. */
  flagged: boolean;
}

/** What changed from one result to another. */
export interface BenchComparison {
  /** What else differs or can't be trusted, a sentence each. */
  notes: string[];
  /** Figures that both have: the largest slowdown first. */
  pairs: BenchPair[];
  /** Figures that only one has. */
  only_a: string[];
  only_b: string[];
}

/** A figure that both results have. */
export interface BenchPair extends Pick<BenchMeasurement, "section" | "name" | "subject" | "batch" | "cache" | "flagged"> {
  /** Which launches of a kernel are compared: the one there is, the same in both, or the fastest of each. */
  launches: "only" | { same: string } | { best: { a: string; b: string } };
  a: BenchSummary;
  b: BenchSummary;
  change: {
    /** The median of `b` over that of `a`: above 1, `b` takes longer. */
    ratio: number;
    /** With 95 %; null if either has fewer than three samples. */
    interval: [number, number] | null;
    /** The same ratio of the fastest quarters. */
    fastest: number;
    /** Whether it is a change beyond noise. */
    verdict: "slower" | "faster" | "unchanged";
  };
}

/** Samples in short, in seconds; `interval` is where another run's median lies, with 95 %. */
export interface BenchSummary {
  count: number;
  median: number;
  interval: [number, number] | null;
  mean: number;
  deviation: number;
  least: number;
}
